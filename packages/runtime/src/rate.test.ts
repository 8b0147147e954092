import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RateLimit } from './rate.ts';

function at(options: { perSecond: number; burst: number; keys?: number }) {
  const clock = { now: 0 };
  return { clock, limit: new RateLimit({ ...options, now: () => clock.now }) };
}

describe('RateLimit', () => {
  it('gives the burst, then the rate', () => {
    const { clock, limit } = at({ perSecond: 10, burst: 3 });
    assert.deepEqual([limit.take('a'), limit.take('a'), limit.take('a')], [0, 0, 0]);
    assert.equal(limit.take('a'), 100);
    clock.now += 99;
    assert.equal(limit.take('a'), 1);
    clock.now += 1;
    assert.equal(limit.take('a'), 0);
    assert.equal(limit.take('a'), 100);
  });

  it('never gives more over time than burst + rate × time', () => {
    const { clock, limit } = at({ perSecond: 7, burst: 5 });
    let given = 0;
    for (; clock.now < 60_000; clock.now += 13) while (limit.take('a') === 0) given++;
    assert.ok(given <= 5 + 7 * 60 && given >= 7 * 60, String(given));
  });

  it('keeps keys apart', () => {
    const { limit } = at({ perSecond: 1, burst: 1 });
    assert.equal(limit.take('a'), 0);
    assert.equal(limit.take('b'), 0);
    assert.notEqual(limit.take('a'), 0);
  });

  it('takes several at once or none, and never more than the burst', () => {
    const { clock, limit } = at({ perSecond: 10, burst: 10 });
    assert.equal(limit.take('a', 8), 0);
    assert.equal(limit.take('a', 4), 200);
    assert.equal(limit.take('a', 2), 0);
    assert.equal(limit.take('a', 11), Number.POSITIVE_INFINITY);
    clock.now += 1_000;
    assert.equal(limit.take('a', 10), 0);
  });

  it('forgets the key used longest ago', () => {
    const { limit } = at({ perSecond: 1, burst: 1, keys: 2 });
    limit.take('a');
    limit.take('b');
    limit.take('a');
    limit.take('c');
    assert.notEqual(limit.take('a'), 0, 'used lately');
    assert.equal(limit.take('b'), 0, 'forgotten');
  });

  it('throws with the time to wait', () => {
    const { limit } = at({ perSecond: 2, burst: 1 });
    limit.require('a');
    assert.throws(() => limit.require('a'), {
      code: 'rate_limited',
      retryAfterMs: 500,
      detail: { limit: 2, burst: 1 },
      message: 'More than 2 a second with bursts of 1; wait 1 s.',
    });
    assert.throws(() => limit.require('a', 2), { code: 'rate_limited', retryAfterMs: undefined });
  });
});
