import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PushfleetError } from '@pushfleet/core';
import { type Grant, type GrantFacts, TimerWheel } from '@pushfleet/runtime';
import { Streams } from './streams.ts';

function setUp() {
  const revoked = new Set<GrantFacts>();
  let tell = () => {};
  const wheel = new TimerWheel({ tickMs: 1 });
  const streams = new Streams({
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
  return { wheel, streams, revoke };
}

const grantUntil = (expiresAt: number): Grant => ({ subject: 's', namespace: 'n', expiresAt }) as Grant;

/** The code a stream ends with. */
function opened(streams: Streams, grant: Grant): { ended: Promise<string>; leave: () => void } {
  const { promise, resolve } = Promise.withResolvers<string>();
  const leave = streams.open(grant, (reason: PushfleetError) => resolve(reason.code));
  return { ended: promise, leave };
}

test('a stream ends when its token does', async () => {
  const { streams } = setUp();
  assert.equal(await opened(streams, grantUntil(Date.now() + 20)).ended, 'token_expired');
  assert.equal(streams.size, 0);
});

test('a revocation ends the streams it hits and no others', async () => {
  const { streams, revoke } = setUp();
  const hit = grantUntil(Date.now() + 60_000);
  const { ended } = opened(streams, hit);
  opened(streams, grantUntil(Date.now() + 60_000));
  revoke(hit);
  assert.equal(await ended, 'token_revoked');
  assert.equal(streams.size, 1);
  streams.close();
});

test('a drain ends all of them within its window', async () => {
  const { streams } = setUp();
  const all = Array.from({ length: 20 }, () => opened(streams, grantUntil(Date.now() + 60_000)).ended);
  streams.drain(60_000, new AbortController().signal);
  assert.deepEqual(new Set(await Promise.all(all)), new Set(['draining']));
});

test('the deadline of a drain ends what is left', async () => {
  const { streams } = setUp();
  const all = Array.from({ length: 200 }, () => opened(streams, grantUntil(Date.now() + 60_000)).ended);
  const deadline = new AbortController();
  streams.drain(60_000, deadline.signal);
  deadline.abort();
  assert.equal(streams.size, 0);
  await Promise.all(all);
});

test('whoever left is not told, and leaves no timer behind', () => {
  const { streams, wheel } = setUp();
  const leave = streams.open(grantUntil(Date.now() + 60_000), () => assert.fail('it had left'));
  leave();
  leave();
  streams.close();
  assert.equal(wheel.size, 0);
});
