import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type ErrorCode, limits, meanings } from '@pushfleet/core';
import { defaultLimits } from './connect.ts';
import { isPassing, PublishError } from './error.ts';

/** What may pass and is not waited for; error.ts says why. */
const reported = ['storage_full', 'quota_stored_bytes'];
/** What no publication is answered with. */
const elsewhere = ['too_many_connections', 'quota_connections', 'quota_subscriptions'];

it('what the fleet says may be tried again is, with the exceptions that are written down', () => {
  const passing = (Object.keys(meanings) as ErrorCode[]).filter((code) => meanings[code].retry);
  const retried = passing.filter((code) => isPassing(new PublishError(code, '')));
  assert.deepEqual([...retried, ...reported, ...elsewhere].sort(), passing.sort());
});

it('a batch is within what the fleet takes', () => {
  assert.ok(defaultLimits.batchCount <= limits.batchDrafts);
  assert.ok(defaultLimits.batchBytes <= limits.payloadBytes + 65_536);
});
