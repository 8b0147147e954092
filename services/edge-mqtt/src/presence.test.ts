import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { findMosquittoClients, type Servers, startServers, until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import { secret } from '@pushfleet/edge/testing';
import { type Connect, type Disconnect, reasons, type Will } from './codec.ts';
import { readPresent } from './presence.ts';

import { type Client, connectOf, grantOf, publishOf, Stage, subscribeOf } from './session/testing.ts';
import { RawMqtt, startEdge, type TestEdge, token } from './testing-edge.ts';

type Pairs = readonly (readonly [string, string])[];

const asking = (...userProperties: Pairs): Pick<Connect, 'properties'> => ({
  properties: { userProperties },
});
const room = ['presence', 'rooms/7'] as const;

const willOf = (properties: Will['properties'] = {}): Will => ({
  ...{ topic: 'w', payload: Buffer.from('x'), qos: 0, retain: false, properties },
});
const bye = (reason: Disconnect['reason'] = 0): Disconnect => ({
  type: 'disconnect',
  reason,
  properties: {},
});

suite('what a CONNECT says of presence', () => {
  test('is a topic in each user property, once; a status and a state for all of them', () => {
    const { topics, entry } = readPresent(
      asking(
        ['presence', 'a'],
        ['x', 'y'],
        ['presence-state', '{"n": 1}'],
        ['presence', 'b'],
        ['presence', 'a'],
      ),
      2,
    );
    assert.deepEqual(topics, ['a', 'b']);
    assert.deepEqual(
      [entry.status, entry.state?.toString(), entry.stateContentType],
      [undefined, '{"n":1}', 'application/json'],
    );
    assert.equal(readPresent(asking(room, ['presence-status', 'busy']), 2).entry.status, 'busy');
    assert.deepEqual(readPresent({ properties: {} }, 2), { topics: [], entry: {} });
  });

  test('is refused where it cannot be read, and above the most topics', () => {
    for (const [pairs, code] of [
      [[['presence', 'a/#']], 'topic_invalid'],
      [[['presence', '']], 'topic_invalid'],
      [[room, ['presence-status', 'offline']], 'request_invalid'],
      [[room, ['presence-status', 'away'], ['presence-status', 'away']], 'request_invalid'],
      [[room, ['presence-state', 'not JSON']], 'request_invalid'],
      [
        [
          ['presence', 'a'],
          ['presence', 'b'],
          ['presence', 'c'],
        ],
        'storage_full',
      ],
    ] as const) {
      assert.throws(() => readPresent(asking(...pairs), 2), { code }, JSON.stringify(pairs));
    }
  });
});

suite('a client is present', () => {
  const scope = { after };

  test('from CONNACK until DISCONNECT, under its client identifier', async () => {
    const edge = await startEdge(scope);
    const properties = {
      userProperties: [room, ['presence', 'rooms/8'], ['presence-status', 'away']],
    } as const;
    const client = await RawMqtt.open(edge, { clientId: 'c', properties });
    assert.deepEqual(edge.presence.all, ['rooms/7 ann c away', 'rooms/8 ann c away']);
    client.send(bye());
    await until(() => edge.presence.members.size === 0, 'it left');
    assert.deepEqual(edge.presence.partings, ['left']);
    await RawMqtt.open(edge, { clientId: 'quiet' });
    assert.deepEqual(edge.presence.all, []);
  });

  test('or it is not let in: without the right, on what is no topic, where the registry is away or full', async () => {
    const edge = await startEdge(scope, { PUSHFLEET_PRESENCE_TOPICS: '2' });
    const answer = async (pairs: Pairs, claims: object = {}): Promise<number | undefined> => {
      const properties = { userProperties: pairs };
      const client = await RawMqtt.open(edge, { clientId: 'c', properties }, claims);
      return client.of('connack')[0]?.reason;
    };
    const claims = { pushfleet: { subscribe: ['#'], publish: ['#'], presence: ['rooms/+'] } };
    assert.equal(await answer([['presence', 'other']], claims), reasons.notAuthorized);
    assert.equal(
      await answer([room], { pushfleet: { subscribe: ['#'], publish: ['#'] } }),
      reasons.notAuthorized,
    );
    assert.equal(await answer([['presence', 'a/#']]), reasons.topicNameInvalid);
    assert.equal(await answer([room, ['presence-status', 'x']]), reasons.implementationSpecificError);
    const three = ['a', 'b', 'c'].map((topic) => ['presence', topic] as const);
    assert.equal(await answer(three), reasons.quotaExceeded);
    for (const [code, reason] of [
      ['unavailable', reasons.serverUnavailable],
      ['storage_full', reasons.quotaExceeded],
      ['forbidden', reasons.notAuthorized],
      ['payload_too_large', reasons.packetTooLarge],
    ] as const) {
      edge.presence.refuse = new PushfleetError(code, 'No.');
      assert.equal(await answer([room]), reason, code);
    }
    assert.deepEqual([edge.presence.all, edge.edge.size], [[], 0]);
    edge.presence.refuse = undefined;
    assert.equal(await answer(three.slice(1)), 0);
    assert.equal(edge.presence.members.size, 2);
  });

  test('not where it is gone, or another took its session over, before it entered', async () => {
    const edge = await startEdge(scope);
    const gate = Promise.withResolvers<void>();
    edge.presence.stalled = gate.promise;
    const properties = { userProperties: [room] };
    const over = { clientId: 'c', password: Buffer.from(token()) };
    const lost = new RawMqtt(edge);
    lost.send(connectOf({ ...over, clientId: 'lost', properties }));
    const slow = new RawMqtt(edge);
    slow.send(connectOf({ ...over, properties }));
    await until(() => edge.presence.asked === 2, 'both enter, and so have their sessions');
    const other = new RawMqtt(edge);
    other.send(connectOf(over));
    assert.equal((await other.has('connack'))[0]?.reason, 0);
    lost.socket.destroy();
    await until(() => edge.edge.guests === 1, 'one is lost');
    gate.resolve();
    assert.equal((await slow.has('connack'))[0]?.reason, reasons.serverBusy);
    await until(() => edge.presence.partings.length === 2, 'both parted');
    assert.deepEqual([edge.presence.all, edge.presence.partings], [[], ['lost', 'lost']]);
    assert.deepEqual([edge.edge.size, other.ended], [1, false]);
  });

  /** CONNECTs that wait for the registry, and how to let them go on. */
  async function waiting(on: TestEdge, clientIds: readonly string[], claims: object) {
    const { promise, resolve } = Promise.withResolvers<void>();
    on.presence.stalled = promise;
    const before = on.presence.asked;
    const clients = clientIds.map((clientId) => {
      const client = new RawMqtt(on);
      client.send(connectOf({ ...asking(room), clientId, password: Buffer.from(token(claims)) }));
      return client;
    });
    const goOn = async (): Promise<(number | undefined)[]> => {
      on.presence.stalled = undefined;
      resolve();
      await Promise.all(clients.map((client) => client.has('connack')));
      for (const { socket } of clients) socket.destroy();
      return clients.map((client) => client.of('connack')[0]?.reason);
    };
    const entering = () => on.presence.asked - before;
    const refused = () => clients.filter(({ ended }) => ended).length;
    await until(() => entering() + refused() === clients.length, 'all wait, or are refused');
    return goOn;
  }

  test('not where its token was revoked before it entered', async () => {
    const edge = await startEdge(scope);
    const goOn = await waiting(edge, ['mallory'], { sub: 'mallory' });
    edge.registry.revoke('mallory');
    assert.deepEqual(await goOn(), [reasons.banned]);
    await until(() => edge.presence.all.length === 0, 'nobody is there');
  });

  test('those of one subject that enter at the same time are counted together', async () => {
    const strict = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_CONNECTIONS_PER_SUBJECT: '2' });
    for (const round of ['one', 'two']) {
      const goOn = await waiting(strict, [`${round}-a`, `${round}-b`, `${round}-c`], {});
      assert.deepEqual((await goOn()).sort(), [0, 0, reasons.serverBusy]);
      await until(() => strict.edge.size === 0, 'all are gone');
    }
  });

  test('in step with its will: left or lost without one, else until the will is due', async () => {
    const lost = (client: Client): void => client.session.gone();
    const session = { userProperties: [room], sessionExpiryInterval: 60 } as const;
    const short = { userProperties: [room] } as const;
    for (const [over, ending, how] of [
      [{ properties: session }, (client: Client) => client.send(bye()), 'left'],
      [{ properties: session }, (client: Client) => client.send(bye(4)), 'left'],
      [{ properties: session }, (client: Client) => client.send(bye(0x80)), 'lost'],
      [{ properties: session }, lost, 'lost'],
      [{ properties: session }, (client: Client) => client.session.end('draining'), 'lost'],
      // What comes again is no use: as on other edges.
      [{ properties: session }, (client: Client) => client.session.end('token_revoked'), 'left'],
      [
        { properties: session },
        (client: Client) => client.session.violated({ reason: 0x81 } as never),
        'left',
      ],
      [{ properties: session, will: willOf() }, (client: Client) => client.send(bye()), 'left'],
      [{ properties: session, will: willOf() }, lost, { lingerMs: 0 }],
      [{ properties: session, will: willOf({ willDelayInterval: 20 }) }, lost, { lingerMs: 20_000 }],
      [
        { properties: session, will: willOf({ willDelayInterval: 20 }) },
        (client: Client) => client.send(bye(4)),
        { lingerMs: 20_000 },
      ],
      // A will is due at the latest when the session ends (section 3.1.3.2.2).
      [{ properties: session, will: willOf({ willDelayInterval: 90 }) }, lost, { lingerMs: 60_000 }],
      [{ properties: short, will: willOf({ willDelayInterval: 90 }) }, lost, { lingerMs: 0 }],
    ] as const) {
      const stage = new Stage();
      ending(await stage.connect(over, grantOf()));
      assert.deepEqual(stage.partings, [how]);
    }
  });

  test('a client that is silent is lost; one whose session is taken over is not away', async () => {
    const stage = new Stage();
    const over = { keepAlive: 10, properties: { userProperties: [room] } } as const;
    await stage.connect(over);
    await stage.clock.advance(16_000);
    assert.deepEqual(stage.partings, ['lost']);
    const taken = await stage.connect({ ...over, will: willOf() });
    await stage.connect({ properties: {} });
    assert.deepEqual([taken.ended, stage.partings], [true, ['lost', 'lost']]);
  });

  test('a token that does not grant it does not take the place of one that does', async () => {
    const stage = new Stage();
    const presence = grantOf({ presence: grantOf().grants.subscribe });
    for (const [grant, ended] of [
      [presence, false],
      [grantOf(), true],
    ] as const) {
      const turn = { kind: 'known', grant, data: undefined } as const;
      const auth = { method: 'M', data: undefined, begin: () => ({ next: async () => turn }) };
      const client = await stage.connect({ properties: { userProperties: [room] } }, presence, auth);
      client.send({ type: 'auth', reason: 0x19, properties: { authenticationMethod: 'M' } });
      await stage.settle();
      assert.equal(client.ended, ended);
    }
  });
});

suite('with a registry', () => {
  let servers: Servers;

  before(async () => {
    servers = await startServers({ secret });
  });
  after(() => servers?.stop());

  test('$presence topics tell over MQTT who entered by CONNECT, and who left or was lost', async () => {
    const registry = await servers.start('registry');
    const mqtt = await servers.start('edge-mqtt', {
      PUSHFLEET_REGISTRY_URL: `http://${registry.addresses.grpc}`,
      PUSHFLEET_PRESENCE_LINGER_SECONDS: '1',
    });
    const on = { port: Number(mqtt.addresses.mqtt?.split(':').at(-1)) };
    const watcher = await RawMqtt.open(on, { clientId: 'watcher' });
    watcher.send(subscribeOf(1, ['$presence/rooms/#:1']), subscribeOf(2, ['w:1']));
    const [granted] = await watcher.has('suback', 2);
    assert.deepEqual(granted?.reasons, [1]);
    const told = (): string[] =>
      watcher.of('publish').map(({ topic, payload }) => {
        if (topic === 'w') return 'will';
        const { kind, subject, client, status, state } = JSON.parse(payload.toString());
        return `${topic} ${kind} ${subject} ${client} ${status} ${JSON.stringify(state) ?? ''}`.trim();
      });
    const after = async (...lines: readonly string[]): Promise<void> => {
      await until(() => told().length >= lines.length, `${lines.length} changes`);
      assert.deepEqual(told(), lines);
    };
    const open = (clientId: string, over: Partial<Connect> = {}) =>
      RawMqtt.open(
        on,
        { clientId, ...over, properties: { userProperties: [room, ['presence-state', '[1]']] } },
        { sub: 'bea' },
      );

    const polite = await open('polite');
    const lines = ['$presence/rooms/7 entered bea polite online [1]'];
    await after(...lines);
    polite.send(bye());
    lines.push('$presence/rooms/7 left bea polite offline [1]');
    await after(...lines);

    const broken = await open('broken');
    lines.push('$presence/rooms/7 entered bea broken online [1]');
    await after(...lines);
    broken.socket.destroy();
    await broken.end();
    // Who is back within the linger was never away: what is told next is of another.
    const back = await open('broken');
    const willing = await open('willing', { will: willOf() });
    lines.push('$presence/rooms/7 entered bea willing online [1]');
    await after(...lines);
    back.socket.destroy();
    lines.push('$presence/rooms/7 expired bea broken offline [1]');
    await after(...lines);

    willing.socket.destroy();
    await until(() => told().length >= lines.length + 2, 'the will and the leave');
    assert.deepEqual(told().slice(lines.length).sort(), [
      '$presence/rooms/7 left bea willing offline [1]',
      'will',
    ]);

    // A client that others wrote; what it says when it is stopped is a goodbye.
    const before = told().length;
    const { sub } = await findMosquittoClients();
    const entering = ['-V', '5', '-i', 'mosquitto', '-D', 'connect', 'user-property', 'presence', 'rooms/7'];
    const where = ['-h', '127.0.0.1', '-p', String(on.port), '-u', 'token', '-P', token(), '-t', 'rooms/7'];
    watcher.send(publishOf('rooms/7', 'welcome', { retain: true }));
    const child = spawn(sub, [...entering, ...where], { stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    child.stdout.on('data', (text) => {
      said += text;
    });
    try {
      await until(() => told().length > before, 'its entry');
      await until(() => said !== '', 'it to know that it is connected');
      child.kill('SIGTERM');
      await until(() => told().length > before + 1, 'its leave');
    } finally {
      child.kill('SIGKILL');
    }
    assert.deepEqual(told().slice(before), [
      '$presence/rooms/7 entered ann mosquitto online',
      '$presence/rooms/7 left ann mosquitto offline',
    ]);

    // Presence is a right of its own, and nobody publishes there.
    const claims = { pushfleet: { subscribe: ['#'], publish: ['#'], presence: ['lobby'] } };
    const nosy = await RawMqtt.open(on, { clientId: 'nosy' }, claims);
    nosy.send(subscribeOf(1, ['$presence/rooms/7', '$presence/lobby']));
    assert.deepEqual((await nosy.has('suback'))[0]?.reasons, [reasons.notAuthorized, 0]);
    for (const client of [watcher, nosy]) client.socket.destroy();
    assert.doesNotMatch(mqtt.logs(), /"level":"error"/);
  });
});
