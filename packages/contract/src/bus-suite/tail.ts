import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Tail, Tailed } from '@pushfleet/bus';
import { type Bus, parseCursor, type Topic } from '@pushfleet/core';
import { until } from '../until.ts';
import { draftOf, store } from './tools.ts';

type Batch = readonly Tailed[];

/** Reads all shards of a tail; keeps what comes of one namespace. */
async function reading(
  tail: Tail,
  namespace: string,
  also: (batch: Batch) => Promise<void> = async () => {},
) {
  const seen: Tailed[] = [];
  const shards = Array.from({ length: tail.shards }, (_, shard) => shard);
  const readings = await Promise.all(
    shards.map((shard) =>
      tail.read(shard, async (batch) => {
        assert.ok(batch.length > 0 && batch.length <= 256);
        assert.ok(batch.every(({ publication }) => publication.shard === shard));
        await also(batch);
        seen.push(...batch.filter((one) => one.namespace === namespace));
      }),
    ),
  );
  return {
    seen,
    get ids() {
      return seen.map(({ publication }) => publication.id);
    },
    ofTopic: (topic: string) =>
      seen.filter(({ publication }) => publication.topic === topic).map(({ publication }) => publication.id),
    stop: () => Promise.all(readings.map((one) => one.stop())),
  };
}

export function tailing(fresh: (name: string) => Bus, tailOf: (name: string) => Tail): void {
  const publish = async (bus: Bus, topics: readonly string[]) => {
    const drafts = topics.map((topic) => draftOf(topic));
    await bus.publish(drafts);
    return drafts.map(({ id }) => id);
  };

  describe('tail', () => {
    it('reads what is stored, then live, in order, of all namespaces', async () => {
      const [one, other] = [fresh('tail-1'), fresh('tail-2')];
      const topics = ['t/1', 't/2', '$hooks/s', 't/1', 'ü.x/>'];
      const [stored, elsewhere] = [await publish(one, topics), await publish(other, topics)];
      const tail = tailOf('first');
      const first = await reading(tail, 'tail-1');
      const second = await reading(tailOf('second'), 'tail-2');
      await until(() => first.seen.length === 5 && second.seen.length === 5, 'what was stored');
      const live = await publish(one, topics);
      await until(() => first.seen.length === 10, 'what comes live');
      assert.deepEqual(first.ofTopic('t/1'), [stored[0], stored[3], live[0], live[3]]);
      assert.deepEqual(second.ids.toSorted(), elsewhere.toSorted());
      for (const { publication, cursor } of first.seen) {
        assert.equal((await one.find(publication.topic, cursor))?.id, publication.id);
        assert.equal(parseCursor(cursor).time, publication.time);
      }
      await Promise.all([first.stop(), second.stop()]);
    });

    it('goes on where it was stopped, with nothing twice', async () => {
      const bus = fresh('tail-on');
      const ids: string[] = [];
      const seen: string[] = [];
      for (let round = 0; round < 3; round++) {
        ids.push(...(await publish(bus, ['a', 'b', 'c', 'd'])));
        const reader = await reading(tailOf('on'), 'tail-on');
        ids.push(...(await publish(bus, ['a', 'b'])));
        await until(() => seen.length + reader.seen.length >= ids.length, 'all so far');
        await reader.stop();
        seen.push(...reader.ids);
      }
      assert.deepEqual(seen.toSorted(), ids.toSorted());
    });

    it('gives the same again after a failure, and nothing behind it before', async () => {
      const bus = fresh('tail-again');
      const ids = await publish(
        bus,
        Array.from({ length: 300 }, () => 'again'),
      );
      let failures = 3;
      const tried: string[] = [];
      const reader = await reading(tailOf('again'), 'tail-again', async (batch) => {
        const mine = batch.filter(({ namespace }) => namespace === 'tail-again');
        tried.push(...mine.map(({ publication }) => publication.id));
        if (mine.length > 0 && failures-- > 0) throw new Error('on purpose');
      });
      await until(() => reader.seen.length === 300, 'all of them');
      assert.deepEqual(reader.ids, ids);
      assert.deepEqual(new Set(tried.slice(0, 4).map((id) => ids.indexOf(id) < 256)), new Set([true]));
      await reader.stop();
    });

    it('two readers leave nothing out', async () => {
      const bus = fresh('tail-two');
      const tail = tailOf('two');
      const one = await reading(tail, 'tail-two');
      const ids = await publish(bus, ['x', 'y', 'z', 'x', 'y', 'z']);
      const other = await reading(tail, 'tail-two');
      for (let i = 0; i < 20; i++) ids.push(...(await publish(bus, ['x', 'y', 'z'])));
      const all = () => new Set([...one.ids, ...other.ids]);
      await until(() => all().size === ids.length, 'all of them at one or the other');
      await one.stop();
      ids.push(...(await publish(bus, ['x', 'y', 'z'])));
      await until(() => all().size === ids.length, 'the rest at the other');
      await other.stop();
    });

    it('passes over what is deleted or has outlived its time, and says how far behind it is', async () => {
      const bus = fresh('tail-gone');
      const tail = tailOf('gone');
      const reader = await reading(tail, 'tail-gone');
      await until(async () => (await tail.behind()) === 0, 'the end of the log');
      await reader.stop();
      await publish(bus, ['g/1', 'g/2', 'g/2']);
      assert.equal(await tail.behind(), 3);
      const deleted = await store(bus, draftOf('g/3'));
      await bus.delete('g/3' as Topic, deleted.cursor);
      await store(bus, draftOf('g/1', { expiresAt: Date.now() - 1 }));
      const { id } = await store(bus, draftOf('g/4'));
      const next = await reading(tail, 'tail-gone');
      await until(() => next.ids.includes(id), 'the last one');
      await until(async () => (await tail.behind()) === 0, 'the end of the log');
      assert.equal(next.seen.length, 4);
      await next.stop();
    });

    it('waits for the one that is on its way when it is stopped', async () => {
      const bus = fresh('tail-stop');
      const begun = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      const reader = await reading(tailOf('stop'), 'tail-stop', async (batch) => {
        if (!batch.some(({ namespace }) => namespace === 'tail-stop')) return;
        begun.resolve();
        await goOn.promise;
      });
      const [id] = await publish(bus, ['s']);
      await begun.promise;
      const stopped = reader.stop();
      goOn.resolve();
      await stopped;
      assert.deepEqual(reader.ids, [id]);
      const next = await reading(tailOf('stop'), 'tail-stop');
      const [later] = await publish(bus, ['s']);
      await until(() => next.seen.length > 0, 'the next one');
      assert.deepEqual(next.ids, [later]);
      await next.stop();
    });
  });
}
