import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import {
  type Cursor,
  defaultNamespace,
  matches,
  type Publication,
  parseCursor,
  parseTopic,
  type TopicFilter,
} from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import fc from 'fast-check';
import { History, type HistoryPage } from './history.ts';
import { LogWalk } from './log-walk.ts';
import { Reads } from './reads.ts';

const grant = { namespace: defaultNamespace, subject: 'reader' } as Grant;
const topics = ['a', 'a/b', 'a/b/c', 'd', 'd//e', 'f.g/h i'];
const views = [['#'], ['a/#'], ['+/b', 'a/+'], ['d//e'], ['a', 'a/#', '#'], ['nothing']] as TopicFilter[][];
const never = new AbortController().signal;

/** A log whose time passes when told. */
function scene(shards: number, retentionMs?: number) {
  let now = 1_000_000;
  const clock = {
    now: () => now,
    after: (ms: number, run: () => void) => {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
  };
  const backbone = createMemoryBackbone({ shards, clock, retentionMs: () => retentionMs });
  const bus = backbone.bus(defaultNamespace);
  const reads = new Reads({ reads: 1, readsPerSubject: 1, readMs: 10_000 });
  const history = new History({ backbone, reads, historyOn: () => true, pageBytes: 1_048_576 });
  let published = 0;
  const publish = async (topic: string, passMs = 0) => {
    now += passMs;
    const id = String(published++);
    const payload = Buffer.from(id);
    await bus.publish([{ id, source: 's', topic: parseTopic(topic), contentType: 'text/plain', payload }]);
  };
  const page = (filters: readonly TopicFilter[], after: Cursor | undefined, limit: number) =>
    history.read(grant, { filters, after, since: undefined, limit }, never);
  const all = () =>
    backbone.log.shards.flatMap(({ entries }) => entries.map(({ publication }) => publication));
  return { backbone, bus, history, publish, page, all, now: () => now };
}

type Scene = ReturnType<typeof scene>;

async function pages(
  { page }: Pick<Scene, 'page'>,
  filters: readonly TopicFilter[],
  limit: number,
  after?: Cursor,
): Promise<HistoryPage[]> {
  const found = [await page(filters, after, limit)];
  for (let last = found[0]; last?.more === true; last = found.at(-1)) {
    found.push(await page(filters, last.cursor, limit));
  }
  return found;
}

const idsOf = (found: readonly HistoryPage[]): string[] =>
  found.flatMap(({ publications }) => publications.map(({ publication }) => publication.id));

async function rest({ bus }: Scene, filters: readonly TopicFilter[], after: Cursor): Promise<string[]> {
  const ids: string[] = [];
  for await (const items of bus.replay(filters, after, await bus.head(), never)) {
    for (const item of items) ids.push(item.kind === 'gap' ? 'gap' : item.value.id);
  }
  return ids.toSorted();
}

const story = fc.array(fc.record({ topic: fc.constantFrom(...topics), passMs: fc.nat(2) }), {
  maxLength: 60,
});

suite('walking through the log', () => {
  for (const shards of [1, 3]) {
    test(`all pages together are everything once, in order, whatever the limit (${shards} shards)`, async () => {
      await fc.assert(
        fc.asyncProperty(
          story,
          fc.constantFrom(...views),
          fc.integer({ min: 1, max: 70 }),
          async (told, filters, limit) => {
            const one = scene(shards);
            for (const { topic, passMs } of told) await one.publish(topic, passMs);
            const found = await pages(one, filters, limit);
            const owed = one.all().filter(({ topic }) => filters.some((filter) => matches(filter, topic)));
            const given = found.flatMap(({ publications }) =>
              publications.map(({ publication }) => publication),
            );
            assert.deepEqual(given.map(({ id }) => id).toSorted(), owed.map(({ id }) => id).toSorted());
            for (const [index, { time }] of given.entries()) assert.ok(time >= (given[index - 1]?.time ?? 0));
            for (const topic of topics) assert.deepEqual(of(given, topic), of(owed, topic));
            assert.ok(found.slice(0, -1).every(({ publications }) => publications.length === limit));
            assert.ok(found.every(({ gap }) => gap === undefined));
          },
        ),
        { numRuns: 40 },
      );
    });

    test(`every cursor names its publication, and the rest is ahead of it (${shards} shards)`, async () => {
      await fc.assert(
        fc.asyncProperty(story, fc.constantFrom(...views), async (told, filters) => {
          const one = scene(shards);
          for (const { topic, passMs } of told) await one.publish(topic, passMs);
          const { publications, cursor } = await one.page(filters, undefined, 1_000);
          assert.deepEqual(await rest(one, filters, cursor), []);
          const ids = publications.map(({ publication }) => publication.id);
          for (const [index, placed] of publications.entries()) {
            assert.deepEqual(await rest(one, filters, placed.cursor), ids.slice(index + 1).toSorted());
            assert.ok(parseCursor(placed.cursor).positions.every((position) => position !== undefined));
            const { topic, id } = placed.publication;
            assert.equal((await one.bus.find(topic, placed.cursor))?.id, id);
          }
        }),
        { numRuns: 15 },
      );
    });
  }

  test('an empty page has a place to go on from, and brings what is published then', async () => {
    for (const shards of [1, 3]) {
      const one = scene(shards);
      for (const topic of topics) await one.publish(topic);
      const empty = await one.page(['nothing' as TopicFilter], undefined, 10);
      assert.deepEqual([empty.publications, empty.more], [[], false]);
      const head = await one.page(['#' as TopicFilter], undefined, 10);
      for (const topic of topics) await one.publish(topic, 1);
      assert.deepEqual(idsOf(await pages(one, ['#' as TopicFilter], 2, head.cursor)).length, topics.length);
      assert.deepEqual((await one.page(['nothing' as TopicFilter], empty.cursor, 10)).publications, []);
    }
  });

  test('what is published while pages are read comes, too, and the reading ends', async () => {
    const one = scene(3);
    for (const topic of topics) await one.publish(topic, 1);
    const found: HistoryPage[] = [];
    let after: Cursor | undefined;
    for (let turn = 0; turn < 30; turn++) {
      const page = await one.page(['#' as TopicFilter], after, 2);
      found.push(page);
      after = page.cursor;
      // One more for each two that are read: every shard gets its turn all the same.
      if (turn < 12) await one.publish('a', 1);
      else if (!page.more) break;
    }
    assert.equal(found.at(-1)?.more, false);
    assert.deepEqual(
      idsOf(found).toSorted(),
      one
        .all()
        .map(({ id }) => id)
        .toSorted(),
    );
  });

  test('a cursor of one shard only resumes the others by its time', async () => {
    const one = scene(3);
    for (const topic of topics) await one.publish(topic, 5);
    const [stored] = await one.bus.publish([
      { id: 'x', source: 's', topic: parseTopic('a'), contentType: 't', payload: Buffer.alloc(0) },
    ]);
    assert.ok(stored && 'cursor' in stored);
    for (const topic of topics) await one.publish(topic, 5);
    const ids = idsOf(await pages(one, ['#' as TopicFilter], 1, stored.cursor));
    const after = one.all().filter(({ time }) => time > parseCursor(stored.cursor).time);
    const expected = after.map(({ id }) => id).toSorted();
    // What was stored in that very millisecond elsewhere may come again.
    assert.deepEqual(ids.filter((id) => expected.includes(id)).toSorted(), expected);
    assert.ok(!ids.includes('x'));
  });

  test('a gap that was told once is not told again by the pages behind it', async () => {
    for (const shards of [1, 3]) {
      const one = scene(shards, 5_000);
      for (const topic of [...topics, ...topics]) await one.publish(topic, 1);
      await one.publish('a', 60_000);
      const found = await pages(one, ['#' as TopicFilter], 2);
      assert.equal(idsOf(found).length, one.all().length);
      const told = found.flatMap(({ gap }, page) => (gap === undefined ? [] : page));
      assert.deepEqual(told, [1], 'where the second page begins');
    }
  });

  test('a read that is given up tells it, and never ends as if it were at its end', async () => {
    const one = scene(1);
    for (let n = 0; n < 200; n++) await one.publish('a');
    const stop = new AbortController();
    const filters = ['#' as TopicFilter];
    const walk = await LogWalk.open({ bus: one.bus, filters, after: undefined, signal: stop.signal });
    for (let n = 0; n < 64; n++) await walk.next();
    stop.abort(new Error('enough'));
    await assert.rejects(walk.next(), /enough/);
    await assert.rejects(walk.atEnd(), /enough/);
  });
});

const of = (publications: readonly Publication[], topic: string): string[] =>
  publications.filter((one) => one.topic === topic).map(({ id }) => id);
