import type {
  RevocationChange,
  WatchRevocationsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import type { RevocationEntry } from '../revocation.ts';
import type { Change } from '../revocation-table.ts';
import type { Sink } from './watches.ts';

/** Where the revocations come from. */
export interface Source {
  watch(on: (change: Change) => void): { readonly snapshot: readonly RevocationEntry[]; stop(): void };
}

const batchChanges = 500;
/** Changes that may wait for a caller that does not read, beside the snapshot. */
const mostPending = 100_000;

/**
 * Gives one caller the snapshot and then every change, as fast as it reads. Returns how to stop.
 *
 * @throws PushfleetError `unavailable` while the revocations are not known
 */
export function streamRevocations(source: Source, sink: Sink<WatchRevocationsResponse>): () => void {
  let pending: RevocationChange[] = [];
  let stopped = false;
  let snapshotLeft = 0;
  let scheduled = false;
  let blocked = false;

  const flush = (): void => {
    scheduled = false;
    blocked = false;
    let next = 0;
    do {
      const changes = pending.slice(next, next + batchChanges);
      next += changes.length;
      snapshotLeft = Math.max(0, snapshotLeft - changes.length);
      blocked = !sink.write({ changes, snapshotComplete: snapshotLeft === 0 });
    } while (next < pending.length && !blocked);
    pending = pending.slice(next);
  };
  // Changes that come together travel together.
  const schedule = (): void => {
    if (scheduled || blocked || stopped) return;
    scheduled = true;
    setImmediate(() => !stopped && flush());
  };
  sink.onDrain(() => {
    blocked = false;
    if (pending.length > 0) schedule();
  });
  const watch = source.watch((change) => {
    pending.push(toMessage(change));
    if (pending.length > mostPending + snapshotLeft) sink.overflow();
    else schedule();
  });
  pending.push(...watch.snapshot.map(revoked));
  snapshotLeft = pending.length;
  flush();
  return () => {
    watch.stop();
    pending = [];
    stopped = true;
  };
}

function toMessage(change: Change): RevocationChange {
  if (change.kind === 'revoked') return revoked(change.entry);
  const { namespace, id } = change.entry;
  return { change: { $case: 'lifted', lifted: { namespace, id, revision: BigInt(change.revision) } } };
}

function revoked({ namespace, id, revision, revocation }: RevocationEntry): RevocationChange {
  const { subject, tokenId, tokenDigest, issuedBefore, until } = revocation;
  return {
    change: {
      $case: 'revoked',
      revoked: {
        ...{ namespace, id, subject, tokenId, tokenDigest, revision: BigInt(revision) },
        issuedBefore: issuedBefore === undefined ? undefined : new Date(issuedBefore),
        until: new Date(until),
      },
    },
  };
}
