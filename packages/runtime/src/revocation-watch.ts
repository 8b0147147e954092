import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import {
  type Revocation as RevocationMessage,
  RevocationServiceClient,
  type WatchRevocationsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import type { InternalClient } from './internal.ts';
import type { Log } from './log.ts';
import type { Lifted, Revocation, Revocations } from './revocations.ts';

/** Keeps a list in step with the registry's. */
export interface RevocationWatch {
  /** Whether the list has been complete once. */
  readonly complete: boolean;
  start(): void;
  close(): void;
}

const firstWaitMs = 250;
const longestWaitMs = 10_000;

/** Follows the registry's revocations, and comes back with jitter when the stream breaks; the list stays meanwhile. */
export function watchRevocations(client: InternalClient, list: Revocations, log: Log): RevocationWatch {
  const service = new RevocationServiceClient(client.target, client.credentials, client.options);
  let stream: ClientReadableStream<WatchRevocationsResponse> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let complete = false;
  let failures = 0;

  const again = (reason: string): void => {
    stream = undefined;
    if (closed) return;
    // Full jitter: a restarted registry is not met by the whole fleet in the same moment.
    const waitMs = Math.random() * Math.min(longestWaitMs, firstWaitMs * 2 ** failures);
    failures++;
    log.warn(
      { reason, waitMs: Math.round(waitMs) },
      'the registry is away; the revocations known so far stay in force',
    );
    timer = setTimeout(open, waitMs);
  };
  const open = (): void => {
    const current = service.watchRevocations({});
    stream = current;
    const take = intoList(list, () => {
      complete = true;
      failures = 0;
      log.info({ revocations: list.size }, 'the revocations are in step with the registry');
    });
    current.on('data', take);
    // A failed stream both errors and ends; one of the two starts the next.
    current.once(
      'error',
      (error: ServiceError) => stream === current && again(error.details ?? error.message),
    );
    current.once('end', () => stream === current && again('the registry ended the stream'));
  };
  return {
    get complete() {
      return complete;
    },
    start: open,
    close: () => {
      closed = true;
      clearTimeout(timer);
      stream?.cancel();
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
