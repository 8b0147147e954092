import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Bus, type Cursor, formatCursor, parseCursor } from '@pushfleet/core';
import { draftOf, filter, replayed, store } from './tools.ts';

export function replaying(fresh: () => Bus): void {
  describe('replay', () => {
    it('reads the stretch between two cursors, and nothing outside it', async () => {
      const bus = fresh();
      await bus.publish([draftOf('r/1'), draftOf('r/2')]);
      const from = await bus.head();
      const wanted = Array.from({ length: 600 }, (_, i) => draftOf(`r/${i % 5}`));
      await bus.publish(wanted);
      const end = await bus.head();
      await bus.publish([draftOf('r/1'), draftOf('r/2')]);
      const { publications, gaps } = await replayed(bus, ['r/#'], from, end);
      assert.deepEqual(publications.map(({ id }) => id).toSorted(), wanted.map(({ id }) => id).toSorted());
      assert.deepEqual(gaps, []);
    });

    it('gives a publication once for many filters, overlapping or not, in order per topic', async () => {
      const bus = fresh();
      const from = await bus.head();
      const sent = Array.from({ length: 900 }, (_, i) => draftOf(`m/${i % 30}/x`));
      await bus.publish(sent);
      const end = await bus.head();
      const few = ['m/1/#', 'm/+/x', 'm/2/x'];
      const many = Array.from({ length: 200 }, (_, i) => `m/${i}/x`);
      const apart = Array.from({ length: 5 }, (_, i) => `m/${i}/x`);
      for (const [filters, count] of [
        [few, 900],
        [many, 900],
        [apart, 150],
      ] as const) {
        const { publications } = await replayed(bus, filters, from, end);
        assert.equal(publications.length, count);
        assert.equal(new Set(publications.map(({ id }) => id)).size, count);
        for (let i = 0; i < 5; i++) {
          const ids = publications.filter(({ topic }) => topic === `m/${i}/x`).map(({ id }) => id);
          assert.deepEqual(
            ids,
            sent.filter(({ topic }) => topic === `m/${i}/x`).map(({ id }) => id),
          );
        }
      }
    });

    it('reads shard after shard, each in the order it was stored', async () => {
      const bus = fresh();
      const from = await bus.head();
      await bus.publish(Array.from({ length: 60 }, (_, i) => draftOf(`o/${i}`)));
      const { publications } = await replayed(bus, ['o/#'], from, await bus.head());
      const inOrder = publications.toSorted((a, b) => a.shard - b.shard || a.sequence - b.sequence);
      assert.deepEqual(publications, inOrder);
    });

    it('does not let # reach $ topics, alone or beside others', async () => {
      const bus = fresh();
      const from = await bus.head();
      const [plain, reserved] = [draftOf('z'), draftOf('$z')];
      await bus.publish([plain, reserved]);
      const ids = async (filters: string[]) =>
        (await replayed(bus, filters, from, await bus.head())).publications.map(({ id }) => id).toSorted();
      assert.deepEqual(await ids(['#']), [plain.id]);
      assert.deepEqual(await ids(['+', 'y/#', 'x']), [plain.id]);
      assert.deepEqual(await ids(['$z', '#']), [plain.id, reserved.id].toSorted());
    });

    it('resumes from the cursor of a publish, whose other shards are absent', async () => {
      const bus = fresh();
      const first = await store(bus, draftOf('s/0'));
      const rest = Array.from({ length: 40 }, (_, i) => draftOf(`s/${i}`));
      await bus.publish(rest);
      const { publications } = await replayed(bus, ['s/#'], first.cursor, await bus.head());
      const ids = new Set(publications.map(({ id }) => id));
      for (const { id } of rest) assert.ok(ids.has(id), `${id} is missing`);
    });

    it('tells a gap for a cursor of another generation, and goes on behind it', async () => {
      const bus = fresh();
      const head = parseCursor(await bus.head());
      const foreign = formatCursor({ ...head, generation: 'zzz', time: Date.now() - 5_000 });
      const draft = draftOf('g');
      await store(bus, draft);
      const { publications, gaps } = await replayed(bus, ['g'], foreign, await bus.head());
      assert.equal(gaps.length, 1);
      assert.ok(publications.some(({ id }) => id === draft.id));
    });

    it('tells a gap for a position beyond the head', async () => {
      const bus = fresh();
      const head = parseCursor(await bus.head());
      const beyond = head.positions.map((position) => (position ?? 0) + 1_000_000);
      const { gaps } = await replayed(
        bus,
        ['#'],
        formatCursor({ ...head, positions: beyond }),
        await bus.head(),
      );
      assert.equal(gaps.length, 1);
    });

    it('refuses text that is no cursor', async () => {
      const bus = fresh();
      await assert.rejects(replayed(bus, ['#'], 'nonsense' as Cursor, await bus.head()), {
        code: 'cursor_invalid',
      });
    });

    it('stops at the signal', async () => {
      const bus = fresh();
      const from = await bus.head();
      await bus.publish(Array.from({ length: 800 }, () => draftOf('stop')));
      const stop = new AbortController();
      let batches = 0;
      for await (const _ of bus.replay([filter('stop')], from, await bus.head(), stop.signal)) {
        batches++;
        stop.abort();
      }
      assert.equal(batches, 1);
    });
  });
}
