import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, meanings } from '@pushfleet/core';
import { type CloseCode, retryMs } from '@pushfleet/edge';
import { wsCode } from './close-code.ts';

const codes = [...(Object.keys(meanings) as ErrorCode[]), 'slow_consumer', 'connection_age'] as CloseCode[];
const comeBack = [1011, 1012, 1013];
/** They stand for frames that were not sent (RFC 6455 section 7.4.1). */
const neverSent = [1005, 1006, 1015];

test('a close code says by itself whether coming back can help', () => {
  for (const code of codes) {
    assert.equal(comeBack.includes(wsCode(code)), retryMs(code) !== undefined, code);
  }
});

test('no close code is one that is never sent', () => {
  for (const code of codes) assert.ok(!neverSent.includes(wsCode(code)), code);
});

const rows: readonly [CloseCode, number][] = [
  ['draining', 1012],
  ['connection_age', 1012],
  ['slow_consumer', 1013],
  ['unavailable', 1013],
  ['quota_connections', 1013],
  ['internal', 1011],
  ['token_expired', 4401],
  ['token_revoked', 4401],
  ['unauthenticated', 4401],
  ['forbidden', 4403],
  ['payload_too_large', 1009],
  ['filter_invalid', 1008],
];
for (const [code, closeCode] of rows) {
  test(`${code} closes with ${closeCode}`, () => assert.equal(wsCode(code), closeCode));
}
