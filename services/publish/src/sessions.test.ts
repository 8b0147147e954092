import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PushfleetError } from '@pushfleet/core';
import { type Grant, TimerWheel } from '@pushfleet/runtime';
import { Sessions } from './sessions.ts';

function setUp() {
  const revoked = new Set<Grant>();
  let tell = () => {};
  const wheel = new TimerWheel({ tickMs: 1 });
  const sessions = new Sessions({
    wheel,
    revocations: {
      revoked: (grant) => revoked.has(grant),
      onRevoked: (on) => {
        tell = on;
        return () => {
          tell = () => {};
        };
      },
    },
  });
  const revoke = (grant: Grant) => {
    revoked.add(grant);
    tell();
  };
  return { wheel, sessions, revoke };
}

const grantUntil = (expiresAt: number): Grant => ({ subject: 's', namespace: 'n', expiresAt }) as Grant;

/** The code a session ends with. */
function opened(sessions: Sessions, grant: Grant): { ended: Promise<string>; leave: () => void } {
  const { promise, resolve } = Promise.withResolvers<string>();
  const leave = sessions.open(grant, (reason: PushfleetError) => resolve(reason.code));
  return { ended: promise, leave };
}

test('a session ends when its token does', async () => {
  const { sessions } = setUp();
  assert.equal(await opened(sessions, grantUntil(Date.now() + 20)).ended, 'token_expired');
  assert.equal(sessions.size, 0);
});

test('a revocation ends the sessions it hits and no others', async () => {
  const { sessions, revoke } = setUp();
  const hit = grantUntil(Date.now() + 60_000);
  const { ended } = opened(sessions, hit);
  opened(sessions, grantUntil(Date.now() + 60_000));
  revoke(hit);
  assert.equal(await ended, 'token_revoked');
  assert.equal(sessions.size, 1);
  sessions.close();
});

test('a drain ends all of them within its window', async () => {
  const { sessions } = setUp();
  const all = Array.from({ length: 20 }, () => opened(sessions, grantUntil(Date.now() + 60_000)).ended);
  sessions.drain(60_000, new AbortController().signal);
  assert.deepEqual(new Set(await Promise.all(all)), new Set(['draining']));
});

test('the deadline of a drain ends what is left', async () => {
  const { sessions } = setUp();
  const all = Array.from({ length: 200 }, () => opened(sessions, grantUntil(Date.now() + 60_000)).ended);
  const deadline = new AbortController();
  sessions.drain(60_000, deadline.signal);
  deadline.abort();
  assert.equal(sessions.size, 0);
  await Promise.all(all);
});

test('whoever left is not told, and leaves no timer behind', () => {
  const { sessions, wheel } = setUp();
  const leave = sessions.open(grantUntil(Date.now() + 60_000), () => assert.fail('it had left'));
  leave();
  leave();
  sessions.close();
  assert.equal(wheel.size, 0);
});
