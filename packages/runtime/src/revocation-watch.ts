import {
  type Revocation as RevocationMessage,
  RevocationServiceClient,
  type WatchRevocationsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import type { InternalClient } from './internal.ts';
import type { Log } from './log.ts';
import type { Lifted, Revocation, Revocations } from './revocations.ts';
import { watchStream } from './watch-stream.ts';

/** Keeps a list in step with the registry's. */
export interface RevocationWatch {
  /** Whether the list has been complete once. */
  readonly complete: boolean;
  start(): void;
  close(): void;
}

/** Follows the registry's revocations, and comes back when the stream breaks; the list stays meanwhile. */
export function watchRevocations(client: InternalClient, list: Revocations, log: Log): RevocationWatch {
  const service = new RevocationServiceClient(client.target, client.credentials, client.options);
  let complete = false;
  const watch = watchStream<WatchRevocationsResponse>({
    open: () => service.watchRevocations({}),
    begin: (inStep) =>
      intoList(list, () => {
        complete = true;
        inStep();
        log.info({ revocations: list.size }, 'the revocations are in step with the registry');
      }),
    onBroken: (reason, waitMs) =>
      log.warn({ reason, waitMs }, 'the registry is away; the revocations known so far stay in force'),
  });
  return {
    get complete() {
      return complete;
    },
    start: watch.start,
    close: () => {
      watch.close();
      service.close();
    },
  };
}

/** Gathers a snapshot until it is complete and puts it in the list's place at once, then applies changes. */
function intoList(list: Revocations, onComplete: () => void): (response: WatchRevocationsResponse) => void {
  let snapshot: Revocation[] | undefined = [];
  return ({ changes, snapshotComplete }) => {
    const { revoked, lifted } = read(changes);
    if (snapshot === undefined) {
      list.apply(revoked, lifted);
      return;
    }
    snapshot.push(...revoked);
    if (!snapshotComplete) return;
    list.replace(snapshot);
    snapshot = undefined;
    onComplete();
  };
}

function read(changes: WatchRevocationsResponse['changes']): { revoked: Revocation[]; lifted: Lifted[] } {
  const revoked: Revocation[] = [];
  const lifted: Lifted[] = [];
  for (const { change } of changes) {
    if (change?.$case === 'revoked') revoked.push(fromMessage(change.revoked));
    if (change?.$case === 'lifted') lifted.push(change.lifted);
  }
  return { revoked, lifted };
}

function fromMessage(message: RevocationMessage): Revocation {
  const { namespace, id, subject, tokenId, tokenDigest, issuedBefore, until, revision } = message;
  return {
    ...{ namespace, id, subject, tokenId, tokenDigest, revision },
    issuedBefore: issuedBefore?.getTime(),
    // "Always present", the proto says; a revocation without an end is kept rather than dropped.
    until: until?.getTime() ?? Number.POSITIVE_INFINITY,
  };
}
