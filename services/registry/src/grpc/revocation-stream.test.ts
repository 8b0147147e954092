import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Namespace } from '@pushfleet/core';
import type { WatchRevocationsResponse } from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import type { RevocationEntry } from '../revocation.ts';
import type { Change } from '../revocation-table.ts';
import { streamRevocations } from './revocation-stream.ts';

const entry = (n: number): RevocationEntry => ({
  namespace: 'team-a' as Namespace,
  id: String(n),
  revision: n,
  revocation: { subject: `user-${n}`, until: 2_000_000_000_000, createdAt: 1, createdBy: 'bob' },
});
const entries = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => entry(from + i));

/** A caller that stops reading and goes on when it is told to. */
function caller(snapshot: readonly RevocationEntry[]) {
  const responses: WatchRevocationsResponse[] = [];
  const state = { room: Number.POSITIVE_INFINITY, overflows: 0, watching: true };
  let change: (change: Change) => void = () => {};
  let drain = () => {};
  const source = {
    watch: (on: (change: Change) => void) => {
      change = on;
      return { snapshot, stop: () => (state.watching = false) };
    },
  };
  const stop = streamRevocations(source, {
    write: (response) => responses.push(response) < state.room,
    onDrain: (on) => {
      drain = on;
    },
    overflow: () => state.overflows++,
    end: () => {},
  });
  return {
    state,
    responses,
    stop,
    change: (n: number) => change({ kind: 'revoked', entry: entry(n) }),
    drain: () => drain(),
    ids: () =>
      responses.flatMap(({ changes }) =>
        changes.map(({ change: c }) => (c?.$case === 'revoked' ? Number(c.revoked.id) : -1)),
      ),
  };
}

describe('streamRevocations', () => {
  it('gives each change once and in order, however the caller reads', async () => {
    const to = caller(entries(0, 1_700));
    to.state.room = 0;
    for (let n = 1_700; n < 3_000; n++) {
      to.change(n);
      if (n % 100 !== 0) continue;
      await turn();
      to.drain();
    }
    while (to.ids().length < 3_000) {
      to.drain();
      await turn();
    }
    assert.deepEqual(
      to.ids(),
      entries(0, 3_000).map(({ revision }) => revision),
    );
    const complete = to.responses.findIndex(({ snapshotComplete }) => snapshotComplete);
    const before = to.responses.slice(0, complete).flatMap(({ changes }) => changes).length;
    const until = before + (to.responses[complete]?.changes.length ?? 0);
    assert.ok(before < 1_700 && until >= 1_700, `${before} ${until}`);
  });

  it('writes what comes together in one message', async () => {
    const to = caller([]);
    for (let n = 0; n < 10; n++) to.change(n);
    await turn();
    assert.deepEqual(
      to.responses.map(({ changes }) => changes.length),
      [0, 10],
    );
  });

  it('gives up a caller that stays behind', () => {
    const to = caller([]);
    to.state.room = 0;
    for (let n = 0; n <= 100_000; n++) to.change(n);
    assert.equal(to.state.overflows, 1);
  });

  it('writes nothing more after it was stopped', async () => {
    const to = caller([]);
    to.change(1);
    to.stop();
    await turn();
    to.drain();
    await turn();
    assert.equal(to.responses.length, 1);
    assert.equal(to.state.watching, false);
  });
});
