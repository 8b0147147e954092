import { type ClientUnaryCall, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  type Member,
  type Namespace,
  type PresenceStatus,
  PushfleetError,
  type Topic,
} from '@pushfleet/core';
import { LeaseServiceClient } from '@pushfleet/proto/pushfleet/registry/v1/leases';
import {
  type Presence,
  PresenceRefusal,
  type PresenceRefused,
  PresenceServiceClient,
  PresenceStatus as Status,
} from '@pushfleet/proto/pushfleet/registry/v1/presence';
import type { Config } from './config.ts';
import { fromGrpc } from './grpc-error.ts';
import { internalClient } from './internal.ts';
import type { registryFields } from './shared-fields.ts';

/** Names a member. */
export interface PresenceKey {
  readonly namespace: Namespace;
  readonly topic: Topic;
  readonly subject: string;
  readonly client: string;
}

/** A member as it is to be. */
export interface PresenceEntry extends PresenceKey, Pick<Member, 'status' | 'state' | 'stateContentType'> {
  /** 0: it hangs on the lease alone. Rounded up to seconds. */
  readonly ttlMs: number;
  /** When it entered, for who enters again what was lost; Unix time in milliseconds, 0: now. */
  readonly since: number;
}

export interface PresenceQuestion {
  readonly namespace: Namespace;
  readonly topic: Topic;
  /** Empty: everybody. */
  readonly subject: string;
  /** From the page before; empty: from the beginning. */
  readonly after: string;
  readonly limit: number;
}

/** The registry's presence and leases, as gRPC has them. All reject with PushfleetError. */
export interface PresenceCalls {
  /** Answers stand in the order of the entries. `precondition_failed`: the lease is not held; nothing was entered. */
  put(lease: string, entries: readonly PresenceEntry[]): Promise<readonly (Member | PushfleetError)[]>;
  leave(lease: string, keys: readonly PresenceKey[], lingerMs: number): Promise<void>;
  /** `next` is empty behind the last page. */
  list(
    question: PresenceQuestion,
  ): Promise<{ readonly members: readonly Member[]; readonly next: string; readonly total: number }>;
  /** Holds a lease until the returned function is called; `onEnd` comes at most once, and nothing behind it. */
  hold(lease: string, on: { onHeld(resumed: boolean): void; onEnd(error: PushfleetError): void }): () => void;
  end(lease: string): Promise<void>;
  /** Goes on over a new connection, where the old one seems dead. */
  reconnect(): void;
  close(): void;
}

const timeoutMs = 5_000;

const statuses: Readonly<Record<PresenceStatus, Status>> = {
  online: Status.PRESENCE_STATUS_ONLINE,
  away: Status.PRESENCE_STATUS_AWAY,
  busy: Status.PRESENCE_STATUS_BUSY,
};
const names = new Map(Object.entries(statuses).map(([name, status]) => [status, name as PresenceStatus]));

/**
 * Undefined without PUSHFLEET_REGISTRY_URL.
 *
 * @throws ConfigError as `internalClient`
 */
export function createPresenceCalls(
  config: Config<typeof registryFields>,
  { name }: { readonly name: string },
): PresenceCalls | undefined {
  const { registryUrl: url } = config;
  if (url === undefined) return undefined;
  // A connection of its own, so that leases do not end with the others' troubles.
  const client = internalClient(config, { url, service: name });
  const options = {
    ...client.options,
    'grpc.use_local_subchannel_pool': 1,
    // Callers wait for five seconds: a registry that was replaced is to be found by then.
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 2_000,
  };
  const open = () => ({
    presence: new PresenceServiceClient(client.target, client.credentials, options),
    leases: new LeaseServiceClient(client.target, client.credentials, options),
  });
  let services = open();
  const close = (): void => {
    services.presence.close();
    services.leases.close();
  };
  return {
    async put(lease, entries) {
      const request = { instanceId: lease, entries: entries.map(toMessage) };
      const { presences, refused } = await unary<{ presences: Presence[]; refused: PresenceRefused[] }>(
        (metadata, rest, done) => services.presence.putPresence(request, metadata, rest, done),
      );
      const errors = new Map(refused.map((one) => [one.index, refusal(one)]));
      return presences.map((presence, index) => errors.get(index) ?? fromMessage(presence));
    },
    async leave(lease, keys, lingerMs) {
      const request = {
        instanceId: lease,
        keys: keys.map(keyOf),
        lingerSeconds: Math.ceil(lingerMs / 1_000),
      };
      await unary((metadata, rest, done) => services.presence.leavePresence(request, metadata, rest, done));
    },
    async list({ namespace, topic, subject, after, limit }) {
      const request = { namespace, topic, subject, pageSize: limit, pageToken: after };
      const answer = await unary<{ presences: Presence[]; nextPageToken: string; total: bigint }>(
        (metadata, rest, done) => services.presence.listPresence(request, metadata, rest, done),
      );
      return {
        members: answer.presences.map(fromMessage),
        next: answer.nextPageToken,
        total: Number(answer.total),
      };
    },
    hold(lease, { onHeld, onEnd }) {
      const stream = services.leases.holdLease({ instanceId: lease, service: name, address: '' });
      let over = false;
      const end = (error: PushfleetError): void => {
        if (!over) onEnd(error);
        over = true;
      };
      stream.on('data', ({ resumed }: { readonly resumed: boolean }) => !over && onHeld(resumed));
      stream.on('error', (error: ServiceError) => end(fromGrpc(error)));
      stream.on('end', () => end(new PushfleetError('unavailable', 'The registry ended the stream.')));
      return () => {
        over = true;
        stream.cancel();
      };
    },
    async end(lease) {
      await unary((metadata, rest, done) =>
        services.leases.endLease({ instanceId: lease }, metadata, rest, done),
      );
    },
    reconnect() {
      close();
      services = open();
    },
    close,
  };
}

function unary<Response>(
  call: (
    metadata: Metadata,
    options: { readonly deadline: number },
    done: (error: ServiceError | null, response: Response) => void,
  ) => ClientUnaryCall,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  call(new Metadata(), { deadline: Date.now() + timeoutMs }, (error, response) => {
    if (error === null) resolve(response);
    else reject(fromGrpc(error));
  });
  return promise;
}

const keyOf = ({ namespace, topic, subject, client }: PresenceKey) => ({
  ...{ namespace, topic, subject, clientId: client },
});

const toMessage = (entry: PresenceEntry) => ({
  key: keyOf(entry),
  status: statuses[entry.status],
  state: Buffer.from(entry.state),
  stateContentType: entry.stateContentType,
  ttlSeconds: Math.ceil(entry.ttlMs / 1_000),
  enteredAt: entry.since === 0 ? undefined : new Date(entry.since),
});

function fromMessage(presence: Presence): Member {
  const { key, status, state, stateContentType, enteredAt, changedAt, expiresAt, revision } = presence;
  return {
    subject: key?.subject ?? '',
    client: key?.clientId ?? '',
    status: names.get(status) ?? 'online',
    ...{ state, stateContentType },
    since: enteredAt?.getTime() ?? 0,
    changed: changedAt?.getTime() ?? 0,
    ...(expiresAt !== undefined && { expiresAt: expiresAt.getTime() }),
    revision: Number(revision),
  };
}

function refusal({ reason, limit }: PresenceRefused): PushfleetError {
  if (reason === PresenceRefusal.PRESENCE_REFUSAL_CHANGES_WAIT) {
    return new PushfleetError(
      'unavailable',
      'Changes of presence cannot be published at the moment, and too many wait; try again shortly.',
      { retryAfterMs: 1_000 },
    );
  }
  const what = reason === PresenceRefusal.PRESENCE_REFUSAL_TOPIC_FULL ? 'topic' : 'namespace';
  return new PushfleetError('storage_full', `The ${what} has its most members, ${limit}.`, {
    detail: { limit: Number(limit) },
  });
}
