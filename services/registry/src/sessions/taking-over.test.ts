import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { Ledger } from '@pushfleet/bus';
import { type RedisServer, startRedis } from '@pushfleet/contract';
import { SessionCommitOutcome } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { keyOf, willOf } from './testing.ts';
import { openSessions } from './testing-register.ts';

let redis: RedisServer;
before(async () => {
  redis = await startRedis();
});
after(() => redis.stop());

it('who commits while another takes the session over is never told that nobody has it', async (t) => {
  let puts = 0;
  /** Runs in front of the entry that names the new owner, behind the one that says that the former connection is gone. */
  let between: (() => Promise<void>) | undefined;
  const watched = (ledger: Ledger): Ledger =>
    new Proxy(ledger, {
      get(target, name) {
        const value = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if (name === 'put' && between !== undefined && ++puts === 2) await between();
          return value.apply(target, args);
        };
      },
    });
  // Idle: a sweeper that found the will first would write, too.
  const one = await openSessions(redis.url, { ledger: watched, idle: true });
  t.after(() => one.close());
  const key = keyOf('c');
  const { generation } = await one.own(key, { will: willOf('w') });
  const commit = async (): Promise<SessionCommitOutcome | undefined> => {
    const wanted = { key, generation, putFields: {}, removeFields: [], whole: false, number: 1n };
    return (await one.register.commit([wanted]))[0];
  };
  let meanwhile: SessionCommitOutcome | undefined;
  between = async () => {
    meanwhile = await commit();
  };
  await one.own(key, { instanceId: 'edge-2' });
  assert.equal(meanwhile, SessionCommitOutcome.SESSION_COMMIT_OUTCOME_UNAVAILABLE, 'it is asked again');
  assert.equal(await commit(), SessionCommitOutcome.SESSION_COMMIT_OUTCOME_FENCED);
});
