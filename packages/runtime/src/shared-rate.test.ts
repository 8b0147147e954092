import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Namespace } from '@pushfleet/core';
import fc from 'fast-check';
import { SharedRate } from './shared-rate.ts';

const shop = 'shop' as Namespace;

/**
 * Instances that are each asked for so many publications a second and tell each other once a second what they were
 * asked for, as a fleet does. Answers with what each let through, second by second.
 */
function share(limit: number, asked: readonly number[], seconds: number): readonly (readonly number[])[] {
  let now = 0;
  const rates = asked.map(() => new SharedRate(() => now));
  let told = asked.map(() => 0);
  const rows: number[][] = [];
  for (let second = 0; second < seconds; second++) {
    const passed = asked.map(() => 0);
    rows.push(passed);
    const total = Math.max(...asked);
    for (let step = 0; step < total; step++) {
      now += 1_000 / total;
      for (const [i, rate] of rates.entries()) {
        const due = Math.floor(((step + 1) * (asked[i] as number)) / total);
        const before = Math.floor((step * (asked[i] as number)) / total);
        const elsewhere = told.reduce((sum, of, j) => (j === i ? sum : sum + of), 0);
        for (let n = before; n < due; n++) {
          if (rate.take(shop, limit, elsewhere) === 0) passed[i] = (passed[i] as number) + 1;
        }
      }
    }
    told = rates.map((rate) => Math.min(limit, new Map(rate.asked()).get(shop) ?? 0));
  }
  return rows;
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
const near = (actual: number, wanted: number, by: number) =>
  assert.ok(Math.abs(actual - wanted) <= by, `${actual} is not within ${by} of ${wanted}`);

describe('a rate that one instance keeps', () => {
  test('lets a second of it through at once, and then as much as comes back', () => {
    let now = 0;
    const rate = new SharedRate(() => now);
    const burst = () =>
      Array.from({ length: 100 }, () => rate.take(shop, 10, 0)).filter((ms) => ms === 0).length;
    assert.equal(burst(), 10);
    assert.equal(rate.take(shop, 10, 0), 100);
    now += 99;
    assert.notEqual(rate.take(shop, 10, 0), 0);
    now += 1;
    assert.equal(rate.take(shop, 10, 0), 0);
    now += 60_000;
    assert.equal(burst(), 10);
  });

  test('of nothing lets nothing through', () => {
    assert.equal(new SharedRate().take(shop, 0, 0), 60_000);
  });

  test('is not more over any time than it, and a second of it', () => {
    const waits = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(waits, fc.integer({ min: 1, max: 50 }), (steps, limit) => {
        let now = 0;
        let passed = 0;
        const rate = new SharedRate(() => now);
        for (const step of steps) {
          now += step;
          if (rate.take(shop, limit, 0) === 0) passed++;
        }
        assert.ok(passed <= limit * (now / 1_000) + limit + 1e-3);
      }),
    );
  });

  test('forgets who is quiet for a minute', () => {
    let now = 0;
    const rate = new SharedRate(() => now);
    rate.take(shop, 10, 0);
    assert.deepEqual([...rate.asked()], [[shop, 1]]);
    now += 2_000;
    assert.deepEqual([...rate.asked()], []);
    now += 60_000;
    assert.deepEqual([...rate.asked()], []);
    assert.equal(rate.take(shop, 10, 0), 0);
  });
});

describe('a rate that several instances share', () => {
  for (const [what, asked, wanted] of [
    ['all that fits passes', [10, 20, 30], [10, 20, 30]],
    ['two in the same need get a half each', [1_000, 1_000], [50, 50]],
    ['four do too', [200, 200, 200, 200], [25, 25, 25, 25]],
    ['a modest one loses little beside one in a frenzy', [1, 2_000], [1, 99]],
    ['one alone gets everything', [0, 500], [0, 100]],
  ] as const) {
    test(what, () => {
      const passed = share(100, asked, 8).at(-1) as readonly number[];
      for (const [i, of] of passed.entries()) near(of, wanted[i] as number, 3);
      assert.ok(sum(passed) <= 103, `${passed}`);
    });
  }

  test('together they pass no more than the limit, but for a second of it at each, and the one until they hear of each other', () => {
    const asked = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(asked, fc.integer({ min: 5, max: 200 }), (wanted, limit) => {
        fc.pre(Math.max(...wanted) > 0);
        const seconds = 20;
        const passed = sum(share(limit, wanted, seconds).flat());
        const each = wanted.filter((of) => of > 0).length;
        assert.ok(passed <= limit * seconds + 2 * each * limit, `${passed} of ${limit}`);
      }),
      { numRuns: 60 },
    );
  });

  test('and lose little of it', () => {
    for (const asked of [[30, 300], [80, 80, 80], [101], [60, 60]]) {
      const passed = sum(share(100, asked, 8).at(-1) as readonly number[]);
      assert.ok(passed >= 90, `${asked} passed ${passed}`);
    }
  });
});
