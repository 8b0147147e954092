import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import {
  type Bus,
  type Cursor,
  type Deletion,
  formatCursor,
  type Namespace,
  type Publication,
  parseCursor,
  type Stored,
  type Topic,
} from '@pushfleet/core';
import { until } from '../until.ts';
import { allRetained, draftOf, filter, replayed, Seen, store } from './tools.ts';
import type { BusUnderTest } from './under-test.ts';

const topic = (text: string): Topic => text as Topic;
const ids = (list: readonly Publication[]): string[] => list.map(({ id }) => id);
/** The sequence that a receipt names. */
const sequenceOf = ({ cursor }: Stored): number =>
  parseCursor(cursor).positions.find((position) => position !== undefined) ?? 0;

async function storeAll(bus: Bus, topics: readonly string[]): Promise<Stored[]> {
  const stored = [];
  for (const text of topics) stored.push(await store(bus, draftOf(text)));
  return stored;
}

export function finding(fresh: () => Bus): void {
  describe('find', () => {
    it('gives the publication that a receipt or a reader’s place names', async () => {
      const bus = fresh();
      const from = await bus.head();
      const draft = draftOf('f', { attributes: [['a', 'b']], retain: true });
      const { cursor } = await store(bus, draft);
      await storeAll(bus, ['f', 'f/g']);
      const found = await bus.find(topic('f'), cursor);
      assert.deepEqual(
        { ...found, payload: Buffer.from(found?.payload ?? []) },
        {
          ...draft,
          payload: Buffer.from(draft.payload),
          time: found?.time,
          shard: found?.shard,
          sequence: found?.sequence,
        },
      );
      const { publications } = await replayed(bus, ['f'], from, await bus.head());
      const [, second] = publications;
      const positions = parseCursor(from).positions.with(second?.shard ?? 0, second?.sequence);
      const at = formatCursor({ ...parseCursor(from), positions });
      assert.equal((await bus.find(topic('f'), at))?.id, second?.id);
    });

    it('gives nothing where the cursor names another topic, namespace, log or shard, or what is not there', async () => {
      const bus = fresh();
      const { cursor } = await store(bus, draftOf('f'));
      const place = parseCursor(cursor);
      const beyond = place.positions.map((position) => position && position + 1_000_000);
      assert.equal(await bus.find(topic('other'), cursor), undefined);
      assert.equal(await fresh().find(topic('f'), cursor), undefined);
      for (const change of [
        { generation: 'zzz' },
        { positions: place.positions.map(() => undefined) },
        { positions: place.positions.map(() => 0) },
        { positions: beyond },
      ]) {
        assert.equal(await bus.find(topic('f'), formatCursor({ ...place, ...change })), undefined);
      }
      const expired = await store(bus, draftOf('f', { expiresAt: Date.now() - 1 }));
      assert.equal(await bus.find(topic('f'), expired.cursor), undefined);
      await assert.rejects(bus.find(topic('f'), 'nonsense' as Cursor), { code: 'cursor_invalid' });
    });
  });
}

export function gettingAt(fresh: () => Bus): void {
  describe('at', () => {
    const placeOf = (stored: Stored): Pick<Publication, 'shard' | 'sequence'> => {
      const shard = parseCursor(stored.cursor).positions.findIndex((position) => position !== undefined);
      return { shard, sequence: sequenceOf(stored) };
    };

    it('gives what lies at places of all shards, whole and in the order asked for', async () => {
      const bus = fresh();
      const from = await bus.head();
      const stored = await storeAll(bus, ['a', 'b', 'c/d', 'e', 'f', 'g', 'a', '$x/y', 'a//b']);
      const { publications } = await replayed(bus, ['#', '$x/#'], from, await bus.head());
      const asked = [...stored, ...stored.toReversed()];
      const found = await bus.at(asked.map(placeOf));
      assert.deepEqual(
        found,
        asked.map(({ id }) => publications.find((one) => one.id === id)),
      );
      assert.deepEqual(await bus.at([]), []);
    });

    it('gives more than are asked of the log at once', async () => {
      const bus = fresh();
      const stored = await storeAll(
        bus,
        Array.from({ length: 100 }, (_, i) => `many/${i % 7}`),
      );
      const found = await bus.at(stored.map(placeOf));
      assert.deepEqual(
        found.map((one) => one?.id),
        stored.map(({ id }) => id),
      );
    });

    it('gives nothing of another namespace, nor what was deleted, has expired, or never was', async () => {
      const bus = fresh();
      const [kept, gone] = (await storeAll(bus, ['at', 'at'])) as [Stored, Stored];
      await bus.delete(topic('at'), gone.cursor);
      const foreign = await store(fresh(), draftOf('at'));
      const over = await store(bus, draftOf('at', { expiresAt: Date.now() - 1 }));
      const { shard, sequence } = placeOf(kept);
      const places = [
        ...[kept, gone, foreign, over].map(placeOf),
        ...[0, -1, sequence + 1_000_000].map((other) => ({ shard, sequence: other })),
        ...[3, 63, 1_000_000].map((other) => ({ shard: other, sequence })),
      ];
      const found = await bus.at(places);
      assert.deepEqual(
        found.map((one) => one?.id),
        [kept.id, ...places.slice(1).map(() => undefined)],
      );
    });
  });
}

export function deleting(fresh: () => Bus, makeBackbone: () => Promise<BusUnderTest>): void {
  describe('delete', () => {
    it('takes out all that a topic holds, and nothing else', async () => {
      const [bus, other] = [fresh(), fresh()];
      const from = await bus.head();
      const stored = await storeAll(bus, ['d', 'd/e', 'd', 'x', 'd']);
      await store(other, draftOf('d'));
      const { first, last, ...deletion } = await bus.delete(topic('d'));
      assert.deepEqual(
        [first, last],
        [stored[0], stored[4]].map((one) => sequenceOf(one as Stored)),
      );
      assert.equal(deletion.count, 3);
      assert.equal(parseCursor(stored[0]?.cursor as Cursor).positions[deletion.shard], first);
      const left = await replayed(bus, ['#'], from, await bus.head());
      assert.deepEqual(left.gaps, []);
      assert.deepEqual(ids(left.publications).toSorted(), [stored[1]?.id, stored[3]?.id].toSorted());
      assert.equal((await replayed(other, ['#'], from, await other.head())).publications.length, 1);
      const { id } = await store(bus, draftOf('d'));
      assert.deepEqual(ids((await replayed(bus, ['d'], from, await bus.head())).publications), [id]);
    });

    it('takes out the one that a cursor names, or none', async () => {
      const bus = fresh();
      const from = await bus.head();
      const [a, b, c] = (await storeAll(bus, ['d', 'd', 'd'])) as [Stored, Stored, Stored];
      assert.equal((await bus.delete(topic('e'), b.cursor)).count, 0);
      const sequence = sequenceOf(b);
      const deletion = await bus.delete(topic('d'), b.cursor);
      assert.deepEqual([deletion.first, deletion.last, deletion.count], [sequence, sequence, 1]);
      const left = await replayed(bus, ['d'], from, await bus.head());
      assert.deepEqual([ids(left.publications), left.gaps], [[a.id, c.id], []]);
      assert.equal(await bus.find(topic('d'), b.cursor), undefined);
      assert.equal((await bus.delete(topic('d'), b.cursor)).count, 0);
      await assert.rejects(bus.delete(topic('d'), 'nonsense' as Cursor), { code: 'cursor_invalid' });
    });

    it('of a topic that holds nothing says so', async () => {
      const bus = fresh();
      const { first, last, count } = await bus.delete(topic('empty'));
      assert.deepEqual([first, last, count], [0, 0, 0]);
    });

    it('clears the retained publication, and an older one that comes again stays cleared', async () => {
      const bus = fresh();
      const draft = draftOf('k', { retain: true });
      await store(bus, draft);
      await store(bus, draftOf('k/l', { retain: true }));
      await bus.delete(topic('k'));
      assert.deepEqual(
        (await allRetained(bus, '#')).map((kept) => kept.topic),
        ['k/l'],
      );
      assert.equal((await store(bus, draft)).duplicate, true);
      assert.deepEqual(await allRetained(bus, 'k'), []);
      const again = await store(bus, draftOf('k', { retain: true }));
      assert.deepEqual(ids(await allRetained(bus, 'k')), [again.id]);
    });

    it('of one publication clears the retained one only where it is that one', async () => {
      const bus = fresh();
      const older = await store(bus, draftOf('k', { retain: true }));
      const kept = await store(bus, draftOf('k', { retain: true }));
      const newer = await store(bus, draftOf('k'));
      for (const { cursor } of [older, newer]) await bus.delete(topic('k'), cursor);
      assert.deepEqual(ids(await allRetained(bus, 'k')), [kept.id]);
      await bus.delete(topic('k'), kept.cursor);
      assert.deepEqual(await allRetained(bus, 'k'), []);
    });

    it('keeps what is published meanwhile, and takes all that was acknowledged before', async () => {
      const bus = fresh();
      const from = await bus.head();
      const stored: Stored[] = [];
      let go = true;
      const publishers = [0, 1, 2].map(async () => {
        while (go) {
          stored.push(await store(bus, draftOf('race', { retain: true })));
          await setImmediate(); // a log in memory answers without letting anything else run
        }
      });
      const deletions: Deletion[] = [];
      for (let round = 0; round < 15; round++) {
        const before = stored.length;
        await until(() => stored.length > before + 3, 'some publications');
        const acknowledged = Math.max(...stored.map(sequenceOf));
        const deletion = await bus.delete(topic('race'));
        assert.ok(deletion.last >= acknowledged, `${acknowledged} was there before`);
        assert.ok(deletion.first <= acknowledged && deletion.count > 0);
        deletions.push(deletion);
      }
      go = false;
      await Promise.all(publishers);
      const gone = Math.max(...deletions.map(({ last }) => last));
      const left = stored.filter((one) => sequenceOf(one) > gone);
      const { publications, gaps } = await replayed(bus, ['race'], from, await bus.head());
      assert.deepEqual(ids(publications).toSorted(), left.map(({ id }) => id).toSorted());
      assert.deepEqual(gaps, []);
      assert.deepEqual(ids(await allRetained(bus, 'race')), ids(publications.slice(-1)));
    });

    it('lets live receivers go on', async () => {
      const bus = fresh();
      const seen = new Seen();
      const live = bus.follow(seen.on);
      await live.add(filter('l/#'));
      const first = await storeAll(bus, ['l/a', 'l/b', 'l/a']);
      await until(() => seen.ids.length === 3, 'the first three');
      await bus.delete(topic('l/a'));
      const rest = await storeAll(bus, ['l/a', 'l/b', 'l/a']);
      await bus.delete(topic('l/a'), rest[2]?.cursor as Cursor);
      rest.push(await store(bus, draftOf('l/a')));
      await until(() => seen.ids.length === 7, 'all seven');
      assert.deepEqual(
        seen.ofTopic('l/a'),
        [first[0], first[2], rest[0], rest[2], rest[3]].map((one) => one?.id),
      );
      assert.deepEqual(seen.gaps, []);
      live.stop();
    });

    it('of the oldest there is makes no gap for who comes back, wherever they were', async () => {
      const { backbone, end } = await makeBackbone();
      const bus = backbone.bus('oldest' as Namespace);
      const from = await bus.head();
      const stored = await storeAll(bus, ['o', 'p', 'o', 'o', 'p']);
      await bus.delete(topic('o'));
      await bus.delete(topic('p'), stored[1]?.cursor as Cursor);
      for (const after of [from, stored[0]?.cursor, stored[3]?.cursor]) {
        const { publications, gaps } = await replayed(bus, ['#'], after, await bus.head());
        assert.deepEqual([ids(publications), gaps], [[stored[4]?.id], []]);
      }
      await bus.delete(topic('p'));
      const none = await replayed(bus, ['#'], from, await bus.head());
      assert.deepEqual([none.publications, none.gaps], [[], []]);
      const { id } = await store(bus, draftOf('p'));
      assert.deepEqual(ids((await replayed(bus, ['#'], from, await bus.head())).publications), [id]);
      await end();
    });
  });
}
