import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createMemoryBackbone, type Ledger, type MemoryBackbone } from '@pushfleet/bus';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import type { Store } from '../redis.ts';
import { hotKey, idsKey, suspectsKey } from './keys.ts';
import { refOf } from './record.ts';
import { keyOf, willOf } from './testing.ts';
import { heard, openSessions, type TestSessions } from './testing-register.ts';

/** An instance that dies behind so many of its writes: none that comes later reaches the log or Redis. */
class Dying {
  writes = 0;
  readonly #after: number;

  constructor(lives: number) {
    this.#after = lives;
  }

  get dead(): boolean {
    return this.writes > this.#after;
  }

  async #write<T>(write: () => Promise<T>): Promise<T> {
    this.writes++;
    if (this.dead) throw new PushfleetError('unavailable', 'This instance is dead.');
    return write();
  }

  readonly ledger = (inner: Ledger): Ledger => ({
    get: (key) => inner.get(key),
    put: (...args) => this.#write(() => inner.put(...args)),
    delete: (...args) => this.#write(() => inner.delete(...args)),
    read: (options) => inner.read(options),
    watch: (on, options) => inner.watch(on, options),
  });

  readonly store = (inner: Store): Store => ({
    command: (...args) => this.#write(() => inner.command(...args)),
    run: (...args) => this.#write(() => inner.run(...args)),
    read: (...args) => this.#write(() => inner.read(...args)),
    runAll: (...args) => this.#write(() => inner.runAll(...args)),
    onReturn: () => {},
  });
}

const shared = { filter: 's/#', group: 'g', options: Buffer.alloc(0), startCursor: '', groupId: '' };

/** What an instance does; each ends in a state from which the others go on. */
const lives: Readonly<Record<string, (one: TestSessions) => Promise<unknown>>> = {
  async 'a new session'(one) {
    await one.own(keyOf('c'), { will: willOf('new') });
  },
  async 'a take-over with a will'(one) {
    await one.own(keyOf('held'), { instanceId: 'edge-2' });
  },
  async 'a clean take-over out of a group'(one) {
    await one.own(keyOf('held'), { instanceId: 'edge-2', clean: true });
  },
  async 'a group joined and left'(one) {
    const { generation } = await one.own(keyOf('joining'));
    await one.update(keyOf('joining'), generation, { addFilters: [{ ...shared, filter: 'other' }] });
    await one.update(keyOf('joining'), generation, { removeFilters: [{ filter: 'other', group: 'g' }] });
  },
  async 'a release'(one) {
    const { generation } = await one.register.get(keyOf('held'));
    await one.release(keyOf('held'), generation);
  },
  async 'an end by a farewell'(one) {
    const { generation } = await one.register.get(keyOf('held'));
    await one.release(keyOf('held'), generation, { expirySeconds: 0, discardWill: true });
  },
};

describe('sessions whose registry dies between two writes', () => {
  let redis: RedisServer;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());

  /** Says whether it lived to the end. */
  async function play(live: (one: TestSessions) => Promise<unknown>, writes: number): Promise<boolean> {
    const backbone: MemoryBackbone = createMemoryBackbone();
    const alive = new Set(['edge-1', 'edge-2']);
    const published = await heard(backbone);
    const well = await openSessions(redis.url, { backbone, alive });
    await until(() => well.register.groups.known(), 'the index');
    const { generation } = await well.own(keyOf('held'), { will: willOf('held') });
    await well.update(keyOf('held'), generation, { addFilters: [shared] });
    const dying = new Dying(writes);
    const one = await openSessions(redis.url, {
      ...{ backbone, alive, idle: true },
      ...{ ledger: dying.ledger, wrap: dying.store },
    });
    await live(one).catch((error: PushfleetError) => assert.equal(error.code, 'unavailable'));
    const { dead } = dying;
    await one.close();
    // Whatever was left behind: the edges die, their sessions are released, wills appear once, and all of it ends.
    alive.clear();
    const names = ['held', 'c', 'joining'].map((id) => keyOf(id));
    const unowned = async (): Promise<boolean> => {
      const found = await Promise.allSettled(names.map((key) => well.register.get(key)));
      return found.every((each) => each.status === 'rejected' || each.value.owner === undefined);
    };
    await until(unowned, `the release, ${writes} writes`);
    well.advance(700_000);
    const empty = async (): Promise<boolean> => {
      const hot = names.map((key) => well.store.command('EXISTS', hotKey(refOf(key))));
      const counts = [...(await Promise.all(hot)), await well.store.command('EXISTS', suspectsKey)];
      const { pages } = await backbone.ledger('sessions').read();
      for await (const page of pages) if (page.length > 0) return false;
      return counts.every((count) => count === 0) && backbone.log.groups.size === 0;
    };
    await until(empty, `the end of everything, ${writes} writes`);
    const wills = published.map(({ topic }) => topic);
    assert.equal(new Set(wills).size, wills.length, `wills once: ${wills.join(', ')}`);
    // A name without a session is found by the next comparison with the log.
    const left = (await well.store.command('ZCARD', idsKey('team-a' as never))) as number;
    assert.ok(left <= 1, `${left} names`);
    await well.close();
    await backbone.close();
    await clear();
    return !dead;
  }

  async function clear(): Promise<void> {
    const one = await openSessions(redis.url, { idle: true });
    await one.store.command('FLUSHALL');
    await one.close();
  }

  for (const [what, live] of Object.entries(lives)) {
    it(`makes good ${what}`, { timeout: 180_000 }, async () => {
      let writes = 0;
      while (!(await play(live, writes))) writes++;
      assert.ok(writes >= 3, `${writes} writes`);
    });
  }
});
