import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import { defaultNamespace, parseTopicFilter } from '@pushfleet/core';
import { untilNobody } from '@pushfleet/edge/testing';
import { readConfig } from '@pushfleet/runtime';
import { connects } from './codec/testing.ts';
import { type Connect, reasons } from './codec.ts';
import { fields } from './config.ts';
import { Edge } from './edge.ts';
import { connectOf, publishOf, subscribeOf } from './session/testing.ts';
import { RawMqtt, startEdge, token } from './testing-edge.ts';

const scope = { after };
const edge = await startEdge(scope, {
  PUSHFLEET_EDGE_MQTT_PACKET_BYTES: '8KiB',
  PUSHFLEET_EDGE_MQTT_CLIENT_ID_BYTES: '23',
});

const text = (client: RawMqtt): string[] => client.of('publish').map(({ payload }) => payload.toString());

/** What a CONNECT is answered. */
async function answer(over: Partial<Connect>): Promise<number | undefined> {
  const client = new RawMqtt(edge, over.version);
  client.send(connectOf(over));
  const [connack] = await client.has('connack');
  client.socket.destroy();
  return connack?.reason;
}

const password = (claims: object = {}): Buffer => Buffer.from(token(claims));

suite('who is let in', () => {
  test('by the token that is the password, whatever the user name is', async () => {
    assert.equal(await answer({ password: password() }), reasons.success);
    assert.equal(await answer({ password: password(), userName: 'anybody', version: 4 }), 0);
    assert.equal(await answer({ password: Buffer.from('wrong') }), reasons.badUserNameOrPassword);
    assert.equal(await answer({ password: password({ exp: 1 }) }), reasons.badUserNameOrPassword);
    assert.equal(await answer({}), reasons.notAuthorized);
    assert.equal(await answer({ version: 4 }), 5);
    assert.equal(await answer({ version: 4, userName: 'u', password: Buffer.from('wrong') }), 4);
  });

  test('with a client identifier: as long as it may be, and longer', async () => {
    assert.equal(await answer({ password: password(), clientId: 'x'.repeat(23) }), reasons.success);
    assert.equal(await answer({ password: password(), clientId: 'x'.repeat(24) }), reasons.clientIdNotValid);
  });

  test('with a client identifier that its token may have', async () => {
    const strict = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_CLIENT_IDS: '{sub},{sub}-*' });
    for (const [clientId, reason] of [
      ['ann', reasons.success],
      ['ann-1', reasons.success],
      ['bob', reasons.clientIdNotValid],
      ['', reasons.success],
    ] as const) {
      const client = await RawMqtt.open(strict, { clientId });
      assert.equal(client.of('connack')[0]?.reason, reason, clientId);
      client.socket.destroy();
    }
    // A wrong token is told nothing of it.
    const stranger = new RawMqtt(strict);
    stranger.send(connectOf({ clientId: 'bob', password: Buffer.from('x') }));
    assert.equal((await stranger.has('connack'))[0]?.reason, reasons.badUserNameOrPassword);
  });

  test('or with none, which the server assigns [MQTT-3.1.3-7]', async () => {
    const client = await RawMqtt.open(edge, { clientId: '' });
    assert.match(client.of('connack')[0]?.properties.assignedClientIdentifier ?? '', /^auto-[0-9a-f]{24}$/);
    client.socket.destroy();
  });

  test('with a will that the token allows', async () => {
    const will = { payload: Buffer.from('x'), qos: 0, retain: false, properties: {} } as const;
    const claims = { pushfleet: { publish: ['a/#'] } };
    assert.equal(await answer({ password: password(claims), will: { ...will, topic: 'a/1' } }), 0);
    assert.equal(
      await answer({ password: password(claims), will: { ...will, topic: 'b' } }),
      reasons.notAuthorized,
    );
  });

  test('without an authentication method that nobody here knows [MQTT-4.12.0-1]', async () => {
    const properties = { authenticationMethod: 'x' };
    assert.equal(await answer({ password: password(), properties }), reasons.badAuthenticationMethod);
  });

  test('while there is room: at the most connections or sessions, and one above', async () => {
    for (const variable of ['CONNECTIONS', 'CONNECTIONS_PER_SUBJECT', 'SESSIONS']) {
      const small = await startEdge(scope, { [`PUSHFLEET_EDGE_MQTT_${variable}`]: '2' });
      const open = (clientId: string) => RawMqtt.open(small, { clientId });
      const all = [await open('1'), await open('2'), await open('3')];
      const told = all.map((client) => client.of('connack')[0]?.reason);
      assert.deepEqual(told, [0, 0, reasons.serverBusy], variable);
      for (const { socket } of all) socket.destroy();
    }
  });

  test('or is told why in a packet of a size that it takes [MQTT-3.1.2-24] [MQTT-3.2.2-19]', async () => {
    for (const [maximumPacketSize, whole] of [
      [1_000, true],
      [60, false],
      [5, false],
      [4, undefined],
    ] as const) {
      const client = new RawMqtt(edge);
      let bytes = 0;
      client.socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      client.send(connectOf({ password: Buffer.from('wrong'), properties: { maximumPacketSize } }));
      await client.end();
      assert.ok(bytes <= maximumPacketSize);
      const [connack] = client.of('connack');
      assert.equal(connack && connack.properties.reasonString !== undefined, whole);
    }
  });

  test('within the time for a CONNECT', async () => {
    const hurried = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_CONNECT_SECONDS: '0.5' });
    const client = new RawMqtt(hurried);
    client.socket.write(connects[5].subarray(0, 8));
    assert.deepEqual(await client.end(), []);
  });

  test('what is no CONNECT, or a wrong one: a reason, or none [MQTT-3.1.4-1]', async () => {
    const said = async (hex: string): Promise<(number | undefined)[]> => {
      const client = new RawMqtt(edge);
      client.socket.write(Buffer.from(hex, 'hex'));
      await client.end();
      return client.of('connack').map(({ reason }) => reason);
    };
    const start = '00044d515454';
    // A property that is none, a client identifier with U+0001: in MQTT 5, and the latter in 3.1.1.
    assert.deepEqual(await said(`1010${start}05020000020001000161`), [reasons.malformedPacket]);
    assert.deepEqual(await said(`100e${start}0502000000000101`), [reasons.clientIdNotValid]);
    assert.deepEqual(await said(`100d${start}04020000000101`), []);
    // Flags, a user name that is not there.
    assert.deepEqual(await said(`100e${start}0503000000000161`), []);
    assert.deepEqual(await said(`100e${start}0582000000000161`), []);
    const first = new RawMqtt(edge);
    first.send({ type: 'pingreq' });
    assert.deepEqual(await first.end(), []);
  });
});

suite('packets on a socket', () => {
  test('a shared subscription: each publication to one of two, and no more of them than are allowed', async () => {
    const small = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_SHARED_SUBSCRIPTIONS: '1' });
    const members = [
      await RawMqtt.open(small, { clientId: 'one' }),
      await RawMqtt.open(small, { clientId: 'two' }),
    ];
    for (const client of members) {
      client.send(subscribeOf(1, ['$share/g/work:1', '$share/h/work:1']));
      assert.deepEqual((await client.has('suback'))[0]?.reasons, [1, reasons.quotaExceeded]);
    }
    const sent = Array.from({ length: 10 }, (_, i) => String(i));
    for (const one of sent) await small.publish('work', one);
    await until(() => members.flatMap(text).length >= sent.length, 'all come');
    assert.deepEqual(members.flatMap(text).sort(), sent);
    assert.ok(members.every((client) => text(client).length > 0));
    for (const { socket } of members) socket.destroy();
  });

  test('what comes behind CONNECT waits for its answer', async () => {
    const client = new RawMqtt(edge);
    client.send(
      connectOf({ password: password(), clientId: 'eager' }),
      subscribeOf(1, ['eager:1']),
      publishOf('eager', 'x', { qos: 1, packetId: 2 }),
      { type: 'pingreq' },
    );
    await client.has('pingresp');
    assert.equal(client.received[0]?.type, 'connack');
    await client.has('puback');
    assert.deepEqual((await client.has('publish')).length, 1);
    client.socket.destroy();
  });

  test('the maximum packet size: at it and above it [MQTT-3.2.2-15]', async () => {
    const client = await RawMqtt.open(edge, { clientId: 'size' });
    // 8,192 bytes: fixed header 3, topic 3, packet identifier 2, property length 1.
    client.send(publishOf('a', 'x'.repeat(8_192 - 9), { qos: 1, packetId: 1 }));
    await client.has('puback');
    assert.equal(client.ended, false);
    client.send(publishOf('a', 'x'.repeat(8_192 - 8), { qos: 1, packetId: 2 }));
    await client.end();
    assert.equal(client.of('disconnect')[0]?.reason, reasons.packetTooLarge);
  });

  test('the largest payload and the publications at once: below, at and above', async () => {
    for (const [limits, texts, expected] of [
      [{ PAYLOAD_BYTES: '100' }, [99, 100, 101], 'payload_too_large'],
      [{ RATE: '1', BURST: '2' }, [1, 1, 1], 'rate_limited'],
    ] as const) {
      const variables = Object.entries(limits).map(([name, value]) => [`PUSHFLEET_EDGE_MQTT_${name}`, value]);
      const small = await startEdge(scope, Object.fromEntries(variables));
      const client = await RawMqtt.open(small);
      const packets = texts.map((length, index) =>
        publishOf('a', 'x'.repeat(length), { qos: 1, packetId: index + 1 }),
      );
      client.send(...packets);
      const answers = await client.has('puback', 3);
      assert.deepEqual(
        answers.map(({ reason }) => reason),
        [0, 0, reasons.quotaExceeded],
      );
      assert.deepEqual(answers[2]?.properties.userProperties, [['pushfleetcode', expected]]);
      client.socket.destroy();
    }
  });

  test('a broken rule: DISCONNECT in MQTT 5, the end before it [MQTT-4.13.1-1]', async () => {
    for (const version of [4, 5] as const) {
      const client = await RawMqtt.open(edge, { clientId: `broken${version}`, version, userName: 'u' });
      client.socket.write(Buffer.from('c100', 'hex'));
      await client.end();
      assert.equal(client.of('disconnect').length, version === 5 ? 1 : 0);
    }
  });

  test('what other protocols publish arrives, and the other way round', async () => {
    const client = await RawMqtt.open(edge, { clientId: 'across' });
    client.send(subscribeOf(1, ['across/#:1']));
    await client.has('suback');
    await edge.publish('across/1', 'in', { attributes: [['k', 'v']] });
    const [packet] = await client.has('publish');
    assert.deepEqual(packet?.properties, { contentType: 'text/plain', userProperties: [['k', 'v']] });
    client.send(publishOf('across/2', 'out', { qos: 2, packetId: 1 }));
    await client.has('publish', 2);
    assert.deepEqual(text(client), ['in', 'out']);
    client.socket.destroy();
  });

  test('a client that reads nothing does not fill this process, and gets everything when it reads', async () => {
    const client = await RawMqtt.open(edge, { clientId: 'lazy' });
    client.send(subscribeOf(1, ['lazy']));
    await client.has('suback');
    client.socket.pause();
    const payload = 'x'.repeat(100_000);
    for (let i = 0; i < 200; i++) await edge.publish('lazy', payload);
    assert.ok(edge.hubs.stats().outbox.bytes <= 5 * 1_048_576);
    client.socket.resume();
    assert.equal((await client.has('publish', 200)).length, 200);
    client.socket.destroy();
  });

  test('a client that comes too fast is read later', async () => {
    const slow = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_PACKET_RATE: '50' });
    const client = await RawMqtt.open(slow);
    client.send(...Array.from({ length: 100 }, () => ({ type: 'pingreq' }) as const));
    assert.equal((await client.has('pingresp', 100)).length, 100);
    client.socket.destroy();
  });
});

suite('how it ends', () => {
  test('a will is published, with what the client had said of it', async () => {
    const watcher = await RawMqtt.open(edge, { clientId: 'watcher' });
    watcher.send(subscribeOf(1, ['wills/#:1']));
    await watcher.has('suback');
    const will = { topic: 'wills/a', payload: Buffer.from('gone'), qos: 1, retain: false } as const;
    const client = await RawMqtt.open(edge, { clientId: 'a', will: { ...will, properties: {} } });
    client.socket.destroy();
    await watcher.has('publish');
    assert.deepEqual(text(watcher), ['gone']);
    watcher.socket.destroy();
  });

  test('a revoked token ends its connections, and what it left behind is not published', async () => {
    const watcher = await RawMqtt.open(edge, { clientId: 'watcher of wills' });
    watcher.send(subscribeOf(1, ['wills/#']));
    await watcher.has('suback');
    const willOf = (topic: string) => {
      return { topic, payload: Buffer.from('gone'), qos: 0, retain: false, properties: {} } as const;
    };
    const eve = await RawMqtt.open(edge, { will: willOf('wills/eve') }, { sub: 'eve' });
    const bob = await RawMqtt.open(edge, { will: willOf('wills/bob') }, { sub: 'bob' });
    edge.registry.revoke('eve');
    await eve.end();
    const [last] = eve.of('disconnect');
    assert.equal(last?.reason, reasons.notAuthorized);
    assert.deepEqual(last.properties.userProperties, [['pushfleetcode', 'token_revoked']]);
    bob.socket.destroy();
    await watcher.has('publish');
    assert.deepEqual(
      watcher.of('publish').map(({ topic }) => topic),
      ['wills/bob'],
    );
    watcher.socket.destroy();
  });

  test('who asks for events in a mode that is not there is told so, and whose will is a wrong one', async () => {
    const userProperties = [['cloudevents', 'structured']] as const;
    const given = { password: password(), properties: { userProperties } };
    assert.equal(await answer(given), reasons.implementationSpecificError);
    const properties = { userProperties: [['specversion', '1.0']] as const };
    const will = { topic: 'w', payload: Buffer.alloc(0), qos: 0, retain: false, properties } as const;
    assert.equal(await answer({ password: password(), will }), reasons.implementationSpecificError);
  });

  test('with a session that lasts no longer than the log keeps publications, and is told so', async () => {
    const terms = { maxAgeMs: 100_900 };
    const backbone = Object.assign(createMemoryBackbone(), { terms });
    const short = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_SESSION_EXPIRY_SECONDS: '200' }, { backbone });
    const told = async (sessionExpiryInterval: number): Promise<number | undefined> => {
      const client = await RawMqtt.open(short, { properties: { sessionExpiryInterval } });
      client.socket.destroy();
      return client.of('connack')[0]?.properties.sessionExpiryInterval;
    };
    assert.deepEqual([await told(99), await told(100), await told(101)], [undefined, undefined, 100]);
    terms.maxAgeMs = Number.POSITIVE_INFINITY;
    assert.deepEqual([await told(199), await told(200), await told(201)], [undefined, undefined, 200]);
  });

  test('a drain asks everyone to go, and lets nobody in', async () => {
    const draining = await startEdge(scope);
    const given = { topic: 'w', qos: 0, retain: true, properties: { willDelayInterval: 500 } } as const;
    const client = await RawMqtt.open(draining, {
      will: { ...given, payload: Buffer.from('delayed') },
      properties: { sessionExpiryInterval: 1_000 },
    });
    const drained = draining.edge.drain(AbortSignal.timeout(5_000));
    const late = new RawMqtt(draining);
    late.send(connectOf({ password: password(), clientId: 'late' }));
    assert.equal((await late.has('connack'))[0]?.reason, reasons.serverUnavailable);
    await client.end();
    assert.equal(client.of('disconnect')[0]?.reason, reasons.serverShuttingDown);
    await drained;
    // The session was this process's, and ends with it.
    const retained = draining.backbone
      .bus(defaultNamespace)
      .retained(parseTopicFilter('w'), AbortSignal.timeout(5_000));
    const texts: string[] = [];
    for await (const batch of retained) texts.push(...batch.map(({ payload }) => String(payload)));
    assert.deepEqual(texts, ['delayed']);
  });

  test('a drain says where to go, where that is configured; to MQTT 5 alone', async () => {
    const serverReference = 'other.example:8883';
    const draining = await startEdge(scope, { PUSHFLEET_EDGE_MQTT_SERVER_REFERENCE: serverReference });
    const client = await RawMqtt.open(draining, { clientId: 'five' });
    const old = await RawMqtt.open(draining, { clientId: 'four', version: 4, userName: 'u' });
    const waiting = new RawMqtt(draining);
    await until(() => draining.edge.guests === 1, 'one is at the door');
    const drained = draining.edge.drain(AbortSignal.timeout(5_000));
    const late = new RawMqtt(draining);
    late.send(connectOf({ password: password(), clientId: 'late' }));
    const [connack] = await late.has('connack');
    assert.deepEqual(
      [connack?.reason, connack?.properties.serverReference],
      [reasons.useAnotherServer, serverReference],
    );
    const lateOld = new RawMqtt(draining, 4);
    lateOld.send(connectOf({ password: password(), userName: 'u', clientId: 'late', version: 4 }));
    assert.equal((await lateOld.has('connack'))[0]?.reason, 3);
    await client.end();
    const [disconnect] = client.of('disconnect');
    assert.deepEqual(
      [disconnect?.reason, disconnect?.properties.serverReference],
      [reasons.useAnotherServer, serverReference],
    );
    await old.end();
    assert.deepEqual(
      old.received.map(({ type }) => type),
      ['connack'],
    );
    assert.deepEqual(await waiting.end(), []);
    await drained;
  });

  test('nobody is left behind', async () => {
    await until(() => edge.edge.guests === 0, 'all arrivals are settled');
    await untilNobody(edge);
  });

  test('cleartext stays on this machine unless that is said', async () => {
    const env = { PUSHFLEET_TOKEN_SECRET: 'x'.repeat(32), PUSHFLEET_EDGE_MQTT_LISTEN: '0.0.0.0:0' };
    const made = (more: object) =>
      new Edge({ ...edge, config: readConfig(fields, { ...env, ...more }) } as never);
    assert.throws(() => made({}), /PUSHFLEET_EDGE_MQTT_LISTEN has 0.0.0.0.*PUSHFLEET_EDGE_MQTT_CLEARTEXT/);
    made({ PUSHFLEET_EDGE_MQTT_CLEARTEXT: 'true' });
    const webSocket = {
      PUSHFLEET_EDGE_MQTT_LISTEN: '127.0.0.1:0',
      PUSHFLEET_EDGE_MQTT_WEBSOCKET_LISTEN: '[::]:0',
    };
    assert.throws(() => made(webSocket), /PUSHFLEET_EDGE_MQTT_WEBSOCKET_LISTEN has ::/);
    made({ ...webSocket, PUSHFLEET_EDGE_MQTT_CLEARTEXT: 'true' });
    // TLS may be reached from everywhere.
    made({ PUSHFLEET_EDGE_MQTT_LISTEN: 'localhost:0', PUSHFLEET_EDGE_MQTT_TLS_LISTEN: '0.0.0.0:0' });
  });
});
