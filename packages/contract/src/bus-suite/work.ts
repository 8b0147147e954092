import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus, Publication } from '@pushfleet/core';
import { until } from '../until.ts';
import { draftOf, filter, store } from './tools.ts';

export function working(fresh: () => Bus): void {
  describe('work', () => {
    it('hands each publication to one member, and again until the verdict is done', async () => {
      const bus = fresh();
      const seen: string[] = [];
      const options = { concurrency: 4, orderedByTopic: false };
      const work = (publication: Publication) => {
        seen.push(publication.id);
        const first = seen.filter((id) => id === publication.id).length === 1;
        return Promise.resolve(
          first && publication.topic === 'w/again' ? { retryMs: 10 } : ('done' as const),
        );
      };
      const members = [await bus.work('g', filter('w/#'), options, work)];
      members.push(await bus.work('g', filter('w/#'), options, work));
      const sent = Array.from({ length: 30 }, (_, i) => draftOf(i === 7 ? 'w/again' : `w/${i}`));
      await bus.publish([...sent, draftOf('elsewhere')]);
      await until(() => seen.length >= 31, 'thirty publications, one of them twice');
      await sleep(50);
      assert.equal(seen.length, 31);
      assert.deepEqual([...new Set(seen)].toSorted(), sent.map(({ id }) => id).toSorted());
      for (const member of members) await member.stop();
    });

    it('gives up on a dead publication', async () => {
      const bus = fresh();
      let calls = 0;
      const options = { concurrency: 1, orderedByTopic: false };
      const member = await bus.work('dead', filter('#'), options, (publication) => {
        if (publication.topic === 'd') calls++;
        return Promise.resolve({ dead: 'of no use' });
      });
      await bus.publish([draftOf('d'), draftOf('e')]);
      await until(() => calls === 1, 'the one call');
      await sleep(50);
      assert.equal(calls, 1);
      await member.stop();
    });

    it('gives a publication again after the work threw', async () => {
      const bus = fresh();
      let calls = 0;
      const member = await bus.work(
        'throws',
        filter('#'),
        { concurrency: 1, orderedByTopic: false },
        async () => {
          if (++calls === 1) throw new Error('on purpose');
          return 'done';
        },
      );
      await store(bus, draftOf('t'));
      await until(() => calls === 2, 'the second call');
      await member.stop();
    });

    it('hands out one topic in order and one at a time where asked, within its concurrency', async () => {
      const bus = fresh();
      const seen = new Map<string, string[]>();
      let most = 0;
      const busy = new Map<string, number>();
      let failed = false;
      const work = async ({ topic, id }: Publication) => {
        busy.set(topic, (busy.get(topic) ?? 0) + 1);
        assert.equal(busy.get(topic), 1, `${topic} is in hand twice`);
        most = Math.max(
          most,
          [...busy.values()].reduce((sum, count) => sum + count, 0),
        );
        await sleep(1);
        busy.set(topic, 0);
        if (topic === 'o/1' && !failed) {
          failed = true;
          return { retryMs: 30 };
        }
        seen.set(topic, [...(seen.get(topic) ?? []), id]);
        return 'done' as const;
      };
      const options = { concurrency: 3, orderedByTopic: true };
      const members = [await bus.work('ordered', filter('o/#'), options, work)];
      members.push(await bus.work('ordered', filter('o/#'), options, work));
      const sent = Array.from({ length: 60 }, (_, i) => draftOf(`o/${i % 4}`));
      await bus.publish(sent);
      const count = () => [...seen.values()].reduce((sum, ids) => sum + ids.length, 0);
      await until(() => count() === 60, 'sixty publications');
      for (const [topic, ids] of seen) {
        assert.deepEqual(
          ids,
          sent.filter((draft) => draft.topic === topic).map(({ id }) => id),
        );
      }
      assert.ok(most <= 6, `${most} were in hand`);
      for (const member of members) await member.stop();
    });

    it('keeps what comes while no member is there', async () => {
      const bus = fresh();
      const options = { concurrency: 2, orderedByTopic: false };
      const first = await bus.work('durable', filter('#'), options, () => Promise.resolve('done'));
      await first.stop();
      const { id } = await store(bus, draftOf('later'));
      const seen: string[] = [];
      const second = await bus.work('durable', filter('#'), options, (publication) => {
        seen.push(publication.id);
        return Promise.resolve('done');
      });
      await until(() => seen.includes(id), 'what came meanwhile');
      await second.stop();
    });
  });
}
