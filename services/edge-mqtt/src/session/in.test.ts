import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type ErrorCode, PushfleetError, parseTopicFilter } from '@pushfleet/core';
import { reasons } from '../codec.ts';
import { ack, grantOf, publishOf, Stage, subscribeOf } from './testing.ts';

const refusal = (code: ErrorCode) => () => new PushfleetError(code, 'No.');

/** Something that settles when the test says so. */
const gate = () => Promise.withResolvers<void>();

suite('what a client publishes', () => {
  test('QoS 0 has no answer, QoS 1 a PUBACK and QoS 2 a PUBREC, once the log has it [MQTT-4.3.2-4]', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    const { promise, resolve } = gate();
    stage.stalled = promise;
    client.send(publishOf('a', '0'));
    client.send(publishOf('a', '1', { qos: 1, packetId: 7 }), publishOf('a', '2', { qos: 2, packetId: 8 }));
    await stage.settle();
    assert.deepEqual(client.received.slice(1), []);
    resolve();
    await stage.settle();
    assert.deepEqual(client.received.slice(1), [
      { type: 'puback', packetId: 7, reason: 0, properties: {} },
      { type: 'pubrec', packetId: 8, reason: 0, properties: {} },
    ]);
  });

  test('acknowledgements come in the order of what they acknowledge, whatever the log answers first [MQTT-4.6.0-2]', async () => {
    const stage = new Stage({
      refuse: ({ submission }) => (submission.topic === 'b' ? refusal('forbidden')() : undefined),
    });
    const client = await stage.connect();
    const first = gate();
    stage.stalled = first.promise;
    client.send(publishOf('a', '1', { qos: 1, packetId: 1 }));
    stage.stalled = undefined;
    client.send(publishOf('b', '2', { qos: 1, packetId: 2 }), publishOf('a', '3', { qos: 2, packetId: 3 }));
    await stage.settle();
    assert.deepEqual(client.received.slice(1), []);
    first.resolve();
    await stage.settle();
    const told = client.received.slice(1).map((one) => ('packetId' in one ? [one.type, one.packetId] : []));
    assert.deepEqual(told, [
      ['puback', 1],
      ['puback', 2],
      ['pubrec', 3],
    ]);
  });

  test('a QoS 2 publication that is sent again is stored once, until its PUBREL [MQTT-4.3.3-10] [MQTT-4.3.3-12]', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    const again = { qos: 2, packetId: 5, dup: true } as const;
    client.send(publishOf('a', 'x', { qos: 2, packetId: 5 }), publishOf('a', 'x', again));
    await stage.settle();
    client.send(publishOf('a', 'x', again));
    await stage.settle();
    assert.deepEqual([stage.published.length, client.of('pubrec').length], [1, 2]);
    client.send(ack('pubrel', 5));
    client.send(publishOf('a', 'y', { qos: 2, packetId: 5 }));
    await stage.settle();
    assert.equal(stage.published.length, 2);
    assert.deepEqual(client.of('pubcomp'), [{ type: 'pubcomp', packetId: 5, reason: 0, properties: {} }]);
  });

  test('a QoS 2 publication is known on the next connection, too, and has the same id', async () => {
    const stage = new Stage();
    const kept = { cleanStart: false, properties: { sessionExpiryInterval: 100 } };
    const one = await stage.connect(kept);
    const { promise, resolve } = gate();
    stage.stalled = promise;
    one.send(publishOf('a', 'x', { qos: 2, packetId: 5 }));
    one.session.gone();
    resolve();
    await stage.settle();
    const two = await stage.connect(kept);
    two.send(publishOf('a', 'x', { qos: 2, packetId: 5, dup: true }));
    await stage.settle();
    const ids = stage.published.map(({ submitted }) => submitted.submission.id);
    assert.equal(ids.length, 2);
    assert.equal(ids[0], ids[1]);
    two.send(ack('pubrel', 5));
    await stage.settle();
    assert.deepEqual(
      two.received.slice(1).map(({ type }) => type),
      ['pubrec', 'pubcomp'],
    );
  });

  test('PUBREL of what is not there is answered as any other [MQTT-4.3.3-11]', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(ack('pubrel', 9));
    await stage.settle();
    assert.equal(client.of('pubcomp')[0]?.reason, reasons.success);
  });

  test('the receive maximum of this server: at it and above it [MQTT-3.3.4-7]', async () => {
    const stage = new Stage({ server: { receiveMaximum: 2 } });
    const client = await stage.connect();
    assert.equal(client.of('connack')[0]?.properties.receiveMaximum, 2);
    const { promise, resolve } = gate();
    stage.stalled = promise;
    client.send(publishOf('a', '1', { qos: 1, packetId: 1 }), publishOf('a', '2', { qos: 2, packetId: 2 }));
    resolve();
    await stage.settle();
    // The PUBACK frees one, the PUBREC none.
    client.send(publishOf('a', '3', { qos: 2, packetId: 3 }));
    await stage.settle();
    assert.equal(client.ended, false);
    client.send(publishOf('a', '4', { qos: 2, packetId: 4 }));
    assert.equal(client.of('disconnect')[0]?.reason, reasons.receiveMaximumExceeded);
    assert.equal(client.ended, true);
  });

  test('before MQTT 5 there is no receive maximum', async () => {
    const stage = new Stage({ server: { receiveMaximum: 1 } });
    const client = await stage.connect({ version: 4 });
    for (let id = 1; id <= 5; id++) client.send(publishOf('a', '1', { qos: 2, packetId: id }));
    await stage.settle();
    assert.equal(client.of('pubrec').length, 5);
  });

  test('what is refused: a reason in MQTT 5, an acknowledgement before it [MQTT-3.3.5-2]', async () => {
    const stage = new Stage({ refuse: refusal('forbidden') });
    for (const [version, reason] of [
      [5, reasons.notAuthorized],
      [4, reasons.success],
    ] as const) {
      const client = await stage.connect({ version, clientId: `c${version}` });
      client.send(publishOf('a', '1', { qos: 1, packetId: 1 }), publishOf('a', '2', { qos: 2, packetId: 2 }));
      await stage.settle();
      assert.equal(client.of('puback')[0]?.reason, reason);
      assert.equal(client.of('pubrec')[0]?.reason, reason);
      // The packet identifier is free: PUBREC with a failure ends it (section 4.3.3).
      const before = stage.published.length;
      client.send(publishOf('a', '3', { qos: 2, packetId: 2 }));
      await stage.settle();
      assert.equal(stage.published.length, before + 1);
    }
  });

  test('of topics that begin with "$" a client is told in three bytes that they are closed', async () => {
    const stage = new Stage({ refuse: refusal('forbidden') });
    const client = await stage.connect();
    for (const [at, topic] of ['$SYS/x', 'a'].entries())
      client.send(publishOf(topic, 'x', { qos: 1, packetId: at + 1 }));
    await stage.settle();
    const [closed, refused] = client.of('puback');
    assert.deepEqual(closed, {
      type: 'puback',
      packetId: 1,
      reason: reasons.notAuthorized,
      properties: {},
    });
    assert.equal(refused?.reason, reasons.notAuthorized);
    assert.deepEqual(refused.properties, {
      reasonString: 'No.',
      userProperties: [['pushfleetcode', 'forbidden']],
    });
  });

  test('what had no room is not acknowledged before MQTT 5: it would be lost', async () => {
    const stage = new Stage({ refuse: refusal('storage_full') });
    const five = await stage.connect({ clientId: 'five' });
    const four = await stage.connect({ version: 4, clientId: 'four' });
    for (const client of [five, four]) client.send(publishOf('a', '1', { qos: 1, packetId: 1 }));
    await stage.settle();
    assert.equal(five.of('puback')[0]?.reason, reasons.quotaExceeded);
    assert.deepEqual([four.of('puback').length, four.ended], [0, true]);
  });

  test('nor is one of QoS 2 that is sent again, which the log may have by its first sending', async () => {
    const stage = new Stage({ refuse: refusal('rate_limited') });
    const client = await stage.connect();
    client.send(publishOf('a', '1', { qos: 2, packetId: 1, dup: true }));
    await stage.settle();
    assert.deepEqual([client.of('pubrec').length, client.ended], [0, true]);
  });

  test('without the log a connection ends, and the client sends it again on the next one', async () => {
    const stage = new Stage({ refuse: refusal('unavailable') });
    const client = await stage.connect();
    client.send(publishOf('a', '0'));
    await stage.settle();
    assert.equal(client.ended, false);
    client.send(publishOf('a', '1', { qos: 1, packetId: 1 }));
    await stage.settle();
    assert.equal(client.of('puback').length, 0);
    assert.equal(client.of('disconnect')[0]?.reason, reasons.serverBusy);
  });

  test('topic aliases of the client: set, used, set anew [MQTT-3.3.2-12]; not those of another connection', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    assert.equal(client.of('connack')[0]?.properties.topicAliasMaximum, 2);
    const by = (topicAlias: number, topic?: string) =>
      publishOf(topic as string, 'x', { properties: { topicAlias } });
    client.send(by(2, 'one'), by(2), by(2, 'two'), by(2));
    await stage.settle();
    const topics = stage.published.map(({ submitted }) => submitted.submission.topic);
    assert.deepEqual(topics, ['one', 'one', 'two', 'two']);
    const next = await stage.connect();
    next.send(by(2));
    assert.equal(next.of('disconnect')[0]?.reason, reasons.protocolError);
  });

  test('a topic alias above the maximum ends the connection [MQTT-3.3.2-9]', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(publishOf('a', 'x', { properties: { topicAlias: 3 } }));
    assert.equal(client.of('disconnect')[0]?.reason, reasons.topicAliasInvalid);
  });

  test('what is on its way into the log is bounded: the client is not read until there is room', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    const { promise, resolve } = gate();
    stage.stalled = promise;
    for (let i = 0; i < 255; i++) client.send(publishOf('a', String(i)));
    assert.equal(client.held, false);
    client.send(publishOf('a', 'last'));
    assert.equal(client.held, true);
    resolve();
    await stage.settle();
    assert.equal(client.held, false);
  });
});

suite('what a client asks for', () => {
  test('SUBACK has a reason for each filter, in their order [MQTT-3.9.3-1]', async () => {
    const stage = new Stage({ filters: 2 });
    const client = await stage.connect({}, grantOf({ subscribe: [parseTopicFilter('a/#')] }));
    client.send(subscribeOf(1, ['a/1:2', 'b:1', 'a/2:0', 'a/3:1', 'a/1:1']));
    await stage.settle();
    assert.deepEqual(client.of('suback')[0]?.reasons, [2, 0x87, 0, 0x97, 1]);
  });

  test('a failure reads as 0x80 in 3.1.1 section 3.9.3', async () => {
    const stage = new Stage();
    const client = await stage.connect({ version: 4 }, grantOf({ subscribe: [] }));
    client.send(subscribeOf(3, ['a:1']));
    await stage.settle();
    assert.deepEqual(client.of('suback')[0]?.reasons, [0x80]);
  });

  test('UNSUBACK says what was there [MQTT-3.11.3-1], and nothing comes any more [MQTT-3.10.4-2]', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(subscribeOf(1, ['a', 'b']));
    await stage.settle();
    const names = ['a', 'c'].map((filter) => ({ share: undefined, filter }));
    client.send({ type: 'unsubscribe', packetId: 2, filters: names, properties: {} });
    await stage.settle();
    assert.deepEqual(client.of('unsuback')[0]?.reasons, [0, 0x11]);
    await stage.publish('a', '1');
    await stage.publish('b', '2');
    await stage.settle();
    assert.deepEqual(client.texts, ['b=2']);
  });

  test('one SUBSCRIBE at a time: nothing is read until it is answered', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(subscribeOf(1, ['a']));
    assert.equal(client.held, true);
    await stage.settle();
    assert.equal(client.held, false);
  });

  test('PINGREQ is answered [MQTT-3.12.4-1]; AUTH has no place without a method [MQTT-4.12.0-6]', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send({ type: 'pingreq' });
    assert.deepEqual(client.received.at(-1), { type: 'pingresp' });
    client.send({ type: 'auth', reason: 0x19, properties: { authenticationMethod: 'x' } });
    assert.equal(client.of('disconnect')[0]?.reason, reasons.protocolError);
  });
});
