import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Bus } from '@pushfleet/core';
import { allRetained, draftOf, replayed, store } from './tools.ts';

export function retaining(fresh: () => Bus): void {
  describe('retained', () => {
    it('is the newest of each topic, acknowledged only once it is kept', async () => {
      const bus = fresh();
      await bus.publish([draftOf('k/a', { retain: true }), draftOf('k/b'), draftOf('k/a', { retain: true })]);
      const last = await store(bus, draftOf('k/a', { retain: true }));
      const c = await store(bus, draftOf('k/c/d', { retain: true }));
      await store(bus, draftOf('k/a'));
      const found = await allRetained(bus, 'k/#');
      assert.deepEqual(found.map(({ id }) => id).toSorted(), [last.id, c.id].toSorted());
      assert.ok(found.every(({ retain, sequence }) => retain === true && sequence > 0));
      assert.deepEqual(
        (await allRetained(bus, 'k/+')).map(({ id }) => id),
        [last.id],
      );
      assert.deepEqual(
        (await allRetained(bus, 'k/a')).map(({ id }) => id),
        [last.id],
      );
    });

    it('is cleared by an empty payload, and stays so when the older one comes again', async () => {
      const bus = fresh();
      const older = draftOf('k', { retain: true });
      await store(bus, older);
      await store(bus, draftOf('k', { retain: true, payload: new Uint8Array() }));
      assert.deepEqual(await allRetained(bus, '#'), []);
      assert.equal((await store(bus, older)).duplicate, true);
      assert.deepEqual(await allRetained(bus, '#'), []);
    });

    it('is the last of the log when many publish at once', async () => {
      const bus = fresh();
      const from = await bus.head();
      await Promise.all(Array.from({ length: 60 }, () => bus.publish([draftOf('race', { retain: true })])));
      const { publications } = await replayed(bus, ['race'], from, await bus.head());
      assert.deepEqual(
        (await allRetained(bus, 'race')).map(({ id }) => id),
        [publications.at(-1)?.id],
      );
    });

    it('gives more than a broker answers at once', async () => {
      const bus = fresh();
      await bus.publish(Array.from({ length: 1_100 }, (_, i) => draftOf(`many/${i}`, { retain: true })));
      assert.equal(new Set((await allRetained(bus, 'many/+')).map(({ topic }) => topic)).size, 1_100);
    });
  });
}
