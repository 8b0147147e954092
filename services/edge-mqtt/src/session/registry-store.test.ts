import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Random } from '@pushfleet/contract/simulation';
import { defaultNamespace, type Topic } from '@pushfleet/core';
import { type Connect, reasons } from '../codec.ts';
import { ack, type Client, publishOf, subscribeOf } from './testing.ts';
import { Fleet, noFaults, type Pod } from './testing-fleet.ts';

const key = { namespace: defaultNamespace, protocol: 'mqtt', id: 'ann/c' };
const kept = { cleanStart: false, properties: { sessionExpiryInterval: 1_000 } };

function fleetOf(): {
  fleet: Fleet;
  pods: [Pod, Pod];
  open: (pod: Pod, over?: Partial<Connect>) => Promise<Client>;
} {
  const fleet = new Fleet({
    ...{ random: new Random(1), pods: 2, faults: noFaults },
    ...{ server: { inflight: 4, receiveMaximum: 16 }, outbox: { count: 100, bytes: 1_000_000 } },
  });
  const open = async (pod: Pod, over: Partial<Connect> = kept): Promise<Client> => {
    const arriving = pod.arrive(over);
    arriving.catch(() => {});
    await fleet.clock.advance(200);
    const client = await arriving;
    await fleet.clock.advance(200);
    return client;
  };
  return { fleet, pods: fleet.pods as [Pod, Pod], open };
}

const present = (client: Client): boolean | undefined => client.of('connack')[0]?.sessionPresent;

async function subscribed(fleet: Fleet, client: Client, filters: readonly string[]): Promise<void> {
  client.send(subscribeOf(9, filters));
  await fleet.clock.advance(500);
  assert.equal(client.of('suback').length, 1);
}

suite('a session in the registry', () => {
  test('goes on at another pod: 0x8E to the old connection, DUP and the same packet identifiers on the new one', async () => {
    const { fleet, pods, open } = fleetOf();
    const first = await open(pods[0]);
    assert.equal(present(first), false);
    await subscribed(fleet, first, ['a:1', 'b:2']);
    await pods[1].stage.publish('a', '1');
    await pods[1].stage.publish('b', '2');
    await pods[1].stage.publish('b', '3');
    await fleet.clock.advance(500);
    const sent = first.of('publish');
    assert.deepEqual(first.texts, ['a=1 1', 'b=2 2', 'b=3 2']);
    first.send(ack('pubrec', sent[1]?.packetId as number));
    await fleet.clock.advance(500);
    const second = await open(pods[1]);
    assert.equal(first.of('disconnect')[0]?.reason, reasons.sessionTakenOver);
    assert.ok(first.ended);
    assert.equal(present(second), true);
    assert.deepEqual(second.texts, ['a=1 1!', 'b=3 2!']);
    assert.deepEqual(
      second.of('publish').map(({ packetId }) => packetId),
      [sent[0]?.packetId, sent[2]?.packetId],
    );
    assert.deepEqual(
      second.of('pubrel').map(({ packetId }) => packetId),
      [sent[1]?.packetId],
    );
  });

  test('that nobody has, since nothing was heard of its pod, is told with 0x89 and no other: the client may come back', async () => {
    const { fleet, pods, open } = fleetOf();
    const first = await open(pods[0]);
    await subscribed(fleet, first, ['a:1']);
    await fleet.registry.releaseAll(pods[0].name);
    await pods[1].stage.publish('a', '1');
    await fleet.clock.advance(2_000);
    assert.deepEqual(
      first.of('disconnect').map(({ reason, properties }) => [reason, properties?.userProperties]),
      [[reasons.serverBusy, [['pushfleetcode', 'unavailable']]]],
    );
    assert.equal(present(await open(pods[0])), true);
  });

  test('is written of as long as it is kept, and only then', async () => {
    const { fleet, pods, open } = fleetOf();
    const client = await open(pods[0], { cleanStart: true });
    await subscribed(fleet, client, ['a:2']);
    client.send(publishOf('a', 'x', { qos: 2, packetId: 1 }));
    await fleet.clock.advance(500);
    assert.deepEqual(client.texts, ['a=x 2']);
    assert.equal(client.of('pubrec').length, 1);
    assert.deepEqual(fleet.registry.record(key)?.filters, []);
    assert.equal(fleet.registry.state(key), undefined);
    client.session.gone();
    await fleet.clock.advance(500);
    assert.equal(fleet.registry.size, 0);
  });

  test('whose hot state is lost is not there for its client, which is given again what it was owed', async () => {
    const { fleet, pods, open } = fleetOf();
    const first = await open(pods[0]);
    await subscribed(fleet, first, ['a:2']);
    await pods[0].stage.publish('a', '1');
    await fleet.clock.advance(500);
    first.session.gone();
    await fleet.clock.advance(500);
    fleet.registry.loseHot();
    const second = await open(pods[1]);
    await fleet.clock.advance(1_000);
    assert.equal(present(second), false);
    assert.deepEqual(second.texts, ['a=1 2']);
    second.session.gone();
    await fleet.clock.advance(500);
    assert.equal(present(await open(pods[0])), true);
  });

  test('sends nothing again that is gone, and releases it where its QoS is 2', async () => {
    const { fleet, pods, open } = fleetOf();
    const first = await open(pods[0]);
    await subscribed(fleet, first, ['a:1', 'b:2', 'c:2']);
    for (const topic of ['a', 'b', 'c']) await pods[0].stage.publish(topic, topic, { retain: topic === 'c' });
    await fleet.clock.advance(500);
    const [, b] = first.of('publish');
    first.session.gone();
    await fleet.clock.advance(500);
    for (const topic of ['a', 'b']) await fleet.backbone.bus(defaultNamespace).delete(topic as Topic);
    const second = await open(pods[1]);
    assert.deepEqual(second.texts, ['c=c 2!']);
    assert.deepEqual(
      second.of('pubrel').map(({ packetId }) => packetId),
      [b?.packetId],
    );
  });

  test('gives a retained publication again that the log has no more', async () => {
    const { fleet, pods, open } = fleetOf();
    await pods[0].stage.publish('r', 'old', { retain: true });
    const first = await open(pods[0]);
    await subscribed(fleet, first, ['r:1']);
    await fleet.clock.advance(500);
    assert.deepEqual(first.texts, ['r=old 1 r']);
    first.session.gone();
    await fleet.clock.advance(500);
    fleet.backbone.log.purge(0, 1);
    assert.deepEqual((await open(pods[1])).texts, ['r=old 1! r']);
  });

  test('of nothing but time has its place committed now and then', async () => {
    const { fleet, pods, open } = fleetOf();
    const client = await open(pods[0]);
    await subscribed(fleet, client, ['a:1']);
    await fleet.clock.advance(1_000);
    const before = fleet.registry.state(key)?.cursor;
    await pods[0].stage.publish('x', 'another topic');
    await fleet.clock.advance(62_000);
    assert.notEqual(fleet.registry.state(key)?.cursor, before);
  });

  test('that a manager ends says so to its connection', async () => {
    const { fleet, pods, open } = fleetOf();
    const client = await open(pods[0]);
    const { generation } = fleet.registry.record(key) ?? {};
    assert.ok(generation !== undefined);
    const calls = fleet.registry.calls('manager');
    void calls.end({ key, generation: undefined, discardWill: true });
    await fleet.clock.advance(1_000);
    assert.ok(client.ended);
  });

  test('is given back with all others of its pod at a drain', async () => {
    const { fleet, pods, open } = fleetOf();
    const clients: Client[] = [];
    for (let i = 0; i < 100; i++) clients.push(await open(pods[0], { ...kept, clientId: `c${i}` }));
    assert.equal(pods[0].stage.store.size, 100);
    for (const client of clients) client.session.end('draining');
    let drained = false;
    void pods[0].stage.store.drain().then(() => {
      drained = true;
    });
    await fleet.clock.advance(2_000);
    assert.ok(drained);
    assert.equal(pods[0].stage.store.size, 0);
    for (let i = 0; i < 100; i++) {
      assert.equal(fleet.registry.record({ ...key, id: `ann/c${i}` })?.owner, undefined);
    }
  });
});
