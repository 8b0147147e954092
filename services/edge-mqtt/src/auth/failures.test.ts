import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failures } from './failures.ts';

test('failures: below the limit, at it, and when the window is over', () => {
  const clock = { ms: 0 };
  const failures = new Failures({ most: 3, windowMs: 1_000, now: () => clock.ms });
  const fail = (name: string): void => {
    failures.require(name);
    failures.add(name);
  };
  fail('a');
  fail('a');
  clock.ms = 400;
  fail('a');
  assert.throws(() => failures.require('a'), { code: 'rate_limited', retryAfterMs: 600 });
  failures.require('b');
  clock.ms = 999;
  assert.throws(() => failures.require('a'), { code: 'rate_limited' });
  clock.ms = 1_000;
  fail('a');
  failures.require('a');
});

test('failures: 10,000 names are remembered, the oldest is forgotten first', () => {
  const failures = new Failures({ most: 1, windowMs: 1_000, now: () => 0 });
  for (let i = 0; i < 10_000; i++) failures.add(String(i));
  assert.throws(() => failures.require('0'));
  failures.add('one more');
  failures.require('0');
  assert.throws(() => failures.require('1'));
});
