import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { startRedis, until } from '@pushfleet/contract';
import { entryOf, keyOf, listen, openRegister, replay, team } from './testing.ts';

describe('pages of members that come and go', async () => {
  const redis = await startRedis();
  const backbone = createMemoryBackbone();
  const instances = await Promise.all([1, 2, 3].map(() => openRegister(redis.url, { backbone })));
  after(async () => {
    await Promise.all(instances.map((one) => one.close()));
    await redis.stop();
  });
  const name = (n: number): string => `s${String(n).padStart(4, '0')}`;

  it('have everybody once who is there all the while, in order, whoever comes and goes beside them', async () => {
    const [one, two, three] = instances as [
      (typeof instances)[0],
      (typeof instances)[0],
      (typeof instances)[0],
    ];
    const heard = await listen(backbone, team);
    const [steady, restless] = [await one.hold(), await two.hold()];
    const stay = Array.from({ length: 400 }, (_, n) => keyOf('t', name(2 * n)));
    const roam = Array.from({ length: 400 }, (_, n) => keyOf('t', name(2 * n + 1)));
    await one.register.put(
      steady.lease,
      stay.map((key) => entryOf(key)),
    );
    let over = false;
    const churn = async (): Promise<void> => {
      for (let n = 0; !over; n++) {
        const some = roam.filter((_, index) => index % 3 === n % 3);
        await two.register.put(
          restless.lease,
          some.map((key) => entryOf(key)),
        );
        await two.register.leave(restless.lease, some.slice(n % 50), 0);
        const changed = stay.slice(n % 300, (n % 300) + 20);
        const status = n % 2 === 0 ? 'away' : 'busy';
        await one.register.put(
          steady.lease,
          changed.map((key) => entryOf(key, { status })),
        );
      }
    };
    const churning = churn();
    for (let round = 0; round < 10; round++) {
      const found = (await three.all('t', { page: 7 + 10 * round })).map(({ subject }) => subject);
      assert.deepEqual(found, found.toSorted());
      assert.equal(new Set(found).size, found.length);
      const lasting = new Set(stay.map(({ subject }) => subject));
      assert.equal(found.filter((subject) => lasting.has(subject)).length, stay.length);
    }
    over = true;
    await churning;
    await two.register.end(restless.lease);
    await until(() => replay(heard.changes).size === stay.length, 'the changes');
    assert.equal((await three.all('t')).length, stay.length);
  });
});
