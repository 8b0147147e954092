import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, meanings, PushfleetError } from '@pushfleet/core';
import { brokenRetry, closeDetail, jitter, retryMs } from '@pushfleet/edge';
import { type Asker, type Refusal, refusal } from './refusal.ts';

const eventSource: Asker = { eventStream: true, reconnecting: false };
const back: Asker = { eventStream: true, reconnecting: true };
const curl: Asker = { eventStream: false, reconnecting: false };

const rows: readonly [ErrorCode, Asker, Refusal['kind']][] = [
  ['draining', eventSource, 'come_back'],
  ['draining', back, 'come_back'],
  ['draining', curl, 'problem'],
  ['too_many_connections', eventSource, 'come_back'],
  ['quota_connections', eventSource, 'come_back'],
  ['quota_subscriptions', back, 'come_back'],
  ['quota_connections', curl, 'problem'],
  ['unavailable', back, 'come_back'],
  ['rate_limited', eventSource, 'come_back'],
  ['timeout', eventSource, 'come_back'],
  ['internal', eventSource, 'come_back'],
  ['internal', curl, 'problem'],
  ['forbidden', eventSource, 'problem'],
  ['forbidden', back, 'problem'],
  ['filter_invalid', eventSource, 'problem'],
  ['cursor_invalid', back, 'problem'],
  ['unauthenticated', eventSource, 'problem'],
  ['unauthenticated', back, 'stop'],
  ['token_expired', back, 'stop'],
  ['token_revoked', back, 'stop'],
  ['token_expired', eventSource, 'problem'],
  ['token_expired', curl, 'problem'],
];
for (const [code, asker, kind] of rows) {
  test(`${code} for ${JSON.stringify(asker)} is ${kind}`, () => {
    assert.equal(refusal(new PushfleetError(code, ''), asker).kind, kind);
  });
}

/** Refused to publishers, never to readers. */
const forPublishers = ['storage_full', 'quota_publish_rate', 'quota_stored_bytes'];

test('every code that a retry can mend lets EventSource come back', () => {
  for (const [code, meaning] of Object.entries(meanings)) {
    if (!meaning.retry || forPublishers.includes(code)) continue;
    assert.notEqual(retryMs(code as ErrorCode), undefined, code);
  }
});

test('waits are whole milliseconds, spread, and behind what the error asks for', () => {
  const waits = Array.from({ length: 200 }, () => retryMs('draining', 9_999.5) as number);
  assert.ok(waits.every((wait) => Number.isInteger(wait) && wait >= 10_500 && wait <= 14_000));
  assert.ok(new Set(waits).size > 50);
  assert.equal(retryMs('token_expired'), undefined);
  assert.ok(jitter(brokenRetry) >= brokenRetry[0] && jitter(brokenRetry) <= brokenRetry[1]);
});

test('every code has a sentence for people', () => {
  for (const code of [...Object.keys(meanings), 'slow_consumer', 'connection_age'] as ErrorCode[]) {
    assert.match(closeDetail(code), /\w/);
  }
});
