import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { reasons } from '../codec.ts';
import { ack, type Client, publishOf, Stage, subscribeOf } from './testing.ts';

const ids = (client: Client): (number | undefined)[] => client.of('publish').map(({ packetId }) => packetId);

async function subscribed(
  stage: Stage,
  filters: readonly string[],
  over: Parameters<Stage['connect']>[0] = {},
  options: Parameters<typeof subscribeOf>[2] = {},
): Promise<Client> {
  const client = await stage.connect(over);
  client.send(subscribeOf(60_000, filters, options));
  await stage.settle();
  return client;
}

suite('what a client is sent', () => {
  test('the lower QoS of subscription and publication [MQTT-3.8.4-8]', async () => {
    const stage = new Stage({ server: { inflight: 100, receiveMaximum: 100 } });
    const client = await subscribed(stage, ['a/0:0', 'a/1:1', 'a/2:2']);
    const publisher = await stage.connect({ clientId: 'p' });
    for (const level of [0, 1, 2]) {
      const topic = `a/${level}`;
      publisher.send(publishOf(topic, '0'), publishOf(topic, '1', { qos: 1, packetId: 10 + level }));
      publisher.send(publishOf(topic, '2', { qos: 2, packetId: 20 + level }));
      await stage.settle();
      // Whatever is not MQTT is owed to whoever asked for it.
      await stage.publish(topic, `*${level}`);
      await stage.settle();
    }
    assert.deepEqual(client.texts.slice(0, 4), ['a/0=0', 'a/0=1', 'a/0=2', 'a/0=*0']);
    assert.deepEqual(client.texts.slice(4, 8), ['a/1=0', 'a/1=1 1', 'a/1=2 1', 'a/1=*1 1']);
    assert.deepEqual(client.texts.slice(8), ['a/2=0', 'a/2=1 1', 'a/2=2 2', 'a/2=*2 2']);
  });

  test('one delivery for all filters that match, with the highest QoS and every identifier [MQTT-3.3.4-2] [MQTT-3.3.4-4]', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(subscribeOf(1, ['a/#:0'], {}, { subscriptionIdentifier: 1 }));
    await stage.settle();
    client.send(subscribeOf(2, ['a/+:2'], {}, { subscriptionIdentifier: 268_435_455 }));
    await stage.settle();
    client.send(subscribeOf(3, ['a/b:1']));
    await stage.settle();
    await stage.publish('a/b', 'x');
    await stage.settle();
    assert.deepEqual(client.texts, ['a/b=x 2']);
    const given = client.of('publish')[0]?.properties.subscriptionIdentifiers ?? [];
    assert.deepEqual([...given].sort(), [1, 268_435_455]);
  });

  test('also while the retained publications of a filter are still read', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(subscribeOf(1, ['a/b:0'], {}, { subscriptionIdentifier: 1 }));
    await stage.settle();
    client.send(subscribeOf(2, ['a/#:2'], {}, { subscriptionIdentifier: 2 }));
    while (client.of('suback').length < 2) await stage.clock.advance(0);
    await stage.publish('a/b', 'x');
    await stage.settle();
    await stage.publish('a/b', 'y');
    await stage.settle();
    assert.deepEqual(client.texts, ['a/b=x 2', 'a/b=y 2']);
    for (const { properties } of client.of('publish')) {
      assert.deepEqual([...(properties.subscriptionIdentifiers ?? [])].sort(), [1, 2]);
    }
  });

  test('no local, by client and not by connection [MQTT-3.8.3-3]', async () => {
    const stage = new Stage();
    const own = await subscribed(stage, ['a'], { clientId: 'own' }, { noLocal: true });
    const other = await subscribed(stage, ['a'], { clientId: 'other' });
    own.send(publishOf('a', 'x'));
    await stage.settle();
    assert.deepEqual([own.texts, other.texts], [[], ['a=x']]);
  });

  test('retain as published [MQTT-3.3.1-12] [MQTT-3.3.1-13]', async () => {
    const stage = new Stage();
    const plain = await subscribed(stage, ['a'], { clientId: 'plain' });
    const asIs = await subscribed(stage, ['a'], { clientId: 'as' }, { retainAsPublished: true });
    await stage.publish('a', '1', { retain: true });
    await stage.publish('a', '2');
    await stage.settle();
    assert.deepEqual(plain.texts, ['a=1', 'a=2']);
    assert.deepEqual(asIs.texts, ['a=1 r', 'a=2']);
  });

  test('retained messages: always, to new subscriptions, never [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]', async () => {
    const stage = new Stage();
    await stage.publish('a', '1', { retain: true });
    for (const [handling, first, second] of [
      [0, 1, 2],
      [1, 1, 1],
      [2, 0, 0],
    ] as const) {
      const over = { clientId: `c${handling}` };
      const client = await subscribed(stage, ['a'], over, { retainHandling: handling });
      await stage.settle(100);
      assert.deepEqual(
        client.texts,
        Array.from({ length: first }, () => 'a=1 r'),
        `handling ${handling}`,
      );
      client.send(subscribeOf(2, ['a'], { retainHandling: handling }));
      await stage.settle(100);
      assert.equal(client.texts.length, second, `handling ${handling}, again`);
    }
  });

  test('the receive maximum of the client: at it nothing more, an acknowledgement is room for one [MQTT-3.3.4-9]', async () => {
    const stage = new Stage();
    const client = await subscribed(stage, ['a:2'], { properties: { receiveMaximum: 2 } });
    for (const text of ['1', '2', '3', '4']) await stage.publish('a', text);
    await stage.settle();
    assert.deepEqual(client.texts, ['a=1 2', 'a=2 2']);
    const [one = 0, two = 0] = ids(client);
    client.send(ack('pubrec', one as number));
    await stage.settle();
    // PUBREC is room for none, PUBCOMP is, and so is a PUBREC that says it failed (section 4.9).
    assert.deepEqual([client.of('pubrel').length, client.texts.length], [1, 2]);
    client.send(ack('pubcomp', one as number));
    await stage.settle();
    assert.equal(client.texts.length, 3);
    client.send(ack('pubrec', two as number, 0x80));
    await stage.settle();
    assert.deepEqual(client.texts.slice(2), ['a=3 2', 'a=4 2']);
  });

  test('before MQTT 5 the window is the server’s own', async () => {
    const stage = new Stage({ server: { inflight: 3 } });
    const client = await subscribed(stage, ['a:1'], { version: 4 });
    for (const text of ['1', '2', '3', '4']) await stage.publish('a', text);
    await stage.settle();
    assert.equal(client.texts.length, 3);
    client.send(ack('puback', ids(client)[2] as number));
    await stage.settle();
    assert.equal(client.texts.length, 4);
  });

  test('packet identifiers are not 0 and not in use [MQTT-2.2.1-3] [MQTT-2.2.1-4]', async () => {
    const stage = new Stage({ server: { inflight: 2 } });
    const client = await subscribed(stage, ['a:1']);
    await stage.publish('a', 'kept');
    await stage.settle();
    const kept = ids(client)[0];
    for (let i = 0; i < 40; i++) {
      await stage.publish('a', String(i));
      await stage.settle(1);
      client.send(ack('puback', ids(client).at(-1) as number));
    }
    assert.equal(ids(client).length, 41);
    assert.equal(ids(client).slice(1).includes(kept), false);
    assert.equal(ids(client).includes(0), false);
  });

  test('a client that takes nothing costs an outbox: what does not fit is read from the log when it reads again', async () => {
    const stage = new Stage({ outbox: { count: 4, bytes: 1_000_000 } });
    const client = await subscribed(stage, ['a:1'], { properties: { receiveMaximum: 1 } });
    for (let i = 0; i < 30; i++) await stage.publish('a', String(i));
    await stage.settle();
    assert.ok(stage.hubs.stats().outbox.count <= 4);
    for (let i = 0; i < 30; i++) {
      assert.equal(client.texts.length, i + 1);
      client.send(ack('puback', ids(client).at(-1) as number));
      await stage.settle();
    }
    assert.deepEqual(
      client.texts,
      Array.from({ length: 30 }, (_, i) => `a=${i} 1`),
    );
  });

  test('a full wire is not written to until it takes bytes again', async () => {
    const stage = new Stage();
    const client = await subscribed(stage, ['a']);
    client.full = true;
    await stage.publish('a', '1');
    await stage.settle();
    await stage.publish('a', '2');
    await stage.settle();
    assert.deepEqual(client.texts, ['a=1']);
    client.full = false;
    client.session.drained();
    await stage.settle();
    assert.deepEqual(client.texts, ['a=1', 'a=2']);
  });

  test('topic aliases for the client: the first topics get them, and are left out from the second time on', async () => {
    const stage = new Stage();
    const client = await subscribed(stage, ['#'], { properties: { topicAliasMaximum: 10 } });
    for (const [i, topic] of ['a', 'b', 'c', 'a', 'b', 'c'].entries()) {
      await stage.publish(topic, String(i));
      await stage.settle();
    }
    const sent = client.of('publish').map(({ topic, properties }) => [topic, properties.topicAlias]);
    // The server's own maximum is 2.
    assert.deepEqual(sent, [
      ['a', 1],
      ['b', 2],
      ['c', undefined],
      [undefined, 1],
      [undefined, 2],
      ['c', undefined],
    ]);
  });

  test('no alias for who takes none [MQTT-3.1.2-26]', async () => {
    const stage = new Stage();
    const client = await subscribed(stage, ['#']);
    await stage.publish('a', '1');
    await stage.settle();
    assert.equal(client.of('publish')[0]?.properties.topicAlias, undefined);
  });

  test('the maximum packet size of the client: at it sent, above it as if delivered [MQTT-3.1.2-24] [MQTT-3.1.2-25]', async () => {
    const stage = new Stage();
    // Fixed header 2, topic 3, packet identifier 2, property length 1 and content type 13.
    const client = await subscribed(stage, ['a:1'], { properties: { maximumPacketSize: 31 } });
    await stage.publish('a', 'x'.repeat(11));
    await stage.publish('a', 'y'.repeat(10));
    await stage.settle();
    assert.deepEqual(client.texts, [`a=${'y'.repeat(10)} 1`]);
  });

  test('what is left of the expiry goes with it, and what expired does not come [MQTT-3.3.2-5] [MQTT-3.3.2-6]', async () => {
    const stage = new Stage();
    const client = await subscribed(stage, ['a:1'], { properties: { receiveMaximum: 1 } });
    const expiresAt = stage.clock.now() + 10_000;
    await stage.publish('a', '1', { expiresAt });
    await stage.publish('a', '2', { expiresAt });
    await stage.publish('a', '3', { expiresAt: expiresAt - 6_000 });
    await stage.settle();
    assert.equal(client.of('publish')[0]?.properties.messageExpiryInterval, 10);
    await stage.clock.advance(4_500);
    client.send(ack('puback', ids(client)[0] as number));
    await stage.settle();
    assert.equal(client.of('publish')[1]?.properties.messageExpiryInterval, 6);
    client.send(ack('puback', ids(client)[1] as number));
    await stage.settle();
    assert.equal(client.texts.length, 2);
  });

  test('all that a PUBLISH has arrives as it was sent [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18]', async () => {
    const stage = new Stage();
    const client = await subscribed(stage, ['a:2']);
    const publisher = await stage.connect({ clientId: 'p' });
    const properties = {
      payloadFormatIndicator: true,
      contentType: 'text/plain',
      responseTopic: 'answers/here',
      correlationData: Buffer.from([0, 255, 1]),
      userProperties: [
        ['b', '1'],
        ['a', '2'],
        ['b', '1'],
      ],
    } as const;
    publisher.send(publishOf('a', 'x', { qos: 1, packetId: 1, properties }));
    await stage.settle();
    assert.deepEqual(client.of('publish')[0]?.properties, properties);
  });

  test('acknowledgements of another kind end the connection', async () => {
    for (const [qos, wrong] of [
      [1, 'pubrec'],
      [2, 'puback'],
      [2, 'pubcomp'],
    ] as const) {
      const stage = new Stage();
      const client = await subscribed(stage, [`a:${qos}`]);
      await stage.publish('a', 'x');
      await stage.settle();
      client.send(ack(wrong, ids(client)[0] as number));
      assert.equal(client.of('disconnect')[0]?.reason, reasons.protocolError, `${wrong} of QoS ${qos}`);
    }
  });

  test('acknowledgements of nothing: PUBREC is answered as any other, the others are let be', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(ack('puback', 1), ack('pubcomp', 2), ack('pubrec', 3), ack('pubrec', 4, 0x80));
    assert.deepEqual(client.received.slice(1), [
      { type: 'pubrel', packetId: 3, reason: reasons.success, properties: {} },
    ]);
  });
});
