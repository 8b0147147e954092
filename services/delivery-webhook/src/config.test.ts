import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '@pushfleet/runtime';
import { fields } from './config.ts';

const read = (env: NodeJS.ProcessEnv = {}) => readConfig(fields, env);

test('the retry table is a list of times', () => {
  const hours = (...list: number[]) => list.map((h) => h * 3_600_000);
  assert.deepEqual(read().retryMs, [5_000, 300_000, 1_800_000, ...hours(2, 5, 10, 14, 20, 24)]);
  assert.deepEqual(read({ PUSHFLEET_WEBHOOK_RETRY: '1, 2m ,30d' }).retryMs, [1_000, 120_000, 2_592_000_000]);
  const many = (count: number) => Array.from({ length: count }, () => '1s').join(',');
  assert.equal(read({ PUSHFLEET_WEBHOOK_RETRY: many(50) }).retryMs.length, 50);
  for (const [wrong, said] of [
    [many(51), /51 entries/],
    ['0', /"0" is not seconds, or a time with its unit/],
    ['5s,,5m', /"" is not/],
    ['31d', /"31d"/],
    ['5 s', /"5 s"/],
  ] as const) {
    assert.throws(() => read({ PUSHFLEET_WEBHOOK_RETRY: wrong }), said, wrong);
  }
});

test('the origin is a DNS name', () => {
  assert.equal(read({ PUSHFLEET_WEBHOOK_ORIGIN: 'Push.Example.com' }).origin, 'push.example.com');
  for (const wrong of [
    'https://push.example.com',
    'a b',
    '-a.example',
    'a..b',
    `${'a'.repeat(64)}.example`,
  ]) {
    assert.throws(() => read({ PUSHFLEET_WEBHOOK_ORIGIN: wrong }), /must be a DNS name/, wrong);
  }
});
