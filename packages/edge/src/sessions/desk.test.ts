import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { SimulatedClock } from '@pushfleet/contract/simulation';
import { type Cursor, type Namespace, PushfleetError } from '@pushfleet/core';
import { type SessionCommit, SessionCommitOutcome } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { Desk } from './desk.ts';
import type { SessionClaim, SessionKeeper } from './owned.ts';
import { type Mishap, type TestCall, TestRegistry, type TestRegistryOptions } from './testing-registry.ts';

const key = (id: string) => ({ namespace: 'n', protocol: 'mqtt', id });
const claimOf = (id: string, over: Partial<SessionClaim> = {}): SessionClaim => ({
  ...{ namespace: 'n' as Namespace, id, subject: 'ann', clean: false, expirySeconds: 60 },
  ...over,
});
const will = {
  ...{ topic: 'w', payload: Buffer.from('gone'), contentType: 'text/plain', attributes: [], retain: false },
  ...{ delaySeconds: 0, lifetimeSeconds: 0, source: 's', type: '', origin: '', right: undefined },
};

/** Keeps one number, and what it was asked and told. */
class Keeper implements SessionKeeper {
  value = 0;
  readonly asked: boolean[] = [];
  readonly lost: string[] = [];
  #told = -1;

  state(whole: boolean): ReturnType<SessionKeeper['state']> {
    this.asked.push(whole);
    const isTold = !whole && this.#told === this.value;
    this.#told = this.value;
    return { cursor: undefined, fields: isTold ? {} : { value: Buffer.from(`${this.value}`) } };
  }

  onLost(reason: 'taken' | 'ended'): void {
    this.lost.push(reason);
  }
}

interface OpenOptions extends Omit<TestRegistryOptions, 'clock' | 'signals' | 'onCall'> {
  readonly onCall?: (call: TestCall, now: number) => Mishap | undefined;
  readonly patienceMs?: number;
}

function open({ onCall, patienceMs = 10_000, ...rest }: OpenOptions = {}) {
  const clock = new SimulatedClock();
  const backbone = createMemoryBackbone({ clock });
  const begun = clock.now();
  const calls: TestCall[] = [];
  const commits: SessionCommit[] = [];
  const registry = new TestRegistry({
    ...{ clock, signals: backbone.signals, ...rest },
    onCall: (call) => {
      calls.push(call);
      return onCall?.(call, clock.now() - begun);
    },
    onCommit: (commit) => {
      commits.push(commit);
      return rest.onCommit?.(commit);
    },
  });
  const desks = new Map<string, Desk>();
  const desk = (instance = 'a'): Desk => {
    const there = desks.get(instance);
    if (there !== undefined) return there;
    const made = new Desk({
      ...{ protocol: 'mqtt', instance, calls: registry.calls(instance), signals: backbone.signals },
      ...{ patienceMs, clock, random: () => 0.5, behind: queueMicrotask },
      log: { warn: () => {}, info: () => {} },
    });
    made.start();
    desks.set(instance, made);
    return made;
  };
  const committed = () => calls.filter(({ name }) => name === 'commit');
  /** What has become of it by now. */
  const watch = <T>(promise: Promise<T>) => {
    const seen: { value?: T; error?: PushfleetError; settled: boolean } = { settled: false };
    promise.then(
      (value) => Object.assign(seen, { value, settled: true }),
      (error: PushfleetError) => Object.assign(seen, { error, settled: true }),
    );
    return seen;
  };
  const done = async <T>(promise: Promise<T>, ms = 60_000): Promise<T> => {
    const seen = watch(promise);
    for (let at = 0; at < ms && !seen.settled; at += 10) await clock.advance(10);
    assert.ok(seen.settled, `still waiting after ${ms} ms`);
    if (seen.error !== undefined) throw seen.error;
    return seen.value as T;
  };
  const hold = async (id: string, instance?: string, over?: Partial<SessionClaim>) => {
    const keeper = new Keeper();
    const owned = await done(desk(instance).acquire(claimOf(id, over), keeper));
    return { keeper, owned };
  };
  const storedOf = (id: string): string | undefined => registry.state(key(id))?.fields.value?.toString();
  return { clock, registry, backbone, desk, calls, commits, committed, watch, done, hold, storedOf };
}

const away = () => new PushfleetError('unavailable', 'It is away.');
const late = () => new PushfleetError('timeout', 'It was late.');
const codeOf = (code: string) => (error: unknown) => error instanceof PushfleetError && error.code === code;

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

const outcomes = { UNAVAILABLE: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_UNAVAILABLE };

function slow(ms: number) {
  return ({ name }: TestCall): Mishap | undefined =>
    name === 'commit' || name === 'release' ? { afterMs: ms } : undefined;
}
