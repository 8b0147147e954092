import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Cursor, PushfleetError } from '@pushfleet/core';
import type { SessionKeeper } from './owned.ts';
import { away, claimOf, codeOf, Keeper, open, outcomes, slow } from './testing-desk.ts';

describe('commits', () => {
  it('of all sessions travel together, and say what is so when they are sent', async () => {
    const { hold, committed, storedOf, done, commits } = open();
    const held = [];
    for (let i = 0; i < 5; i++) held.push(await hold(`c${i}`));
    const waits = held.flatMap(({ owned, keeper }, i) => {
      keeper.value = 1;
      const one = owned.commit();
      keeper.value = 10 + i;
      return [one, owned.commit()];
    });
    await done(Promise.all(waits));
    assert.equal(committed().length, 1);
    assert.deepEqual(
      commits.map(({ key, number }) => [key?.id, number]),
      held.map((_, i) => [`c${i}`, 1n]),
    );
    for (const i of held.keys()) assert.equal(storedOf(`c${i}`), `${10 + i}`);
  });

  it('that come while one is under way wait for the next, of which there is one', async () => {
    const { hold, done, storedOf, clock, committed } = open({ onCall: slow(50) });
    const { owned, keeper } = await hold('c');
    keeper.value = 1;
    const first = owned.commit();
    await clock.advance(10);
    keeper.value = 2;
    const [second, third] = [owned.commit(), owned.commit()];
    assert.equal(second, third);
    assert.notEqual(first, second);
    assert.equal(storedOf('c'), '1');
    assert.equal(committed().length, 1);
    await done(Promise.all([first, second]));
    assert.equal(storedOf('c'), '2');
    assert.equal(committed().length, 2);
    assert.deepEqual(keeper.asked, [false, false]);
  });

  it('are at most a thousand a call, and so many bytes', async () => {
    const { desk, committed, done } = open();
    const many = Array.from({ length: 2_300 }, (_, i) => desk().acquire(claimOf(`c${i}`), new Keeper()));
    const owned = await done(Promise.all(many));
    await done(Promise.all(owned.map((one) => one.commit())));
    assert.deepEqual(
      committed().map(({ keys }) => keys.length),
      [1_000, 1_000, 300],
    );
    const big = (): SessionKeeper => ({
      state: () => ({ cursor: undefined, fields: { a: Buffer.alloc(400_000) } }),
      onLost: () => {},
    });
    const heavy = await done(
      Promise.all([1, 2, 3, 4, 5].map((n) => desk().acquire(claimOf(`b${n}`), big()))),
    );
    await done(Promise.all(heavy.map((one) => one.commit())));
    assert.deepEqual(
      committed()
        .slice(3)
        .map(({ keys }) => keys.length),
      [3, 2],
    );
  });

  it('that nobody waits for are made within a second, or with one that somebody waits for', async () => {
    const { hold, clock, committed, storedOf, done } = open();
    const { owned, keeper } = await hold('c');
    keeper.value = 1;
    owned.commitSoon();
    owned.commitSoon();
    await clock.advance(0);
    assert.equal(committed().length, 0);
    await clock.advance(1_000);
    assert.equal(storedOf('c'), '1');
    assert.equal(committed().length, 1);
    owned.commitSoon();
    await done(owned.commit());
    await clock.advance(2_000);
    assert.equal(committed().length, 2);
  });

  it('that nobody waits for, and that come while one is under way, are not forgotten', async () => {
    const { hold, clock, storedOf } = open({ onCall: slow(2_000) });
    const { owned, keeper } = await hold('c');
    keeper.value = 1;
    void owned.commit();
    await clock.advance(100);
    keeper.value = 2;
    owned.commitSoon();
    await clock.advance(5_000);
    assert.equal(storedOf('c'), '2');
  });

  it('are repeated as a whole where the registry is away, at growing distances', async () => {
    const { hold, committed, done, storedOf } = open({
      onCall: ({ name }, now) => (name === 'commit' && now < 3_000 ? { refused: away() } : undefined),
    });
    const { owned, keeper } = await hold('c');
    keeper.value = 7;
    await done(owned.commit());
    assert.equal(storedOf('c'), '7');
    const tries = committed().length;
    assert.ok(tries > 3 && tries < 10, `${tries} tries`);
    assert.deepEqual(keeper.asked, [false, ...Array.from({ length: tries - 1 }, () => true)]);
  });

  it('are waited for in patience, and made later all the same', async () => {
    let isAway = true;
    const { hold, clock, watch, storedOf, done } = open({
      patienceMs: 3_000,
      onCall: ({ name }) => (name === 'commit' && isAway ? { refused: away() } : undefined),
    });
    const { owned, keeper } = await hold('c');
    keeper.value = 3;
    const first = watch(owned.commit());
    await clock.advance(2_900);
    const second = watch(owned.commit());
    assert.equal(first.settled, false);
    await clock.advance(1_500);
    assert.equal(first.error?.code, 'unavailable');
    assert.equal(second.settled, false);
    isAway = false;
    await clock.advance(3_000);
    assert.equal(second.settled, true);
    assert.equal(second.error, undefined);
    assert.equal(storedOf('c'), '3');
    await done(owned.commit());
  });

  it('are waited for no longer where a call hangs', async () => {
    const { hold, clock, watch } = open({
      patienceMs: 1_000,
      onCall: ({ name }) => (name === 'commit' ? { beforeMs: 60_000 } : undefined),
    });
    const { owned } = await hold('c');
    const seen = watch(owned.commit());
    await clock.advance(1_600);
    assert.equal(seen.error?.code, 'unavailable');
  });

  it('of one session that cannot be stored now do not hold up the others', async () => {
    const { UNAVAILABLE } = outcomes;
    let isAway = true;
    const { hold, clock, watch, committed } = open({
      onCommit: ({ key }) => (key?.id === 'bad' && isAway ? UNAVAILABLE : undefined),
    });
    const [bad, good] = [await hold('bad'), await hold('good')];
    const waits = watch(bad.owned.commit());
    for (let i = 0; i < 20; i++) {
      const seen = watch(good.owned.commit());
      await clock.advance(1);
      assert.ok(seen.settled);
    }
    assert.equal(waits.settled, false);
    assert.ok(committed().flatMap(({ keys }) => keys.filter(({ id }) => id === 'bad')).length < 5);
    isAway = false;
    await clock.advance(3_000);
    assert.ok(waits.settled);
  });

  it('say all of it again where the index has lost it', async () => {
    const { hold, done, registry, storedOf } = open();
    const { owned, keeper } = await hold('c');
    keeper.value = 1;
    await done(owned.commit());
    registry.loseHot();
    await done(owned.commit());
    assert.equal(storedOf('c'), '1');
    assert.deepEqual(keeper.asked, [false, false, true]);
  });

  it('that are too large are refused, and the session goes on', async () => {
    const { hold, done, storedOf } = open({ hotBytes: 100 });
    let fields: Record<string, Buffer> = { big: Buffer.alloc(200) };
    const { owned, keeper } = await hold('c');
    keeper.state = () => ({ cursor: 'x' as Cursor, fields });
    await assert.rejects(done(owned.commit()), codeOf('payload_too_large'));
    fields = { value: Buffer.from('5') };
    await done(owned.commit());
    assert.equal(storedOf('c'), '5');
  });

  it('of others do not suffer for one that the registry refuses', async () => {
    const refused = new PushfleetError('request_invalid', 'Bad.');
    const { hold, done, watch, clock, committed } = open({
      onCall: ({ name, keys }) =>
        name === 'commit' && keys.some(({ id }) => id === 'c3') ? { refused } : undefined,
    });
    const held = [];
    for (let i = 0; i < 6; i++) held.push(await hold(`c${i}`));
    const seen = held.map(({ owned }) => watch(owned.commit()));
    await clock.advance(1_000);
    assert.deepEqual(
      seen.map(({ settled, error }) => [settled, error?.code]),
      held.map((_, i) => [true, i === 3 ? 'request_invalid' : undefined]),
    );
    const before = committed().length;
    await done(Promise.all(held.filter((_, i) => i !== 3).map(({ owned }) => owned.commit())));
    assert.equal(committed().length, before + 1);
  });

  it('are numbered, so that one held up on its way undoes nothing', async () => {
    const { hold, clock, storedOf, commits } = open({
      onCall: ({ name }, now) => (name === 'commit' && now < 100 ? { beforeMs: 8_000 } : undefined),
    });
    const { owned, keeper } = await hold('c');
    keeper.value = 1;
    void owned.commit();
    await clock.advance(7_000);
    keeper.value = 2;
    await owned.commit();
    assert.equal(storedOf('c'), '2');
    await clock.advance(5_000);
    assert.equal(storedOf('c'), '2');
    assert.ok(commits.length >= 3);
  });
});
