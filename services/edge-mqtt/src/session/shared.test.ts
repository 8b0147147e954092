import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { defaultNamespace, PushfleetError, parseTopicFilter } from '@pushfleet/core';
import { splitShare } from '../codec/names.ts';
import { type Connect, type Publish, reasons, type Unsubscribe } from '../codec.ts';
import { ack, type Client, grantOf, publishOf, Stage, subscribeOf } from './testing.ts';

// Shared subscriptions, MQTT 5 section 4.8.2.

type Options = Parameters<typeof subscribeOf>[2];

const kept = { cleanStart: false, properties: { sessionExpiryInterval: 100 } };

async function member(
  stage: Stage,
  name: string,
  over: Partial<Connect> = {},
  o: { readonly filters?: readonly string[]; readonly options?: Options } = {},
): Promise<Client> {
  const client = await stage.connect({ clientId: name, ...over });
  client.send(subscribeOf(60_000, o.filters ?? ['$share/g/a/#:1'], o.options));
  await stage.settle();
  return client;
}

async function publish(stage: Stage, ...texts: string[]): Promise<void> {
  for (const text of texts) await stage.publish('a/1', text);
  await stage.settle();
}

const payloads = (client: Client): string[] => client.of('publish').map(({ payload }) => payload.toString());

/** What the members got together, each in the order of their coming. */
const together = (...clients: Client[]): string[] => clients.flatMap(payloads).sort();

const last = (client: Client): Publish => client.of('publish').at(-1) as Publish;

/** Acknowledges all that came and is not yet. */
function acknowledge(client: Client, from = 0): void {
  for (const { packetId } of client.of('publish').slice(from)) client.send(ack('puback', packetId as number));
}

const unsubscribeOf = (packetId: number, ...names: string[]): Unsubscribe => ({
  ...{ type: 'unsubscribe', packetId, properties: {} },
  filters: names.map((name) => splitShare(name) as { share: string; filter: string }),
});

suite('a shared subscription', () => {
  test('gives each publication to one of its sessions, in turn', async () => {
    const stage = new Stage();
    const [one, two, three] = [
      await member(stage, '1'),
      await member(stage, '2'),
      await member(stage, '3'),
    ] as const;
    await publish(stage, '1', '2', '3', '4', '5', '6');
    assert.deepEqual([payloads(one).length, payloads(two).length, payloads(three).length], [2, 2, 2]);
    assert.deepEqual(together(one, two, three), ['1', '2', '3', '4', '5', '6']);
  });

  test('is one of its name and its filter: others, and those without a name, get their own', async () => {
    const stage = new Stage({ server: { inflight: 10 } });
    const clients = [
      await member(stage, '1'),
      await member(stage, '2', {}, { filters: ['$share/h/a/#:1'] }),
      await member(stage, '3', {}, { filters: ['$share/g/a/1:1'] }),
      await member(stage, '4', {}, { filters: ['a/#:1'] }),
    ];
    await publish(stage, '1', '2');
    assert.deepEqual(clients.map(payloads), Array(4).fill(['1', '2']));
  });

  test('comes beside a subscription of the same session, with the identifier of each [MQTT-3.3.4-4]', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    client.send(subscribeOf(1, ['$share/g/a/#:1'], {}, { subscriptionIdentifier: 7 }));
    await stage.settle();
    client.send(subscribeOf(2, ['a/#:0'], {}, { subscriptionIdentifier: 8 }));
    await stage.settle();
    await publish(stage, 'x');
    const came = client.of('publish').map(({ qos, properties }) => [qos, properties.subscriptionIdentifiers]);
    assert.deepEqual(came.sort(), [
      [0, [8]],
      [1, [7]],
    ]);
  });

  test('has the QoS that was granted to each session [MQTT-4.8.2-3]', async () => {
    const stage = new Stage();
    const filters = (qos: number): string[] => [`$share/g/a/#:${qos}`];
    const clients = [
      await member(stage, '0', {}, { filters: filters(0) }),
      await member(stage, '1', {}, { filters: filters(1) }),
      await member(stage, '2', {}, { filters: filters(2) }),
    ];
    await publish(stage, 'x', 'y', 'z');
    assert.deepEqual(
      clients.map((client) => client.of('publish').map(({ qos }) => qos)),
      [[0], [1], [2]],
    );
  });

  test('has no retained publications; what is retained keeps its flag where the session asks for it', async () => {
    const stage = new Stage();
    await stage.publish('a/1', 'before', { retain: true });
    const client = await member(stage, '1', {}, { options: { retainAsPublished: true } });
    await stage.settle(100);
    await stage.publish('a/1', 'after', { retain: true });
    await stage.settle();
    assert.deepEqual(client.texts, ['a/1=after 1 r']);
  });

  test('does not go with No Local [MQTT-3.8.3-4]', async () => {
    const stage = new Stage();
    const client = await stage.connect();
    assert.throws(
      () => client.send(subscribeOf(1, ['$share/g/a'], { noLocal: true })),
      ({ reason, rule }) => reason === reasons.protocolError && rule === 'no_local_shared',
    );
  });

  test('gives clients what they publish themselves', async () => {
    const stage = new Stage();
    const client = await member(stage, '1');
    client.send(publishOf('a/1', 'x'));
    await stage.settle();
    assert.deepEqual(payloads(client), ['x']);
  });

  test('is there for 3.1.1 and 3.1 too, whose clients share it with those of 5', async () => {
    const stage = new Stage();
    const clients = [
      await member(stage, '3', { version: 3 }),
      await member(stage, '4', { version: 4 }),
      await member(stage, '5', { version: 5 }),
    ];
    await publish(stage, '1', '2', '3');
    assert.deepEqual(
      clients.map((client) => payloads(client).length),
      [1, 1, 1],
    );
    assert.deepEqual(
      clients.map((client) => client.of('suback')[0]?.reasons),
      Array(3).fill([1]),
    );
  });

  test('starts with what is published after its first SUBACK, and ends with its last session', async () => {
    const stage = new Stage();
    await publish(stage, 'before');
    const one = await member(stage, '1');
    await publish(stage, '1');
    assert.deepEqual([payloads(one), stage.groups.size], [['1'], 1]);
    one.send({ type: 'disconnect', reason: 0, properties: {} });
    await stage.settle();
    assert.equal(stage.groups.size, 0);
    await publish(stage, 'between');
    const two = await member(stage, '2');
    assert.deepEqual(payloads(two), []);
  });
});

suite('SUBSCRIBE and UNSUBSCRIBE of a shared subscription', () => {
  test('right is had on the filter behind the name', async () => {
    const stage = new Stage();
    const client = await stage.connect({}, grantOf({ subscribe: [parseTopicFilter('a/#')] }));
    client.send(subscribeOf(1, ['$share/g/a/+:1', '$share/g/b:1', '$share/a/#:0']));
    await stage.settle();
    assert.deepEqual(client.of('suback')[0]?.reasons, [1, reasons.notAuthorized, reasons.notAuthorized]);
  });

  test('counts as a filter of the session: at the limit, above', async () => {
    const stage = new Stage({ filters: 2 });
    const client = await stage.connect();
    client.send(subscribeOf(1, ['a', '$share/g/a', '$share/h/a']));
    await stage.settle();
    assert.deepEqual(client.of('suback')[0]?.reasons, [0, 0, reasons.quotaExceeded]);
    assert.equal(stage.groups.size, 1);
  });

  test('below, at and above the most of this instance', async () => {
    const stage = new Stage({ sharedSubscriptions: 2 });
    const [one, two] = [await stage.connect({ clientId: '1' }), await stage.connect({ clientId: '2' })];
    one.send(subscribeOf(1, ['$share/1/a']));
    await stage.settle();
    one.send(subscribeOf(2, ['$share/2/a', '$share/3/a']));
    await stage.settle();
    assert.deepEqual(
      one.of('suback').map((suback) => suback.reasons),
      [[0], [0, reasons.quotaExceeded]],
    );
    two.send(subscribeOf(1, ['$share/1/a', '$share/3/a']));
    await stage.settle();
    assert.deepEqual(two.of('suback')[0]?.reasons, [0, reasons.quotaExceeded]);
    one.send(unsubscribeOf(3, '$share/2/a'));
    await stage.settle();
    two.send(subscribeOf(2, ['$share/3/a']));
    await stage.settle();
    assert.deepEqual(two.of('suback')[1]?.reasons, [0]);
  });

  test('again with other options replaces the options [MQTT-3.8.4-3], and no second one is there', async () => {
    const stage = new Stage();
    const client = await member(stage, '1');
    client.send(subscribeOf(1, ['$share/g/a/#:0'], {}, { subscriptionIdentifier: 3 }));
    await stage.settle();
    await publish(stage, 'x');
    assert.deepEqual(client.texts, ['a/1=x']);
    assert.deepEqual(last(client).properties.subscriptionIdentifiers, [3]);
    client.send(unsubscribeOf(2, '$share/g/a/#'));
    await stage.settle();
    assert.equal(stage.groups.size, 0);
  });

  test('UNSUBACK says what was there [MQTT-3.11.3-1]: the name counts, and so does its absence', async () => {
    const stage = new Stage();
    const client = await member(stage, '1', {}, { filters: ['$share/g/a', '$share/h/a', 'b'] });
    client.send(unsubscribeOf(2, 'a', '$share/g/b', '$share/g/a', '$share/g/a', '$share/i/a'));
    await stage.settle();
    assert.deepEqual(client.of('unsuback')[0]?.reasons, [0x11, 0x11, 0, 0x11, 0x11]);
    assert.equal(stage.groups.size, 1);
  });

  test('who unsubscribes is given nothing more, and finishes what it was given [MQTT-3.10.4-3]', async () => {
    const stage = new Stage();
    const one = await member(stage, '1', kept);
    await publish(stage, '1');
    const two = await member(stage, '2');
    one.send(unsubscribeOf(2, '$share/g/a/#'));
    await stage.settle();
    await publish(stage, '2');
    assert.deepEqual([payloads(one), payloads(two)], [['1'], ['2']]);
    acknowledge(one);
    one.session.gone();
    await stage.settle();
    assert.deepEqual(payloads(two), ['2']);
  });
});

suite('the work of a shared subscription', () => {
  test('goes to whoever has room in its window [MQTT-3.3.4-9]; what nobody has room for waits in the log', async () => {
    const stage = new Stage({ outbox: { count: 2, bytes: 10_000 } });
    const one = await member(stage, '1', { properties: { receiveMaximum: 1 } });
    const two = await member(stage, '2', { properties: { receiveMaximum: 2 } });
    await publish(stage, '1', '2', '3', '4', '5', '6', '7');
    assert.deepEqual([payloads(one).length, payloads(two).length], [1, 2]);
    acknowledge(two);
    await stage.settle(100);
    assert.deepEqual([payloads(one).length, payloads(two).length], [1, 4]);
    const three = await member(stage, '3');
    await stage.settle(100);
    assert.deepEqual([payloads(one).length, payloads(two).length, payloads(three).length], [1, 4, 2]);
    assert.deepEqual(together(one, two, three), ['1', '2', '3', '4', '5', '6', '7']);
  });

  test('goes to whoever’s socket takes it', async () => {
    const stage = new Stage();
    const one = await member(stage, '1', {}, { filters: ['$share/g/a/#:0'] });
    const two = await member(stage, '2', {}, { filters: ['$share/g/a/#:0'] });
    one.full = true;
    await publish(stage, '1', '2');
    // The first write tells it that the socket is full.
    await publish(stage, '3', '4', '5');
    assert.deepEqual([payloads(one).length, payloads(two).length], [1, 4]);
    one.full = false;
    one.session.drained();
    two.full = true;
    await publish(stage, '6', '7');
    await publish(stage, '8', '9');
    assert.deepEqual([payloads(one).length, payloads(two).length], [4, 5]);
  });

  test('is not parked with who is offline, and waits where nobody is there', async () => {
    const stage = new Stage({ outbox: { count: 2, bytes: 10_000 } });
    const one = await member(stage, '1', kept);
    const two = await member(stage, '2', kept);
    one.session.gone();
    await publish(stage, '1', '2');
    assert.deepEqual(payloads(two), ['1', '2']);
    acknowledge(two);
    two.session.gone();
    await publish(stage, '3', '4', '5', '6');
    const back = await stage.connect({ clientId: '1', ...kept });
    await stage.settle(100);
    assert.deepEqual(payloads(back), ['3', '4', '5', '6']);
  });

  test('of QoS 1 that is unacknowledged goes to another as soon as the connection is lost, and is no duplicate there', async () => {
    const stage = new Stage();
    const one = await member(stage, '1', kept);
    await publish(stage, '1', '2', '3');
    const two = await member(stage, '2', kept);
    const [first] = one.of('publish');
    one.send(ack('puback', first?.packetId as number));
    one.session.gone();
    await stage.settle();
    assert.deepEqual(two.texts, ['a/1=2 1', 'a/1=3 1']);
    acknowledge(two);
    const back = await stage.connect({ clientId: '1', ...kept });
    await stage.settle();
    assert.deepEqual(back.texts, []);
    await publish(stage, '4', '5');
    assert.deepEqual([payloads(back).length, together(back, two)], [1, ['2', '3', '4', '5']]);
  });

  test('of QoS 1 waits in the log where nobody else is there, and comes without DUP', async () => {
    const stage = new Stage();
    const one = await member(stage, '1', kept);
    await publish(stage, '1');
    one.session.gone();
    await stage.clock.advance(50_000);
    const back = await stage.connect({ clientId: '1', ...kept });
    await stage.settle();
    assert.deepEqual(back.texts, ['a/1=1 1']);
  });

  test('of QoS 2 that the session could not be told of goes to another; of QoS 0 and 1 it is not told', async () => {
    for (const qos of [0, 1, 2]) {
      const stage = new Stage();
      const { store } = stage;
      const filters = [`$share/g/a/#:${qos}`];
      const away = new PushfleetError('unavailable', 'The store is away.');
      stage.store = {
        ...{ size: 0, drain: () => store.drain() },
        async take(claim) {
          const held = await store.take(claim);
          if (claim.key.clientId === '1') held.sending = () => Promise.reject(away);
          return held;
        },
      };
      const one = await member(stage, '1', kept, { filters });
      const two = await member(stage, '2', kept, { filters });
      await publish(stage, '1', '2', '3', '4');
      await stage.settle();
      assert.deepEqual([one.ended, payloads(one).length], qos === 2 ? [true, 0] : [false, 2]);
      assert.deepEqual(together(one, two), ['1', '2', '3', '4'], `QoS ${qos}`);
    }
  });

  test('of QoS 2 does not [MQTT-4.8.2-5]; where the session lasts it is completed there [MQTT-4.8.2-4]', async () => {
    const stage = new Stage();
    const filters = ['$share/g/a/#:2'];
    const one = await member(stage, '1', kept, { filters });
    await publish(stage, '1');
    const two = await member(stage, '2', kept, { filters });
    one.session.gone();
    const back = await stage.connect({ clientId: '1', ...kept });
    assert.deepEqual(back.texts, ['a/1=1 2!']);
    back.session.gone();
    await stage.connect({ clientId: '1' });
    await stage.settle();
    assert.deepEqual([payloads(two), stage.groups.size], [[], 1]);
  });

  test('that a client refuses goes to nobody [MQTT-4.8.2-6]', async () => {
    const stage = new Stage();
    const one = await member(stage, '1', kept);
    await publish(stage, '1');
    const two = await member(stage, '2');
    one.send(ack('puback', last(one).packetId as number, 0x80));
    await stage.connect({ clientId: '1' });
    await stage.settle();
    assert.deepEqual(payloads(two), []);
  });

  test('that expired meanwhile is not given to another [MQTT-3.3.2-5]', async () => {
    const stage = new Stage();
    const one = await member(stage, '1', kept);
    await stage.publish('a/1', 'short', { expiresAt: stage.clock.now() + 5_000 });
    await stage.publish('a/1', 'long', { expiresAt: stage.clock.now() + 500_000 });
    await stage.settle();
    one.session.gone();
    await stage.clock.advance(5_000);
    const two = await member(stage, '2');
    await stage.connect({ clientId: '1' });
    await stage.settle();
    assert.deepEqual(payloads(two), ['long']);
  });

  test('that was sent, and that the token of the next connection does not grant, is not sent again and goes to another', async () => {
    const stage = new Stage();
    const over = { clientId: 'less', cleanStart: false, properties: { sessionExpiryInterval: 100 } } as const;
    const filters = ['$share/g/secret:1', '$share/g2/secret:2', 'open:1', 'secret:1'];
    const former = await stage.connect(over);
    former.send(subscribeOf(1, filters));
    await stage.settle();
    for (const topic of ['open', 'secret']) await stage.publish(topic, topic);
    await stage.settle();
    assert.equal(former.texts.length, 4);
    former.session.gone();
    const other = await stage.connect({ clientId: 'other' });
    other.send(subscribeOf(1, filters.slice(0, 2)));
    await stage.settle();
    const client = await stage.connect(over, grantOf({ subscribe: [parseTopicFilter('open')] }));
    await stage.settle();
    assert.deepEqual([client.texts, other.texts], [['open=open 1!'], ['secret=secret 1']]);
    client.session.gone();
    const whole = await stage.connect(over);
    await stage.settle();
    assert.deepEqual(whole.texts, ['open=open 1!']);
  });

  test('that is too large for one client goes to another; for all of them, to nobody [MQTT-3.1.2-24] [MQTT-3.1.2-25]', async () => {
    const stage = new Stage();
    const small = await member(stage, '1', { properties: { maximumPacketSize: 50 } });
    const large = await member(stage, '2', { properties: { maximumPacketSize: 500 } });
    await publish(stage, '1', '2'.repeat(100), '3'.repeat(100), '4'.repeat(1_000), '5');
    assert.deepEqual(
      [small, large].map((client) => payloads(client).map((text) => [text[0], text.length])),
      [
        [
          ['1', 1],
          ['5', 1],
        ],
        [
          ['2', 100],
          ['3', 100],
        ],
      ],
    );
  });

  test('does not starve what the session is owed by itself, nor the other way round', async () => {
    const stage = new Stage({ server: { inflight: 1 }, outbox: { count: 50, bytes: 100_000 } });
    const client = await member(stage, '1', {}, { filters: ['$share/g/a/#:1', 'b:1'] });
    for (let i = 0; i < 20; i++) {
      await stage.publish('a/1', `a${i}`);
      await stage.publish('b', `b${i}`);
    }
    for (let i = 0; i < 20; i++) {
      await stage.settle();
      client.send(ack('puback', last(client).packetId as number));
    }
    const shared = payloads(client).filter((text) => text.startsWith('a')).length;
    assert.ok(shared >= 8 && shared <= 13, `${shared} of 21 came by the shared subscription`);
  });

  test('is not given to who may not have it any more, and is once it may again', async () => {
    const stage = new Stage();
    await member(stage, '1', kept);
    const without = await stage.connect({ clientId: '1', ...kept }, grantOf({ subscribe: [] }));
    await publish(stage, '1');
    assert.deepEqual(payloads(without), []);
    const again = await stage.connect({ clientId: '1', ...kept });
    await stage.settle(100);
    assert.deepEqual(payloads(again), ['1']);
  });

  test('begins anew where somebody removed the group from the log while members are there', async () => {
    const stage = new Stage();
    const one = await member(stage, '1');
    await publish(stage, '1');
    const [, id = ''] = [...stage.backbone.log.groups.keys()][0]?.split(' ') ?? [];
    await Promise.all([stage.backbone.bus(defaultNamespace).closeGroup(id), stage.settle()]);
    await publish(stage, 'lost');
    await stage.clock.advance(1_000);
    await stage.settle();
    await publish(stage, '2');
    assert.deepEqual([payloads(one), stage.errors.length], [['1', '2'], 1]);
  });
});
