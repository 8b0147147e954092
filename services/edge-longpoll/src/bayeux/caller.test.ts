import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import { lasting } from './caller.ts';

test('a request that stays open names somebody for as long as its token is good', () => {
  let now = 0;
  let revoked = false;
  const visitor = { expiresAt: 10 } as Grant;
  const nobody = new PushfleetError('unauthenticated', 'nobody');
  const who = lasting(
    { visitor, stranger: nobody },
    { now: () => now, revocations: { revoked: () => revoked } },
  );
  now = 9;
  assert.deepEqual([who.visitor, who.stranger], [visitor, nobody]);
  revoked = true;
  assert.deepEqual([who.visitor, who.stranger.code], [undefined, 'token_revoked']);
  revoked = false;
  now = 10;
  assert.deepEqual([who.visitor, who.stranger.code], [undefined, 'token_expired']);
  const guest = lasting(
    { visitor: undefined, stranger: nobody },
    { now: () => 0, revocations: { revoked: () => true } },
  );
  assert.deepEqual([guest.visitor, guest.stranger], [undefined, nobody]);
});
