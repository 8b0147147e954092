import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Ledger, LedgerEntry } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import { type Draft, type Namespace, PushfleetError, type Topic } from '@pushfleet/core';
import { createLog, type Quota } from '@pushfleet/runtime';
import fc from 'fast-check';
import { bucketEnd, parseKey } from './meter-buckets.ts';
import { Meters } from './meters.ts';
import { storedSize } from './stored-size.ts';

const log = createLog({ name: 'test', level: 'silent' });
const shop = 'shop' as Namespace;
const hour = 3_600_000;

const draft = (payloadBytes: number, o: Partial<Draft> = {}): Draft => ({
  id: 'i',
  source: 's',
  topic: 'a' as Topic,
  contentType: 'text/plain',
  payload: Buffer.alloc(payloadBytes),
  ...o,
});
const size = storedSize(draft(100));

/** A ledger in memory that may be away; entries go when the test's time has passed theirs. */
class TestLedger implements Pick<Ledger, 'put' | 'watch'> {
  readonly entries = new Map<string, { readonly value: Uint8Array; readonly ttlMs: number | undefined }>();
  readonly #watchers = new Set<(entry: LedgerEntry) => void>();
  away = false;
  writes = 0;

  async put(key: string, value: Uint8Array, o: { ttlMs?: number } = {}): Promise<number> {
    if (this.away) throw new PushfleetError('unavailable', 'away');
    this.entries.set(key, { value, ttlMs: o.ttlMs });
    for (const on of this.#watchers) on({ key, value, revision: ++this.writes });
    return this.writes;
  }

  async watch(on: (entry: LedgerEntry) => void): Promise<{ stop(): void }> {
    if (this.away) throw new PushfleetError('unavailable', 'away');
    for (const [key, { value }] of this.entries) on({ key, value, revision: 1 });
    this.#watchers.add(on);
    return { stop: () => void this.#watchers.delete(on) };
  }

  drop(key: string): void {
    this.entries.delete(key);
    for (const on of this.#watchers) on({ key, value: undefined, revision: ++this.writes });
  }
}

function scene(t: TestContext, quota: Quota = { storedBytes: 10 * size }) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const ledger = new TestLedger();
  const state = { now: 1_700_000_000_000, quota };
  const instance = async (name: string) => {
    const meters = new Meters({
      ledger,
      policies: {
        quota: () => state.quota,
        get limitsStorage() {
          return state.quota.storedBytes !== undefined;
        },
      },
      terms: () => ({ maxAgeMs: hour, maxBytes: 1e9, duplicateWindowMs: 120_000 }),
      instance: name,
      log,
      now: () => state.now,
    });
    await meters.start();
    t.after(() => meters.close());
    return meters;
  };
  /** Lets a second pass, and what it brings happen. */
  const second = async () => {
    state.now += 1_000;
    t.mock.timers.tick(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { ledger, state, instance, second };
}

/** Stores a draft, as far as the meter sees it. */
function store(meters: Meters, of: Draft = draft(100)): void {
  meters.settle(shop, of, meters.hold(shop, of), true);
}

const full = (error: unknown) => error instanceof PushfleetError && error.code === 'quota_stored_bytes';

describe('what a namespace stores', () => {
  test('below and at the quota is taken, beyond it refused, with both figures', async (t) => {
    const { instance } = scene(t);
    const meters = await instance('one');
    for (let i = 0; i < 10; i++) store(meters);
    assert.equal(meters.stored(shop), 10 * size);
    assert.throws(
      () => meters.hold(shop, draft(0)),
      (error) => full(error) && (error as PushfleetError).detail?.limit === 10 * size,
    );
    assert.equal(meters.hold('other' as Namespace, draft(0)) > 0, true);
  });

  test('counts while it is on its way, and not when it was refused or stored before', async (t) => {
    const { instance } = scene(t);
    const meters = await instance('one');
    const held = Array.from({ length: 10 }, () => meters.hold(shop, draft(100)));
    assert.throws(() => meters.hold(shop, draft(100)), full);
    meters.settle(shop, draft(100), held[0] as number, false);
    store(meters);
    assert.throws(() => meters.hold(shop, draft(100)), full);
  });

  test('is not counted without a quota', async (t) => {
    const { instance, ledger, second } = scene(t, {});
    const meters = await instance('one');
    assert.equal(meters.ready(), undefined);
    store(meters);
    await second();
    assert.equal(meters.stored(shop), 0);
    assert.equal(ledger.writes, 0);
  });

  test('goes with its retention, its expiry or its age, whichever comes first, and not before', async (t) => {
    for (const [life, o] of [
      [hour, {}],
      [60_000, { keepMs: 60_000 }],
      [30_000, { keepMs: 60_000, expiresAt: 1_700_000_000_000 + 30_000 }],
      [hour, { keepMs: 2 * hour, expiresAt: 1_700_000_000_000 + 3 * hour }],
    ] as const) {
      await t.test(JSON.stringify(o), async (t) => {
        const { instance, state, second } = scene(t);
        const meters = await instance('one');
        store(meters, draft(100, o));
        state.now += life - 1_001;
        await second();
        assert.equal(meters.stored(shop), size);
        state.now += Math.max(1_000, life / 16);
        await second();
        assert.equal(meters.stored(shop), 0);
      });
    }
  });
});

describe('several instances', () => {
  test('count together, within a second', async (t) => {
    const { instance, second } = scene(t);
    const one = await instance('one');
    const two = await instance('two');
    for (let i = 0; i < 6; i++) store(one);
    for (let i = 0; i < 4; i++) store(two);
    await second();
    assert.equal(one.stored(shop), 10 * size);
    assert.equal(two.stored(shop), 10 * size);
    assert.throws(() => two.hold(shop, draft(0)), full);
  });

  test('a new one knows what those before it stored, and is not ready before', async (t) => {
    const { instance, ledger, second } = scene(t);
    const old = await instance('old');
    for (let i = 0; i < 7; i++) store(old);
    await old.drain();
    await old.close();
    ledger.away = true;
    const fresh = await instance('fresh');
    assert.match(fresh.ready() ?? '', /not known yet/);
    ledger.away = false;
    await second();
    assert.equal(fresh.ready(), undefined);
    assert.equal(fresh.stored(shop), 7 * size);
  });

  test('what could not be written is written later', async (t) => {
    const { instance, ledger, second } = scene(t);
    const one = await instance('one');
    const two = await instance('two');
    ledger.away = true;
    store(one);
    await second();
    assert.equal(two.stored(shop), 0);
    ledger.away = false;
    store(one);
    await second();
    assert.equal(two.stored(shop), 2 * size);
  });

  test('the ledger keeps a sum a minute longer than it counts, and its end is heard', async (t) => {
    const { instance, ledger, second, state } = scene(t);
    const one = await instance('one');
    const two = await instance('two');
    store(one, draft(100, { keepMs: 600_000 }));
    await second();
    const [[key, { ttlMs }] = ['', { ttlMs: 0 }]] = ledger.entries;
    const ends = (parseKey(key)?.ends ?? 0) - state.now;
    assert.ok((ttlMs ?? 0) >= ends + 60_000 && (ttlMs ?? 0) <= ends + 61_000, `${ttlMs} for ${ends}`);
    ledger.drop(key);
    await until(() => two.stored(shop) === 0, 'the other to hear of it');
  });

  test('what is no key or no sum is passed over', async (t) => {
    const { instance, ledger } = scene(t);
    const one = await instance('one');
    for (const key of ['', 'shop', 'shop/x/y', 'shop/1/', 'a b/1/y', 'shop/1/y/z', 'shop/-1/y']) {
      assert.equal(parseKey(key), undefined, key);
      await ledger.put(key, Buffer.from('7'));
    }
    await ledger.put('shop/1900000000/y', Buffer.from('-7'));
    await ledger.put('shop/1900000000/z', Buffer.from('x'));
    assert.equal(one.stored(shop), 0);
    await ledger.put('shop/1900000000/y', Buffer.from('7'));
    assert.equal(one.stored(shop), 7);
  });
});

test('a scrape shows the namespaces that have a quota', async (t) => {
  const { instance, state } = scene(t);
  const meters = await instance('one');
  store(meters);
  assert.deepEqual([...meters.readings()], [[size, { namespace: 'shop' }]]);
  state.quota = {};
  assert.deepEqual([...meters.readings()], []);
});

test('a bucket ends when the publication does or up to a sixteenth of its life later, and buckets are few', () => {
  const life = fc.integer({ min: 0, max: 400 * 24 * hour });
  const at = fc.integer({ min: 1e12, max: 3e12 });
  fc.assert(
    fc.property(at, life, (now, lifeMs) => {
      const late = bucketEnd(now, lifeMs) - (now + lifeMs);
      assert.ok(late >= 0 && late <= Math.max(1_000, lifeMs / 16), `${late}`);
      assert.equal(bucketEnd(now, lifeMs) % 1_000, 0);
    }),
  );
  for (const lifeMs of [60_000, hour, 24 * hour]) {
    const ends = new Set(
      Array.from({ length: 1_000 }, (_, i) => bucketEnd(1e12 + (i * lifeMs) / 1_000, lifeMs)),
    );
    assert.ok(ends.size <= 34, `${ends.size}`);
  }
});
