import type {
  RevocationChange,
  WatchRevocationsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import type { RevocationEntry } from '../revocation.ts';
import type { Change } from '../revocation-table.ts';
import { ChangeWriter } from './change-writer.ts';
import type { Sink } from './watches.ts';

/** Where the revocations come from. */
export interface Source {
  watch(on: (change: Change) => void): { readonly snapshot: readonly RevocationEntry[]; stop(): void };
}

/**
 * Gives one caller the snapshot and then every change, as fast as it reads. Returns how to stop.
 *
 * @throws PushfleetError `unavailable` while the revocations are not known
 */
export function streamRevocations(source: Source, sink: Sink<WatchRevocationsResponse>): () => void {
  const writer = new ChangeWriter(sink, (changes: RevocationChange[], snapshotComplete) => ({
    changes,
    snapshotComplete,
  }));
  const watch = source.watch((change) => writer.add(toMessage(change)));
  writer.begin(watch.snapshot.map(revoked));
  return () => {
    watch.stop();
    writer.stop();
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
