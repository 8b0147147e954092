import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, meanings } from '@pushfleet/core';
import { type CloseCode, retryMs } from '@pushfleet/edge';
import { PushfleetError } from './errors.ts';

const codes: readonly CloseCode[] = [
  ...(Object.keys(meanings) as ErrorCode[]),
  'slow_consumer',
  'connection_age',
];
/** Refuses a publication, which is tried again; no connection ends with it. */
const published = 'quota_publish_rate';

test('the client comes back after the codes after which the fleet says so, and after no other', () => {
  for (const code of codes) {
    const comesBack = code === published || retryMs(code) !== undefined;
    assert.equal(new PushfleetError(code, '').retryable, comesBack, code);
  }
  assert.ok(codes.includes(published) && retryMs(published) === undefined);
});
