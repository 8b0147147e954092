import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Connect, Disconnect, Will } from '../codec.ts';
import { reasons } from '../codec.ts';
import { ack, type Client, grantOf, publishOf, Stage, subscribeOf } from './testing.ts';

const kept = { cleanStart: false, properties: { sessionExpiryInterval: 100 } } satisfies Partial<Connect>;

const willOf = (properties: Will['properties'] = {}): Will => ({
  ...{ topic: 'will', payload: Buffer.from('gone'), qos: 1, retain: false, properties },
});

const bye = (reason: 0 | 4 = 0, sessionExpiryInterval?: number): Disconnect => ({
  ...{ type: 'disconnect', reason },
  properties: sessionExpiryInterval === undefined ? {} : { sessionExpiryInterval },
});

const present = (client: Client): boolean | undefined => client.of('connack')[0]?.sessionPresent;

const acknowledge = (client: Client): void => {
  const packet = client.of('publish').at(-1);
  client.send(ack('puback', packet?.packetId as number));
};

suite('CONNACK', () => {
  test('says what the server has decided, and no more than that [MQTT-3.2.2-21] section 3.2.2.3', async () => {
    const stage = new Stage();
    const client = await stage.connect({
      keepAlive: 101,
      clientId: '',
      properties: { sessionExpiryInterval: 1_001 },
    });
    assert.deepEqual(client.of('connack')[0], {
      type: 'connack',
      sessionPresent: false,
      reason: 0,
      properties: {
        assignedClientIdentifier: '',
        sessionExpiryInterval: 1_000,
        serverKeepAlive: 100,
        receiveMaximum: 4,
        maximumPacketSize: 65_536,
        topicAliasMaximum: 2,
      },
    });
    const within = await stage.connect({ keepAlive: 100, properties: { sessionExpiryInterval: 1_000 } });
    const { properties } = within.of('connack')[0] as { properties: object };
    assert.deepEqual(Object.keys(properties).sort(), [
      'maximumPacketSize',
      'receiveMaximum',
      'topicAliasMaximum',
    ]);
  });

  test('has to fit: below what it takes the connection is closed, at it not [MQTT-3.1.2-24]', async () => {
    for (const [maximumPacketSize, ended] of [
      [15, true],
      [16, false],
    ] as const) {
      const stage = new Stage();
      // The properties are 3 + 5 + 3 bytes, behind five of the header and flags.
      const client = await stage.connect({ keepAlive: 10, properties: { maximumPacketSize } });
      assert.deepEqual([client.ended, client.received.length], [ended, ended ? 0 : 1]);
    }
  });

  test('comes before anything that is resumed, and says whether there was something [MQTT-3.2.2-2] [MQTT-3.2.2-3]', async () => {
    const stage = new Stage();
    const one = await stage.connect(kept);
    assert.equal(present(one), false);
    one.send(subscribeOf(1, ['a:1']));
    await stage.settle();
    one.session.gone();
    await stage.publish('a', 'x');
    const two = await stage.connect(kept);
    await stage.settle();
    assert.equal(present(two), true);
    assert.deepEqual(
      two.received.map(({ type }) => type),
      ['connack', 'publish'],
    );
  });
});

suite('a session', () => {
  test('is dropped by Clean Start [MQTT-3.1.2-4]', async () => {
    const stage = new Stage();
    (await stage.connect(kept)).session.gone();
    assert.equal(present(await stage.connect({ ...kept, cleanStart: true })), false);
  });

  test('of another subject is another session, whatever its client is called', async () => {
    const stage = new Stage();
    const one = await stage.connect(kept, grantOf({}, 'ann'));
    assert.equal(present(await stage.connect(kept, grantOf({}, 'bob'))), false);
    assert.equal(one.ended, false);
  });

  test('outlives its connection by its expiry: before, at', async () => {
    for (const [seconds, there] of [
      [99, true],
      [100, false],
    ] as const) {
      const stage = new Stage();
      (await stage.connect(kept)).session.gone();
      await stage.clock.advance(seconds * 1_000);
      assert.equal(present(await stage.connect(kept)), there, `after ${seconds} s`);
    }
  });

  test('without expiry ends with its connection; before MQTT 5, where Clean Session says so [MQTT-3.1.2-5]', async () => {
    const stage = new Stage();
    for (const [over, there] of [
      [{ cleanStart: false }, false],
      [{ cleanStart: false, version: 4 }, true],
      [{ cleanStart: true, version: 4 }, false],
    ] as const) {
      const clientId = JSON.stringify(over);
      (await stage.connect({ ...over, clientId })).session.gone();
      assert.equal(present(await stage.connect({ ...over, clientId, cleanStart: false })), there, clientId);
    }
  });

  test('has the expiry that DISCONNECT says, at most that of the server; none after none [section 3.14.2.2.2]', async () => {
    const stage = new Stage();
    const one = await stage.connect(kept);
    one.send(bye(0, 0));
    assert.equal(present(await stage.connect(kept)), false);
    const two = await stage.connect({ ...kept, clientId: 'two' });
    two.send(bye(0, 50_000));
    await stage.clock.advance(999_000);
    assert.equal(present(await stage.connect({ ...kept, clientId: 'two' })), true);
    const three = await stage.connect({ clientId: 'three' });
    three.send(bye(0, 5));
    assert.equal(three.of('disconnect')[0]?.reason, reasons.protocolError);
  });

  test('goes on with what was published meanwhile, once, and with the options that it had', async () => {
    const stage = new Stage();
    const one = await stage.connect(kept);
    one.send(subscribeOf(1, ['a/#:1'], { retainAsPublished: true }, { subscriptionIdentifier: 9 }));
    await stage.settle();
    await stage.publish('a', '1');
    await stage.settle();
    acknowledge(one);
    one.session.gone();
    await stage.publish('a', '2', { retain: true });
    await stage.publish('a/b', '3');
    const two = await stage.connect(kept);
    await stage.settle(100);
    await stage.publish('a', '4');
    await stage.settle();
    assert.deepEqual(two.texts, ['a=2 1 r', 'a/b=3 1', 'a=4 1']);
    assert.deepEqual(two.of('publish')[0]?.properties.subscriptionIdentifiers, [9]);
  });

  test('sends again what was not acknowledged, first, with DUP and the same packet identifiers [MQTT-4.4.0-1] [MQTT-3.3.1-1]', async () => {
    const stage = new Stage();
    const one = await stage.connect(kept);
    one.send(subscribeOf(1, ['a:2']));
    await stage.settle();
    for (const text of ['1', '2', '3']) await stage.publish('a', text);
    await stage.settle();
    const sent = one.of('publish').map(({ packetId }) => packetId as number);
    one.send(ack('pubrec', sent[1] as number));
    one.session.gone();
    await stage.publish('a', '4');
    const two = await stage.connect(kept);
    await stage.settle(100);
    // What was released keeps its place behind what is repeated, and PUBREL has no DUP.
    assert.deepEqual(two.texts, ['a=1 2!', 'a=3 2!', 'a=4 2']);
    assert.deepEqual(
      two
        .of('publish')
        .slice(0, 2)
        .map(({ packetId }) => packetId),
      [sent[0], sent[2]],
    );
    assert.deepEqual(
      two.of('pubrel').map(({ packetId }) => packetId),
      [sent[1]],
    );
  });

  test('sends again no more than the new receive maximum [MQTT-3.3.4-9]', async () => {
    const stage = new Stage();
    const one = await stage.connect(kept);
    one.send(subscribeOf(1, ['a:1']));
    await stage.settle();
    for (const text of ['1', '2', '3']) await stage.publish('a', text);
    await stage.settle();
    one.session.gone();
    const two = await stage.connect({ ...kept, properties: { ...kept.properties, receiveMaximum: 1 } });
    await stage.settle();
    for (const count of [1, 2, 3]) {
      assert.equal(two.texts.length, count);
      acknowledge(two);
      await stage.settle();
    }
    assert.deepEqual(two.texts, ['a=1 1!', 'a=2 1!', 'a=3 1!']);
  });

  test('what expired is not sent again [MQTT-3.3.2-5]', async () => {
    const stage = new Stage();
    const one = await stage.connect(kept);
    one.send(subscribeOf(1, ['a:1']));
    await stage.settle();
    await stage.publish('a', '1', { expiresAt: stage.clock.now() + 2_000 });
    await stage.publish('a', '2');
    await stage.settle();
    one.session.gone();
    await stage.clock.advance(3_000);
    const two = await stage.connect(kept);
    await stage.settle();
    assert.deepEqual(two.texts, ['a=2 1!']);
  });

  test('is taken over: 0x8E to the old connection, which writes nothing more [MQTT-3.1.4-3]', async () => {
    const stage = new Stage();
    const one = await stage.connect(kept);
    one.send(subscribeOf(1, ['a:1']));
    await stage.settle();
    await stage.publish('a', '1');
    await stage.settle();
    const two = await stage.connect(kept);
    assert.equal(one.received.at(-1)?.type, 'disconnect');
    assert.equal(one.of('disconnect')[0]?.reason, reasons.sessionTakenOver);
    assert.equal(present(two), true);
    await stage.publish('a', '2');
    await stage.settle(100);
    assert.deepEqual(two.texts, ['a=1 1!', 'a=2 1']);
    // What the old one still hears of its socket changes nothing.
    one.session.gone();
    await stage.clock.advance(140_000);
    assert.equal(two.ended, false);
  });
});

suite('a will', () => {
  test('is due when the connection breaks, and after DISCONNECT with 0x04; not after DISCONNECT [MQTT-3.1.2-8] [MQTT-3.14.4-3]', async () => {
    const stage = new Stage();
    const endings: [number, (client: Client) => void][] = [
      [1, (client) => client.session.gone()],
      [0, (client) => client.send(bye())],
      [1, (client) => client.send(bye(4))],
      [1, (client) => client.send({ type: 'auth', reason: 0x19, properties: { authenticationMethod: 'x' } })],
      [1, (client) => client.session.end('token_expired')],
    ];
    for (const [count, ending] of endings) {
      stage.wills.length = 0;
      ending(await stage.connect({ will: willOf() }));
      assert.equal(stage.wills.length, count);
    }
  });

  test('with a delay: not before it, and not where the client is back by then [MQTT-3.1.3-9]', async () => {
    const will = willOf({ willDelayInterval: 10 });
    const stage = new Stage();
    (await stage.connect({ ...kept, will })).session.gone();
    await stage.clock.advance(9_900);
    assert.equal(stage.wills.length, 0);
    await stage.clock.advance(100);
    assert.equal(stage.wills.length, 1);
    (await stage.connect({ ...kept, will })).session.gone();
    await stage.clock.advance(5_000);
    await stage.connect(kept);
    await stage.clock.advance(50_000);
    assert.equal(stage.wills.length, 1);
  });

  test('with a delay beyond the session is due when the session ends [section 3.1.3.2.2]', async () => {
    const will = willOf({ willDelayInterval: 1_000 });
    const stage = new Stage();
    (await stage.connect({ will })).session.gone();
    assert.equal(stage.wills.length, 1);
    (await stage.connect({ ...kept, will })).session.gone();
    await stage.clock.advance(100_000);
    assert.equal(stage.wills.length, 2);
    (await stage.connect({ ...kept, will })).session.gone();
    await stage.connect({ ...kept, cleanStart: true });
    assert.equal(stage.wills.length, 3);
  });

  test('at a take-over: without a delay, or where the session ends with it [section 3.1.4]', async () => {
    const stage = new Stage();
    await stage.connect({ ...kept, will: willOf() });
    await stage.connect({ ...kept, will: willOf({ willDelayInterval: 10 }) });
    assert.equal(stage.wills.length, 1);
    await stage.connect({ ...kept, will: willOf({ willDelayInterval: 10 }) });
    assert.equal(stage.wills.length, 1);
    await stage.connect({ ...kept, cleanStart: true });
    assert.equal(stage.wills.length, 2);
  });
});

suite('how a connection ends', () => {
  test('one and a half times the keep alive: before, at [MQTT-3.1.2-22]', async () => {
    const stage = new Stage();
    const client = await stage.connect({ keepAlive: 10 });
    await stage.clock.advance(14_000);
    client.send({ type: 'pingreq' });
    await stage.clock.advance(14_900);
    assert.equal(client.ended, false);
    await stage.clock.advance(200);
    assert.equal(client.of('disconnect')[0]?.reason, reasons.keepAliveTimeout);
  });

  test('without a keep alive: the server’s in MQTT 5, none before it', async () => {
    const stage = new Stage();
    const five = await stage.connect({ clientId: 'five' });
    const four = await stage.connect({ clientId: 'four', version: 4 });
    await stage.clock.advance(150_100);
    assert.deepEqual([five.ended, four.ended], [true, false]);
  });

  test('a client that is not read is not taken for silent', async () => {
    const stage = new Stage();
    const client = await stage.connect({ keepAlive: 10 });
    const { promise, resolve } = Promise.withResolvers<void>();
    stage.stalled = promise;
    for (let i = 0; i < 256; i++) client.send(publishOf('a', 'x'));
    assert.equal(client.held, true);
    await stage.clock.advance(60_000);
    assert.equal(client.ended, false);
    resolve();
    await stage.settle();
  });

  test('on a drain: 0x8B, or where to go; what is under way is acknowledged before', async () => {
    for (const [serverReference, reason] of [
      [undefined, reasons.serverShuttingDown],
      ['other:8883', reasons.useAnotherServer],
    ] as const) {
      const stage = new Stage({ ...(serverReference !== undefined && { serverReference }) });
      const client = await stage.connect();
      const { promise, resolve } = Promise.withResolvers<void>();
      stage.stalled = promise;
      client.send(publishOf('a', 'x', { qos: 1, packetId: 1 }));
      client.session.end('draining');
      assert.equal(client.ended, false);
      resolve();
      await stage.settle();
      const [puback, disconnect] = client.received.slice(1);
      assert.deepEqual(puback, { type: 'puback', packetId: 1, reason: 0, properties: {} });
      assert.equal(disconnect?.type === 'disconnect' && disconnect.reason, reason);
      const told = client.of('disconnect')[0]?.properties;
      assert.equal(told?.serverReference, serverReference);
      assert.match(told?.reasonString ?? '', /^This instance is shutting down/);
      assert.deepEqual(told?.userProperties, [['pushfleetcode', 'draining']]);
    }
  });

  test('before MQTT 5 it is closed without a word', async () => {
    const stage = new Stage();
    const client = await stage.connect({ version: 4 });
    client.session.end('draining');
    assert.deepEqual([client.received.length, client.ended], [1, true]);
  });
});
