import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import type { OwnedSession, SessionClaim } from './owned.ts';
import { away, claimOf, codeOf, Keeper, key, late, open, slow, will } from './testing-desk.ts';

describe('take-over', () => {
  it('by another instance tells the connection before that one has the session', async () => {
    const { hold, watch, done } = open();
    const { owned, keeper } = await hold('c', 'a');
    keeper.value = 4;
    await done(owned.commit());
    const { owned: next } = await hold('c', 'b');
    assert.deepEqual(keeper.lost, ['taken']);
    assert.ok(next.resumed);
    assert.equal(next.state?.fields.value?.toString(), '4');
    for (const refused of [owned.commit(), owned.update({}), owned.release({})])
      await assert.rejects(refused, codeOf('conflict'));
    assert.equal(watch(next.commit()).error, undefined);
  });

  it('by the same instance does, too', async () => {
    const { hold, desk } = open();
    const { keeper } = await hold('c');
    const { owned } = await hold('c');
    assert.deepEqual(keeper.lost, ['taken']);
    assert.equal(desk().size, 1);
    assert.ok(owned.resumed);
  });

  it('that was not heard of shows in the next commit', async () => {
    const { hold, done, backbone } = open();
    const { owned, keeper } = await hold('c', 'a');
    backbone.source.cut(new Error('cut'));
    await hold('c', 'b');
    assert.deepEqual(keeper.lost, []);
    const waits = [owned.commit(), owned.commit()];
    await assert.rejects(done(Promise.all(waits)), codeOf('conflict'));
    assert.deepEqual(keeper.lost, ['taken']);
  });

  for (const [how, ask] of [
    ['commit', (owned: OwnedSession) => owned.commit()],
    ['change', (owned: OwnedSession) => owned.update({})],
  ] as const)
    it(`by nobody, since nothing was heard of this instance, shows in the next ${how}: the client may come back`, async () => {
      const { hold, done, registry } = open();
      const { owned, keeper } = await hold('c', 'a');
      await registry.releaseAll('a');
      await assert.rejects(done<unknown>(ask(owned)), codeOf('unavailable'));
      assert.deepEqual(keeper.lost, ['lapsed']);
      const { owned: back } = await hold('c', 'a');
      assert.ok(back.resumed);
    });

  it('that was not heard of shows when the connection to the fleet is back', async () => {
    const { hold, backbone, clock } = open();
    const { keeper } = await hold('c', 'a');
    const kept = await hold('d', 'a');
    backbone.source.cut(new Error('cut'));
    await hold('c', 'b');
    backbone.source.restore();
    await clock.advance(2_000);
    assert.deepEqual(keeper.lost, ['taken']);
    assert.deepEqual(kept.keeper.lost, []);
  });

  it('of a session whose acquisition is not answered yet refuses it', async () => {
    const { desk, watch, clock } = open({
      onCall: ({ name, instance }) =>
        name === 'acquire' && instance === 'a' ? { afterMs: 2_000 } : undefined,
    });
    const first = watch(desk('a').acquire(claimOf('c'), new Keeper()));
    await clock.advance(10);
    const second = watch(desk('b').acquire(claimOf('c'), new Keeper()));
    await clock.advance(100);
    assert.equal(second.settled, true);
    await clock.advance(3_000);
    assert.equal(first.error?.code, 'conflict');
    assert.equal(desk('a').size, 0);
  });

  it('is told of a session that a manager ended, too', async () => {
    const { hold, registry, done } = open();
    const { keeper, owned } = await hold('c');
    await done(registry.calls('manager').end({ key: key('c'), generation: undefined, discardWill: true }));
    assert.equal(keeper.lost.length, 1);
    await assert.rejects(owned.commit(), codeOf('conflict'));
  });

  it('is nobody’s business by a question that is none', async () => {
    const { hold, backbone, done } = open();
    const { keeper } = await hold('c');
    for (const question of [null, 7, {}, { ...key('c'), generation: 9 }, { ...key('c'), generation: '-1' }])
      await done(backbone.signals.ask('sessions.a', question, 10, () => true));
    await done(
      backbone.signals.ask('sessions.a', { ...key('c'), protocol: 'xmpp', generation: '99' }, 10, () => true),
    );
    assert.deepEqual(keeper.lost, []);
    let answered = false;
    const question = { ...key('unknown'), generation: '99' };
    await done(
      backbone.signals.ask('sessions.a', question, 10, (answer) => {
        answered = answer === true;
        return true;
      }),
    );
    assert.ok(answered);
  });
});

describe('a release', () => {
  it('comes behind what is still to be committed, and nothing comes behind it', async () => {
    const { hold, calls, done, clock, storedOf, desk } = open({ onCall: slow(20) });
    const { owned, keeper } = await hold('c');
    keeper.value = 1;
    const first = owned.commit();
    keeper.value = 2;
    owned.commitSoon();
    await done(owned.release({}));
    await first;
    assert.equal(storedOf('c'), '2');
    const count = calls.length;
    owned.commitSoon();
    await assert.rejects(owned.commit(), codeOf('conflict'));
    await clock.advance(10_000);
    assert.equal(calls.length, count);
    assert.equal(desk().size, 0);
    assert.deepEqual(keeper.lost, []);
  });

  it('is asked for until the registry has answered', async () => {
    const { hold, registry, done } = open({
      onCall: ({ name }, now) => (name === 'release' && now < 20_000 ? { unheard: away() } : undefined),
    });
    const { owned } = await hold('c', 'a', { expirySeconds: 0, will });
    await done(owned.release({}));
    assert.equal(registry.record(key('c')), undefined);
    assert.equal(registry.wills.length, 1);
  });

  it('is made where the state cannot be committed', async () => {
    const { hold, registry, done } = open({ patienceMs: 1_000 });
    const { owned } = await hold('c');
    registry.indexAway = true;
    owned.commitSoon();
    await done(owned.release({ discardWill: true }));
    assert.equal(registry.record(key('c'))?.owner, undefined);
  });

  it('loses to whoever takes the session meanwhile', async () => {
    const { hold, done, watch, clock } = open({
      onCall: ({ name, instance }) =>
        name === 'commit' && instance === 'a' ? { refused: away() } : undefined,
    });
    const { owned, keeper } = await hold('c', 'a');
    owned.commitSoon();
    const seen = watch(owned.release({}));
    await clock.advance(50);
    const { owned: next } = await hold('c', 'b');
    await clock.advance(1_000);
    assert.equal(seen.error?.code, 'conflict');
    assert.deepEqual(keeper.lost, []);
    await done(next.commit());
  });

  it('is an end where the session is ended', async () => {
    const { hold, done, registry } = open();
    const { owned } = await hold('c', 'a', { will });
    await done(owned.end({ discardWill: false }));
    assert.equal(registry.size, 0);
    assert.equal(registry.wills.length, 1);
  });
});

describe('an update', () => {
  for (const answer of [away(), late()])
    it(`comes behind the one before it, and is tried again after "${answer.code}"`, async () => {
      const { hold, done } = open({
        onCall: ({ name }, now) => (name === 'update' && now < 2_000 ? { refused: answer } : undefined),
      });
      const { owned } = await hold('c');
      const filter = { filter: 'a', options: Buffer.alloc(0), startCursor: '', group: '', groupId: '' };
      const first = owned.update({ addFilters: [filter] });
      const second = owned.update({ removeFilters: [{ filter: 'a', group: '' }], cursor: 'x' });
      assert.equal((await done(first)).filters.length, 1);
      assert.equal((await done(second)).filters.length, 0);
      assert.equal(owned.record.cursor, 'x');
    });

  it('that the log refuses and Redis knows nothing of tells the connection, too', async () => {
    const conflict = new PushfleetError('conflict', 'The generation is over.');
    const { hold, done } = open({
      onCall: ({ name }) => (name === 'update' ? { refused: conflict } : undefined),
    });
    const { owned, keeper } = await hold('c', 'a');
    await assert.rejects(done(owned.update({})), codeOf('conflict'));
    assert.deepEqual(keeper.lost, ['taken']);
  });

  it('of a session that another has tells the connection', async () => {
    const { hold, backbone, done } = open();
    const { owned, keeper } = await hold('c', 'a');
    backbone.source.cut(new Error('cut'));
    await hold('c', 'b');
    await assert.rejects(done(owned.update({})), codeOf('conflict'));
    assert.deepEqual(keeper.lost, ['taken']);
  });
});

describe('an acquisition', () => {
  it('that was not heard of is taken back, without its will', async () => {
    const { desk, done, registry, clock } = open({
      onCall: ({ name }) => (name === 'acquire' ? { unheard: away() } : undefined),
    });
    await assert.rejects(done(desk().acquire(claimOf('c', { will }), new Keeper())), codeOf('unavailable'));
    assert.equal(registry.record(key('c'))?.owner?.instanceId, 'a');
    await clock.advance(3_000);
    assert.equal(registry.record(key('c'))?.owner, undefined);
    assert.equal(registry.wills.length, 0);
  });

  it('that comes late is taken back, too, unless the client has come back meanwhile', async () => {
    const { desk, clock, registry, hold, watch } = open({
      onCall: ({ name, keys }, now) =>
        name === 'acquire' && now < 500 && keys.some(({ id }) => id !== 'e')
          ? { beforeMs: 6_000 }
          : undefined,
    });
    const seen = ['c', 'd'].map((id) => watch(desk().acquire(claimOf(id), new Keeper())));
    await clock.advance(5_500);
    assert.deepEqual(
      seen.map(({ error }) => error?.code),
      ['timeout', 'timeout'],
    );
    await clock.advance(1_000);
    const { owned, keeper } = await hold('d');
    await clock.advance(60_000);
    assert.equal(registry.record(key('c'))?.owner, undefined);
    assert.equal(registry.record(key('d'))?.generation, owned.record.generation);
    assert.equal(registry.record(key('d'))?.owner?.instanceId, 'a');
    assert.deepEqual(keeper.lost, []);
  });

  it('is refused as the registry says', async () => {
    const { desk, done, hold } = open({ sessions: 1 });
    await hold('c');
    const refusals: [SessionClaim, string][] = [
      [claimOf('d'), 'too_many_connections'],
      [claimOf('c', { subject: 'bob' }), 'forbidden'],
      [claimOf('e', { mustExist: true }), 'not_found'],
    ];
    for (const [claim, code] of refusals)
      await assert.rejects(done(desk().acquire(claim, new Keeper())), codeOf(code));
  });
});

describe('the end', () => {
  it('commits what is still to be committed, and refuses the rest', async () => {
    const { hold, desk, done, storedOf, calls, clock } = open({ onCall: slow(100) });
    const { owned, keeper } = await hold('c');
    keeper.value = 9;
    owned.commitSoon();
    const { owned: left } = await hold('d');
    const leaving = left.release({});
    await done(desk().close(new AbortController().signal));
    await leaving;
    assert.equal(storedOf('c'), '9');
    await assert.rejects(owned.commit(), codeOf('draining'));
    await assert.rejects(desk().acquire(claimOf('e'), new Keeper()), codeOf('draining'));
    const count = calls.length;
    await clock.advance(60_000);
    assert.equal(calls.length, count);
  });

  it('is not held up by a registry that does not answer', async () => {
    const { hold, desk, done, watch, clock } = open({
      onCall: ({ name }) => (name === 'acquire' ? undefined : { refused: away() }),
    });
    const [one, other] = [await hold('c'), await hold('d')];
    const seen = [watch(one.owned.commit()), watch(other.owned.release({}))];
    const deadline = new AbortController();
    const closed = desk().close(deadline.signal);
    await clock.advance(1_000);
    deadline.abort();
    await done(closed);
    await clock.advance(5_000);
    assert.deepEqual(
      seen.map(({ error }) => error?.code),
      ['draining', 'draining'],
    );
  });
});
