import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Cursor, formatCursor, PushfleetError, parseCursor } from '@pushfleet/core';
import { type Properties, type Publish, reasons } from '../codec.ts';
import { publishOf, Stage, subscribeOf } from '../session/testing.ts';
import { encoders, submissionOf } from './message.ts';

// CloudEvents 1.0.2 over MQTT: https://github.com/cloudevents/spec, bindings/mqtt-protocol-binding.md

type Pairs = readonly (readonly [string, string])[];

const asks = { properties: { userProperties: [['cloudevents', 'binary']] } } as const;

const event = (over: Pairs = [], without: readonly string[] = []): Pairs => {
  const all: Pairs = [
    ['specversion', '1.0'],
    ['id', 'e1'],
    ['source', '/door'],
    ['type', 'com.example.opened'],
    ...over,
  ];
  return all.filter(([name]) => !without.includes(name));
};

const sent = (userProperties: Pairs, properties: Properties<'publish'> = {}, over: Partial<Publish> = {}) =>
  publishOf('door/1', 'open', {
    ...{ qos: 1, packetId: 1 },
    ...over,
    properties: { ...properties, userProperties },
  } as Partial<Publish>);

/** What the log is given of a PUBLISH. */
function given(userProperties: Pairs, properties: Properties<'publish'> = {}, over: Partial<Publish> = {}) {
  const submitted = submissionOf(
    { ...sent(userProperties, properties, over), topic: 'door/1' },
    'c',
    'drawn',
  );
  if (submitted instanceof PushfleetError) throw submitted;
  return submitted.submission;
}

suite('a PUBLISH that is an event', () => {
  test('gives the publication its id, source and type; what is left is attributes, in order', () => {
    const properties = [...event(), ['time', '2025-01-02T03:04:05Z'], ['Zone', 'b'], ['zone', 'a']] as const;
    const { id, source, type, attributes, contentType } = given(properties, {
      contentType: 'application/json',
    });
    assert.deepEqual(
      { id, source, type, contentType },
      {
        ...{ id: 'e1', source: '/door', type: 'com.example.opened', contentType: 'application/json' },
      },
    );
    assert.deepEqual(attributes, [
      ['mqttqos', '1'],
      ['mqttevent', 'specversion id source type'],
      ['time', '2025-01-02T03:04:05Z'],
      ['Zone', 'b'],
      ['zone', 'a'],
    ]);
  });

  test('is one where the user property specversion is 1.0, and none in structured mode', () => {
    for (const properties of [event([], ['specversion']), event([['specversion', '0.3']], ['specversion'])]) {
      const { id, source, attributes } = given(properties);
      assert.deepEqual([id, source, attributes?.slice(1)], ['drawn', undefined, properties]);
    }
    const structured = given(event(), { contentType: 'application/cloudevents+json; charset=utf-8' });
    assert.deepEqual([structured.id, structured.attributes?.slice(1)], ['drawn', event()]);
  });

  test('may name its content type twice, and its topic as the subject', () => {
    const twice = event([
      ['datacontenttype', 'text/plain'],
      ['subject', 'door/1'],
    ]);
    assert.equal(given(twice, { contentType: 'text/plain' }).contentType, 'text/plain');
    assert.equal(given(twice).contentType, 'text/plain');
    assert.equal(given(twice).attributes?.length, 2);
  });

  test('whose subject is not the topic keeps it: the topic is not derived from the event (3.1.4)', () => {
    const { attributes } = given(event([['subject', 'hinge']]));
    assert.deepEqual(attributes?.slice(2), [['subject', 'hinge']]);
  });

  test('may ask for what it can ask for everywhere', () => {
    const { retain, ttlMs } = given(
      event([
        ['pushfleetretain', 'true'],
        ['pushfleetttl', '7'],
      ]),
    );
    assert.deepEqual([retain, ttlMs], [true, 7_000]);
    const packets = given(event([['pushfleetttl', '7']]), { messageExpiryInterval: 3 }, { retain: true });
    assert.deepEqual([packets.retain, packets.ttlMs], [true, 3_000]);
  });

  const wrong: readonly (readonly [string, Pairs, Properties<'publish'>?])[] = [
    ['no id', event([], ['id'])],
    ['an empty source', event([['source', '']], ['source'])],
    ['no type', event([], ['type'])],
    ['two ids', event([['id', 'e2']])],
    ['a time that is none', event([['time', 'noon']])],
    ["the fleet's prefix, misspelt", event([['pushfleetretian', 'true']])],
    ['two content types', event([['datacontenttype', 'text/plain']]), { contentType: 'text/html' }],
  ];
  for (const [what, properties, more] of wrong) {
    test(`is refused with ${what}: 0x83, and why`, async () => {
      const stage = new Stage();
      const client = await stage.connect();
      client.send(sent(properties, more));
      client.send(sent(properties, more, { qos: 2, packetId: 2 } as Partial<Publish>));
      client.send(sent(properties, more, { qos: 0, packetId: undefined, dup: false } as Partial<Publish>));
      await stage.settle();
      for (const type of ['puback', 'pubrec'] as const) {
        const [refused] = client.of(type);
        assert.equal(refused?.reason, reasons.implementationSpecificError);
        assert.match(refused.properties.reasonString ?? '', /./);
        assert.deepEqual(refused.properties.userProperties, [['pushfleetcode', 'attribute_invalid']]);
      }
      assert.deepEqual([stage.published.length, client.ended], [0, false]);
    });
  }

  test('comes to who does not ask for events as it was sent [MQTT-3.3.2-17] [MQTT-3.3.2-18]', async () => {
    const stage = new Stage();
    const publisher = await stage.connect({ clientId: 'p' });
    const plain = await stage.connect({ clientId: 'plain' });
    plain.send(subscribeOf(1, ['#']));
    await stage.settle();
    const mixed: Pairs = [
      ['zone', 'a'],
      ['type', 'x'],
      ['id', 'e1'],
      ['Z', '1'],
      ['subject', 'door/1'],
      ['Z', '1'],
      ['specversion', '1.0'],
      ['source', 'not a uri'],
      ['', 'unnamed'],
      ['mqttqos', '7'],
    ];
    publisher.send(sent(mixed, { contentType: 'text/plain' }));
    await stage.settle();
    assert.deepEqual(plain.of('publish')[0]?.properties.userProperties, mixed);
  });
});

suite('publications as events', () => {
  test('come to who asks by CONNECT, which CONNACK confirms; to nobody else', async () => {
    const stage = new Stage();
    const asking = await stage.connect({ ...asks, clientId: 'asking' });
    const plain = await stage.connect({ clientId: 'plain' });
    const old = await stage.connect({ clientId: 'old', version: 4 });
    assert.deepEqual(asking.of('connack')[0]?.properties.userProperties, [['cloudevents', 'binary']]);
    assert.equal(plain.of('connack')[0]?.properties.userProperties, undefined);
    for (const client of [asking, plain, old]) client.send(subscribeOf(1, ['#']));
    await stage.settle();
    await stage.publish('a/b', 'x', {
      ...{ source: 'auth0|12', type: 'made', contentType: 'text/plain' },
      attributes: [
        ['time', '2025-01-02T03:04:05Z'],
        ['zone', 'a'],
        ['No Name', '1'],
      ],
    });
    await stage.settle();
    assert.deepEqual(
      [plain, old].flatMap(({ texts }) => texts),
      ['a/b=x', 'a/b=x'],
    );
    const { userProperties, ...rest } = asking.of('publish')[0]?.properties ?? {};
    assert.deepEqual(rest, { contentType: 'text/plain' });
    const got = new Map(userProperties);
    assert.match(got.get('pushfleetcursor') ?? '', /^[\w.~-]+$/);
    assert.match(got.get('pushfleettime') ?? '', /^\d{4}-/);
    got.delete('pushfleetcursor');
    got.delete('pushfleettime');
    assert.deepEqual(
      [...got],
      [
        ['specversion', '1.0'],
        ['id', 'x'],
        ['source', 'auth0%7C12'],
        ['type', 'made'],
        ['subject', 'a/b'],
        ['time', '2025-01-02T03:04:05Z'],
        ['zone', 'a'],
        ['pushfleetsource', 'auth0|12'],
        ['pushfleetattributes', '[["No Name","1"]]'],
      ],
    );
  });

  test('keep what MQTT has properties for as these', async () => {
    const stage = new Stage();
    const asking = await stage.connect(asks);
    asking.send(subscribeOf(1, ['#']));
    await stage.settle();
    const properties = {
      ...{ payloadFormatIndicator: true, responseTopic: 'answers', correlationData: Buffer.of(1, 2) },
    };
    asking.send(sent(event([['zone', 'a']]), properties));
    await stage.settle();
    const { userProperties = [], ...rest } = asking.of('publish')[0]?.properties ?? {};
    assert.deepEqual(rest, { contentType: 'application/octet-stream', ...properties });
    const names = userProperties.map(([name]) => name);
    assert.deepEqual(names.slice(0, 7), [
      ...['specversion', 'id', 'source', 'type', 'subject', 'time', 'zone'],
    ]);
  });

  test('whose payload is an event itself come in structured mode', async () => {
    const stage = new Stage();
    const asking = await stage.connect(asks);
    asking.send(subscribeOf(1, ['#']));
    await stage.settle();
    await stage.publish('a', 'x', {
      contentType: 'application/cloudevents+json',
      payload: Buffer.from('{}'),
    });
    await stage.settle();
    const [packet] = asking.of('publish');
    assert.equal(packet?.properties.contentType, 'application/cloudevents+json');
    const { id, data, datacontenttype } = JSON.parse(packet.payload.toString());
    assert.deepEqual(
      { id, data, datacontenttype },
      { id: 'x', data: {}, datacontenttype: 'application/cloudevents+json' },
    );
  });

  test('come again with DUP as events, without a place', async () => {
    const stage = new Stage();
    const kept = {
      ...{ clientId: 'k', cleanStart: false },
      properties: { sessionExpiryInterval: 100, ...asks.properties },
    };
    const one = await stage.connect(kept);
    one.send(subscribeOf(1, ['a:1']));
    await stage.settle();
    await stage.publish('a', 'x');
    await stage.settle();
    one.session.gone();
    const two = await stage.connect(kept);
    const [again] = two.of('publish');
    assert.equal(again?.dup, true);
    const names = again.properties.userProperties?.map(([name]) => name);
    assert.deepEqual(names, ['specversion', 'id', 'source', 'type', 'subject', 'time']);
  });
});

suite('the place of a client that asks for events', () => {
  const cursorOf = (properties: Properties<'outcome'> | Properties<'publish'> | undefined): string =>
    properties?.userProperties?.find(([name]) => name === 'pushfleetcursor')?.[1] ?? '';

  const from = (cursor: string, filters: readonly string[] = ['a/#']) =>
    subscribeOf(1, filters, {}, { userProperties: [['pushfleetcursor', cursor]] });

  test('is told by SUBACK and with each publication, and is gone on from by SUBSCRIBE', async () => {
    const stage = new Stage();
    const one = await stage.connect({ ...asks, clientId: 'one' });
    one.send(subscribeOf(1, ['a/#']));
    await stage.settle();
    const start = cursorOf(one.of('suback')[0]?.properties);
    for (const text of ['1', '2', '3']) await stage.publish('a/x', text);
    await stage.settle();
    const behind = cursorOf(one.of('publish')[0]?.properties);
    one.session.gone();
    for (const [clientId, cursor, texts] of [
      ['two', start, ['a/x=1', 'a/x=2', 'a/x=3', 'a/x=4']],
      ['three', behind, ['a/x=2', 'a/x=3', 'a/x=4', 'a/x=5']],
    ] as const) {
      const next = await stage.connect({ clientId });
      next.send(from(cursor));
      await stage.settle();
      await stage.publish('a/x', clientId === 'two' ? '4' : '5');
      await stage.settle();
      assert.deepEqual(next.texts, texts);
    }
  });

  test('that is none is refused: 0x83, and nothing is subscribed', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(from('nonsense', ['a', 'b']));
    await stage.settle();
    const [refused] = client.of('suback');
    const failed = reasons.implementationSpecificError;
    assert.deepEqual(refused?.reasons, [failed, failed]);
    assert.deepEqual(refused.properties.userProperties, [['pushfleetcode', 'cursor_invalid']]);
    await stage.publish('a', '1');
    await stage.settle();
    assert.deepEqual(client.texts, []);
  });

  test('that is lost: who subscribes to $pushfleet/gap is told, others go on without a word', async () => {
    const stage = new Stage();
    const one = await stage.connect({ ...asks, clientId: 'one' });
    one.send(subscribeOf(1, ['a/#']));
    await stage.settle();
    const start = cursorOf(one.of('suback')[0]?.properties);
    const lost = formatCursor({ ...parseCursor(start as Cursor), generation: 'lost' });
    const told = await stage.connect({ clientId: 'told', version: 4 });
    told.send(subscribeOf(1, ['$pushfleet/gap:2']));
    const untold = await stage.connect({ clientId: 'untold' });
    await stage.settle();
    assert.deepEqual(told.of('suback')[0]?.reasons, [0]);
    const events = await stage.connect({ ...asks, clientId: 'events' });
    events.send(subscribeOf(9, ['$pushfleet/gap'], {}, { subscriptionIdentifier: 5 }));
    await stage.settle();
    for (const client of [events, untold]) client.send(from(lost));
    await stage.settle();
    await stage.publish('a/x', 'fresh');
    await stage.settle();
    assert.deepEqual([untold.texts, told.texts], [['a/x=fresh'], []]);
    const [gap, fresh] = events.of('publish');
    assert.equal(fresh?.payload.toString(), 'fresh');
    assert.deepEqual(
      [gap?.topic, gap?.qos, gap?.properties.subscriptionIdentifiers],
      ['$pushfleet/gap', 0, [5]],
    );
    const { from: begin, to } = JSON.parse(gap?.payload.toString() ?? '');
    assert.equal(begin, lost);
    assert.equal(cursorOf(gap?.properties), to);
    assert.equal(new Map(gap?.properties.userProperties).get('type'), 'pushfleet.gap');
  });

  test('is of no one else: $pushfleet/gap cannot be published to, nor any other $-topic followed', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(subscribeOf(1, ['$pushfleet/#', '$pushfleet/+', '$SYS/#']));
    await stage.settle();
    assert.deepEqual(client.of('suback')[0]?.reasons, [0x87, 0x87, 0x87]);
    assert.deepEqual(client.of('suback')[0]?.properties.userProperties, [['pushfleetcode', 'forbidden']]);
  });
});

suite('what comes by a shared subscription', () => {
  test('is an event, and says nothing of the place of the client that it came to', async () => {
    const stage = new Stage();
    const client = await stage.connect(asks);
    const { subscriptions, ...rest } = subscribeOf(1, ['a:1']);
    client.send({ ...rest, subscriptions: subscriptions.map((one) => ({ ...one, share: 'g' })) });
    await stage.settle();
    await stage.publish('a', 'x');
    await stage.settle();
    const names = client.of('publish')[0]?.properties.userProperties?.map(([name]) => name);
    assert.deepEqual(names, ['specversion', 'id', 'source', 'type', 'subject', 'time']);
  });
});

suite("user properties that are named like MQTT's own attributes", () => {
  test('stay what they are, in front and anywhere', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(subscribeOf(1, ['#:2']));
    await stage.settle();
    const names = ['mqttqos', 'mqttpayloadformat', 'mqttresponsetopic', 'mqttcorrelationdata', 'mqttevent'];
    const all = [...names, '', 'mqttname:', 'mqttname:mqttqos', 'plain', ...names].map(
      (name) => [name, '0'] as const,
    );
    for (const properties of [{}, { payloadFormatIndicator: false, responseTopic: 'r' }]) {
      client.send(publishOf('a', 'x', { properties: { ...properties, userProperties: all } }));
      client.send(
        publishOf('a', 'x', { qos: 2, packetId: 3, properties: { ...properties, userProperties: all } }),
      );
    }
    await stage.settle();
    const got = client.of('publish');
    assert.deepEqual(
      got.map(({ qos }) => qos),
      [0, 2, 0],
      'the second of QoS 2 has the identifier of the first',
    );
    for (const { properties } of got) assert.deepEqual(properties.userProperties, all);
    assert.deepEqual(got.at(-1)?.properties.responseTopic, 'r');
  });

  test('a publisher of another protocol that says it came as an event has each field given once', () => {
    const attributes = [['mqttevent', Array.from({ length: 2_000 }, () => 'id').join(' ')]] as const;
    const publication = {
      ...{ id: 'i'.repeat(256), source: 's', topic: 'a', contentType: 'text/plain', attributes },
      ...{ payload: Buffer.alloc(0), time: 0, shard: 0, sequence: 1 },
    } as unknown as Parameters<(typeof encoders)[5]>[0]['publication'];
    const size = encoders[5]({ publication }).size({
      ...{ qos: 0, dup: false, retain: false, packetId: 0, expiry: undefined },
      ...{ subscriptionIds: [], topicAlias: 0, aliasKnown: false },
    });
    assert.ok(size < 400, `${size} bytes`);
  });

  test('a response topic of another protocol that is no topic is not sent: clients would break the connection', () => {
    const publication = {
      ...{ id: '1', source: 's', topic: 'a', contentType: 'text/plain', payload: Buffer.alloc(0) },
      ...{ time: 0, shard: 0, sequence: 1, attributes: [['mqttresponsetopic', 'a/#']] },
    } as unknown as Parameters<(typeof encoders)[5]>[0]['publication'];
    const bytes = encoders[5]({ publication }).packet({
      ...{ qos: 0, dup: false, retain: false, packetId: 0, expiry: undefined },
      ...{ subscriptionIds: [], topicAlias: 0, aliasKnown: false },
    });
    assert.equal(bytes.includes('a/#'), false);
  });
});
