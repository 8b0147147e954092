import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RetentionMs } from '@pushfleet/bus';
import { type Bus, formatCursor, type Namespace, parseCursor } from '@pushfleet/core';
import { until } from '../until.ts';
import { allRetained, draftOf, replayed, store } from './tools.ts';
import type { BusUnderTest } from './under-test.ts';

const minuteMs = 60_000;

/** How long the suite's backbones keep what a filter matches. */
export const suiteRetentionMs: RetentionMs = (_, filter) =>
  ({ 'minute/#': minuteMs, 'hour/#': 60 * minuteMs })[filter as string];

export function keeping(fresh: () => Bus, makeBackbone: () => Promise<BusUnderTest>): void {
  describe('a replay without a beginning', () => {
    it('gives all there is, without a gap', async () => {
      const { backbone, end } = await makeBackbone();
      const bus = backbone.bus('whole' as Namespace);
      const none = await replayed(bus, ['#'], undefined, await bus.head());
      assert.deepEqual([none.publications, none.gaps], [[], []]);
      const sent = Array.from({ length: 20 }, (_, i) => draftOf(`w/${i}`));
      await bus.publish(sent);
      await bus.delete(sent[0]?.topic as (typeof sent)[0]['topic']);
      const { publications, gaps } = await replayed(bus, ['w/+'], undefined, await bus.head());
      assert.deepEqual(
        publications.map(({ id }) => id).toSorted(),
        sent
          .slice(1)
          .map(({ id }) => id)
          .toSorted(),
      );
      assert.deepEqual(gaps, []);
      await end();
    });
  });

  describe('how long a topic is kept', () => {
    it('ends what the log holds and not the retained publication, without a gap', async () => {
      const bus = fresh();
      const from = await bus.head();
      const draft = draftOf('kept', { retain: true, keepMs: 1_000 });
      const { id, cursor } = await store(bus, draft);
      assert.ok(!('keepMs' in ((await bus.find(draft.topic, cursor)) ?? {})));
      const stays = await store(bus, draftOf('kept', { keepMs: 3_600_000 }));
      const read = async () => replayed(bus, ['kept'], from, await bus.head());
      await until(async () => (await read()).publications.length === 1, 'the end of its time');
      const { publications, gaps } = await read();
      assert.deepEqual([publications[0]?.id, gaps], [stays.id, []]);
      assert.deepEqual(
        (await allRetained(bus, 'kept')).map((kept) => kept.id),
        [id],
      );
    });

    it('makes a gap for who comes back later, told once', async () => {
      const bus = fresh();
      const head = parseCursor(await bus.head());
      const ago = (ms: number) => formatCursor({ ...head, time: Date.now() - ms });
      const stored = await store(bus, draftOf('minute/1'));
      const end = await bus.head();
      const gapsOf = async (filters: string[], after: ReturnType<typeof ago>) => {
        const { gaps, publications } = await replayed(bus, filters, after, end);
        assert.ok(publications.some(({ id }) => id === stored.id));
        return gaps;
      };
      assert.deepEqual(await gapsOf(['minute/#'], ago(minuteMs - 20_000)), []);
      assert.deepEqual(await gapsOf(['minute/+'], ago(minuteMs + 20_000)), []);
      assert.deepEqual(await gapsOf(['minute/1', 'hour/#'], ago(minuteMs + 20_000)), []);
      const late = ago(minuteMs + 20_000);
      for (const filters of [['minute/#'], ['hour/#', 'minute/#', 'minute/1']]) {
        const [gap, ...more] = await gapsOf(filters, late);
        assert.ok(gap?.kind === 'gap' && more.length === 0);
        assert.equal(gap.from, late);
        assert.deepEqual(parseCursor(gap.to).positions, head.positions);
        assert.deepEqual(await gapsOf(filters, gap.to), []);
      }
    });

    it('makes no gap where nothing was stored since', async () => {
      const bus = fresh();
      await store(bus, draftOf('minute/1'));
      const head = await bus.head();
      const late = formatCursor({ ...parseCursor(head), time: Date.now() - 2 * minuteMs });
      assert.deepEqual((await replayed(bus, ['minute/#'], late, head)).gaps, []);
    });
  });
}
