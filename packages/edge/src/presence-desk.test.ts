import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '@pushfleet/contract';
import { type Member, type Namespace, PushfleetError, type Topic } from '@pushfleet/core';
import type { PresenceEntry, PresenceKey } from '@pushfleet/runtime';
import fc from 'fast-check';
import { PresenceDesk } from './presence-desk.ts';

const keyOf = (client: string): PresenceKey => ({
  ...{ namespace: 'n' as Namespace, topic: 't' as Topic, subject: 's', client },
});
const entryOf = (client: string, rest: Partial<PresenceEntry> = {}): PresenceEntry => ({
  ...keyOf(client),
  ...{ status: 'online', state: new Uint8Array(0), stateContentType: '', ttlMs: 0, since: 0 },
  ...rest,
});
const away = () => new PushfleetError('unavailable', 'It is away.');
const ended = () => new PushfleetError('precondition_failed', 'It has ended.');

/** How a call ends: `lost`, it was done and nobody hears of it; `new`, the lease is over. */
type Mood = 'well' | 'away' | 'lost' | 'new';

/** A registry that does what it is told, and a lease of it. */
class FakeRegistry {
  readonly members = new Map<string, { readonly entry: PresenceEntry; readonly lease: string }>();
  readonly calls: string[] = [];
  readonly told: string[] = [];
  moods: Mood[] = [];
  slowMs = 1;
  underWay = 0;
  most = 0;
  #leases = 1;
  current: string | undefined = 'lease 1';
  onNew = (): void => {};

  lost(id: string): void {
    if (id !== this.current) return;
    this.current = undefined;
    this.#leases++;
    setImmediate(() => {
      this.current = `lease ${this.#leases}`;
      this.onNew();
    });
  }

  async #call<T>(what: string, lease: string, act: () => T): Promise<T> {
    this.calls.push(what);
    this.most = Math.max(this.most, ++this.underWay);
    await sleep(this.slowMs);
    this.underWay--;
    const mood = this.moods.shift() ?? 'well';
    if (mood === 'away') throw away();
    if (mood === 'new' || lease !== this.current) {
      // What Redis held is gone with it.
      if (mood === 'new') this.members.clear();
      throw ended();
    }
    const answer = act();
    if (mood === 'lost') throw away();
    return answer;
  }

  put(lease: string, entries: readonly PresenceEntry[]): Promise<readonly (Member | PushfleetError)[]> {
    return this.#call(`put ${entries.length}`, lease, () =>
      entries.map((entry) => {
        const { subject, client, status, state, stateContentType } = entry;
        if (client === 'bad') throw new PushfleetError('request_invalid', 'Bad.');
        if (client === 'full') return new PushfleetError('storage_full', 'Full.');
        if (!this.members.has(client)) this.told.push(`entered ${client}`);
        this.members.set(client, { entry, lease });
        return { subject, client, status, state, stateContentType, since: 1, changed: 1, revision: 1 };
      }),
    );
  }

  leave(lease: string, keys: readonly PresenceKey[], lingerMs: number): Promise<void> {
    return this.#call(`leave ${keys.length} ${lingerMs}`, lease, () => {
      for (const { client } of keys) if (this.members.delete(client)) this.told.push(`left ${client}`);
    });
  }

  async end(lease: string): Promise<void> {
    this.calls.push(`end ${lease}`);
    for (const [client, { lease: holder }] of this.members) if (holder === lease) this.members.delete(client);
  }
}

type Deed =
  | {
      readonly do: 'put';
      readonly client: string;
      readonly connection: string;
      readonly status: 'online' | 'away';
    }
  | { readonly do: 'leave'; readonly client: string; readonly connection: string }
  | { readonly do: 'leaveAll'; readonly connection: string }
  | { readonly do: 'turn' };
type Wanted = Map<string, { readonly connection: string; readonly status: string }>;

function act(desk: PresenceDesk, deed: Deed): unknown {
  if (deed.do === 'put') return desk.put(entryOf(deed.client, { status: deed.status }), deed.connection);
  if (deed.do === 'leave') return desk.leave(keyOf(deed.client), deed.connection);
  return deed.do === 'leaveAll' && desk.leaveAll(deed.connection, 0);
}

/** What is to be there after a deed. */
function follow(wanted: Wanted, deed: Deed): void {
  if (deed.do === 'turn') return;
  const { connection } = deed;
  if (deed.do === 'put') {
    wanted.set(deed.client, { connection, status: deed.status });
    return;
  }
  for (const [name, { connection: by }] of wanted) {
    if (by === connection && (deed.do === 'leaveAll' || name === deed.client)) wanted.delete(name);
  }
}

function open() {
  const registry = new FakeRegistry();
  const desk = new PresenceDesk({ calls: registry, lease: registry, log: { warn: () => {} } as never });
  registry.onNew = () => desk.wake();
  return { registry, desk, close: () => desk.close(0, AbortSignal.timeout(1_000)) };
}

describe('PresenceDesk', () => {
  it('sends what comes in one turn together, at most 1,000 in a call, one call at a time', async () => {
    const { registry, desk, close } = open();
    await Promise.all(Array.from({ length: 2_001 }, (_, n) => desk.put(entryOf(`c${n}`), 'x')));
    assert.deepEqual(registry.calls, ['put 1000', 'put 1000', 'put 1']);
    registry.calls.length = 0;
    await Promise.all(
      Array.from({ length: 1_000 }, (_, n) => desk.put(entryOf(`c${n}`, { status: 'away' }), 'x')),
    );
    desk.leaveAll('x', 0);
    await until(() => registry.members.size === 0, 'the leaves');
    assert.deepEqual(registry.calls, ['put 1000', 'leave 1000 0', 'leave 1000 0', 'leave 1 0']);
    assert.deepEqual([registry.most, desk.size], [1, 0]);
    await close();
  });

  it('sends no more than a megabyte of state in a call', async () => {
    const { registry, desk, close } = open();
    const state = new Uint8Array(4_096);
    await Promise.all(Array.from({ length: 400 }, (_, n) => desk.put(entryOf(`c${n}`, { state }), 'x')));
    assert.equal(registry.calls.length, 2);
    await close();
  });

  it('says only the last of what waits behind a call', async () => {
    const { registry, desk, close } = open();
    registry.slowMs = 100;
    const first = desk.put(entryOf('a'), 'x');
    await until(() => registry.underWay === 1, 'the call');
    const rest = (['away', 'busy', 'online', 'away'] as const).map((status) =>
      desk.put(entryOf('a', { status }), 'x'),
    );
    assert.equal((await first).status, 'online');
    assert.deepEqual(
      (await Promise.all(rest)).map(({ status }) => status),
      ['away', 'away', 'away', 'away'],
    );
    assert.equal(registry.calls.length, 2);
    await close();
  });

  it('lets nobody suffer for another of the same call', async () => {
    const { registry, desk, close } = open();
    const answers = await Promise.allSettled(
      ['a', 'bad', 'full', 'b'].map((client) => desk.put(entryOf(client), 'x')),
    );
    const codes = answers.map((one) =>
      one.status === 'fulfilled' ? 'put' : (one.reason as PushfleetError).code,
    );
    assert.deepEqual(codes, ['put', 'request_invalid', 'storage_full', 'put']);
    assert.deepEqual([...registry.members.keys()], ['a', 'b']);
    assert.equal(desk.size, 2);
    await close();
  });

  it('refuses who changes faster than it can be told', async () => {
    const { registry, desk, close } = open();
    registry.current = undefined;
    const asked: Promise<unknown>[] = [];
    for (let n = 0; n < 4; n++) asked.push(desk.put(entryOf('a'), 'x'), desk.leave(keyOf('a'), 'x'));
    await assert.rejects(desk.put(entryOf('a'), 'x'), { code: 'rate_limited' });
    registry.current = 'lease 2';
    await Promise.all(asked);
    assert.deepEqual(registry.told, Array.from({ length: 4 }, () => ['entered a', 'left a']).flat());
    await close();
  });

  it('enters everybody again before a leave under another lease, then ends the former', async () => {
    const { registry, desk, close } = open();
    await Promise.all(['a', 'b', 'c'].map((client) => desk.put(entryOf(client), client)));
    registry.moods = ['new'];
    desk.leaveAll('a', 0);
    await until(() => registry.calls.includes('end lease 1'), 'the end of the former lease');
    await until(() => registry.members.size === 2, 'the leave');
    assert.deepEqual(registry.told.slice(3), ['entered a', 'entered b', 'entered c', 'left a']);
    assert.equal(registry.members.get('b')?.entry.since, 1, 'with the time of its entry');
    await close();
  });

  it('forgets who left by itself', async () => {
    const { registry, desk, close } = open();
    await desk.put(entryOf('a', { ttlMs: 1_000 }), 'x');
    assert.equal(desk.size, 1);
    await until(() => desk.size === 0, 'the end of its time');
    registry.lost('lease 1');
    await until(() => registry.calls.includes('end lease 1'), 'another lease');
    assert.equal(registry.calls.filter((call) => call.startsWith('put')).length, 1);
    await close();
  });

  const client = fc.constantFrom('a', 'b', 'c');
  const connection = fc.constantFrom('x', 'y');
  const deed: fc.Arbitrary<Deed> = fc.oneof(
    fc.record({
      do: fc.constant('put' as const),
      client,
      connection,
      status: fc.constantFrom('online', 'away'),
    }),
    fc.record({ do: fc.constant('leave' as const), client, connection }),
    fc.record({ do: fc.constant('leaveAll' as const), connection }),
    fc.constant({ do: 'turn' as const }),
  );
  const moods = fc.array(fc.constantFrom<Mood>('well', 'well', 'well', 'away', 'lost', 'new'), {
    maxLength: 6,
  });

  it('ends with the members that it should, whatever goes wrong meanwhile', {
    timeout: 120_000,
  }, async () => {
    const run = async (deeds: readonly Deed[], troubles: Mood[]): Promise<void> => {
      const { registry, desk, close } = open();
      registry.moods = troubles;
      const wanted: Wanted = new Map();
      const asked: Promise<unknown>[] = [];
      for (const each of deeds) {
        if (each.do === 'turn') await sleep(1);
        else asked.push(Promise.resolve(act(desk, each)));
        follow(wanted, each);
      }
      await Promise.all(asked);
      const there = () =>
        JSON.stringify([...registry.members].map(([name, { entry }]) => [name, entry.status]).toSorted());
      const goal = JSON.stringify([...wanted].map(([name, { status }]) => [name, status]).toSorted());
      await until(() => there() === goal, goal);
      assert.ok(registry.most <= 1);
      await close();
    };
    // Few enough deeds that nobody is refused for being too fast.
    await fc.assert(fc.asyncProperty(fc.array(deed, { maxLength: 7 }), moods, run), { numRuns: 60 });
  });
});
