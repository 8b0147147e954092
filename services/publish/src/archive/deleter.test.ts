import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { draftOf, store } from '@pushfleet/contract/bus-suite';
import {
  type Cursor,
  formatCursor,
  type Namespace,
  PushfleetError,
  parseCursor,
  type Stored,
  type Topic,
} from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import { Deleter } from './deleter.ts';
import { DeletionRecords } from './deletion-records.ts';

const namespace = 'ns' as Namespace;
const topic = (text: string): Topic => text as Topic;
const grant = { namespace, require() {} } as unknown as Grant;

function open(shards = 3) {
  const backbone = createMemoryBackbone({ shards });
  const bus = backbone.bus(namespace);
  const owed = backbone.shelf('owed');
  return {
    backbone,
    bus,
    owed,
    deleter: new Deleter({ backbone, fleet: { ask: async () => [] } }),
    /** Publishes, and lays it down as whoever delivers it later does. */
    async publish(name: string): Promise<Stored> {
      const stored = await store(bus, draftOf(name));
      const publication = await bus.find(topic(name), stored.cursor);
      const { shard, sequence } = publication ?? {};
      const head = JSON.stringify({ shard, sequence, cursor: stored.cursor });
      await owed.append([{ key: `ns/${name}`, body: Buffer.from(`${head}\n\n{"shard":0}`) }]);
      return stored;
    },
    async record(name: string): Promise<{ shard: number; first: number; last: number; at: number }[]> {
      const held = await backbone.ledger('deletions').get(`ns/${name}`);
      return held === undefined ? [] : JSON.parse(Buffer.from(held.value).toString());
    },
    count: async (name: string) => (await owed.read(`ns/${name}`, 0, 5_000)).length,
  };
}

const placeOf = ({ cursor }: Stored): { shard: number; sequence: number } => {
  const { positions } = parseCursor(cursor);
  const shard = positions.findIndex((position) => position !== undefined);
  return { shard, sequence: positions[shard] ?? 0 };
};

suite('a deletion', () => {
  test('of a topic is on record and clears what is owed of it, and of no other topic', async () => {
    const { deleter, publish, record, count } = open();
    const stored = [await publish('a'), await publish('a'), await publish('a/b'), await publish('b')];
    const { shard, sequence } = placeOf(stored[1] as Stored);
    assert.equal((await deleter.delete(grant, topic('a'))).count, 2);
    const [range] = await record('a');
    assert.equal(range?.shard, shard);
    assert.ok((range?.first ?? 9) <= 1 && (range?.last ?? 0) >= sequence);
    assert.deepEqual([await count('a'), await count('a/b'), await count('b')], [0, 1, 1]);
    const later = placeOf(await publish('a'));
    assert.ok(later.sequence > (range?.last ?? 0), 'what comes later is delivered');
    assert.equal(await count('a'), 1);
  });

  test('whose answer got lost is on record once it is asked for again', async () => {
    const { bus, deleter, publish, record, count } = open();
    const { shard, sequence } = placeOf(await publish('a'));
    await bus.delete(topic('a'));
    assert.equal((await deleter.delete(grant, topic('a'))).count, 0);
    const [range] = await record('a');
    assert.ok(range?.shard === shard && range.first <= sequence && sequence <= range.last);
    assert.equal(await count('a'), 0);
    const { cursor } = await publish('b');
    await bus.delete(topic('b'), cursor);
    await assert.rejects(deleter.delete(grant, topic('b'), cursor), { code: 'not_found' });
    assert.equal((await record('b')).length, 1);
    assert.equal(await count('b'), 0);
  });

  test('of one publication names that one, and takes it alone from what is owed', async () => {
    const { deleter, publish, record, count } = open();
    const stored = [];
    for (let i = 0; i < 40; i++) stored.push(await publish('a'));
    for (const index of [3, 38]) {
      const { cursor } = stored[index] as Stored;
      await deleter.delete(grant, topic('a'), cursor);
      const { shard, sequence } = placeOf(stored[index] as Stored);
      const { at, ...range } = (await record('a')).at(-1) ?? {};
      assert.deepEqual(range, { shard, first: sequence, last: sequence });
      assert.ok((at ?? 0) <= Date.now() && (at ?? 0) > Date.now() - 60_000);
    }
    assert.equal((await record('a')).length, 2);
    assert.equal(await count('a'), 38);
    await deleter.delete(grant, topic('a'));
    assert.equal((await record('a')).length, 1, 'the topic covers its publications');
  });

  test('of what is not there yet, or of another log, keeps nothing from anybody', async () => {
    const { deleter, publish, record, count } = open(1);
    const { cursor } = await publish('a');
    const place = parseCursor(cursor);
    const ahead = formatCursor({ ...place, positions: [99] });
    const foreign = formatCursor({ ...place, generation: 'zzz' });
    for (const at of [ahead, foreign] as Cursor[]) {
      await assert.rejects(deleter.delete(grant, topic('a'), at), { code: 'not_found' });
    }
    assert.deepEqual([await record('a'), await count('a')], [[], 1]);
    await deleter.delete(grant, topic('nothing was ever here'));
  });

  test('is refused while it cannot be recorded, and finished when asked again', async () => {
    const { backbone, deleter, publish, record } = open();
    await publish('a');
    backbone.source.cut(new PushfleetError('unavailable', 'away'));
    await assert.rejects(deleter.delete(grant, topic('a')), { code: 'unavailable' });
    backbone.source.restore();
    await deleter.delete(grant, topic('a'));
    assert.equal((await record('a')).length, 1);
  });
});

suite('records of deletions', () => {
  const range = (first: number, last = first) => ({ shard: 0, first, last });

  test('of one topic are merged however many come at once', async () => {
    const ledger = createMemoryBackbone().ledger('deletions');
    const records = new DeletionRecords(ledger);
    await Promise.all([1, 2, 3, 4, 5].map((sequence) => records.add(namespace, topic('t'), range(sequence))));
    const read = async () =>
      JSON.parse(Buffer.from((await ledger.get('ns/t'))?.value ?? []).toString()) as { first: number }[];
    assert.deepEqual((await read()).map(({ first }) => first).toSorted(), [1, 2, 3, 4, 5]);
    await records.add(namespace, topic('t'), range(2, 4));
    assert.deepEqual((await read()).map(({ first }) => first).toSorted(), [1, 2, 5]);
  });

  test('are bounded: of more the oldest are forgotten', async () => {
    const ledger = createMemoryBackbone().ledger('deletions');
    const records = new DeletionRecords(ledger);
    for (let sequence = 1; sequence <= 1_001; sequence++)
      await records.add(namespace, topic('t'), range(sequence));
    const list = JSON.parse(Buffer.from((await ledger.get('ns/t'))?.value ?? []).toString()) as {
      first: number;
    }[];
    assert.deepEqual([list.length, list[0]?.first, list.at(-1)?.first], [1_000, 2, 1_001]);
  });

  test('that cannot be read are begun anew', async () => {
    const ledger = createMemoryBackbone().ledger('deletions');
    await ledger.put('ns/t', Buffer.from('{'));
    await new DeletionRecords(ledger).add(namespace, topic('t'), range(7));
    assert.match(Buffer.from((await ledger.get('ns/t'))?.value ?? []).toString(), /"first":7/);
  });
});
