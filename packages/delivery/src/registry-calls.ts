import type { ServiceError } from '@grpc/grpc-js';
import { Metadata, status } from '@grpc/grpc-js';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import {
  type BatchGetSubscriptionsResponse,
  type ListSubscriptionsResponse,
  type Subscription,
  type SubscriptionKind,
  SubscriptionServiceClient,
  SubscriptionState,
  type WatchSubscriptionsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { fromGrpc, type InternalClient, type Log, watchStream } from '@pushfleet/runtime';
import type { SubscriptionRef } from './place.ts';
import type { SubscriptionCalls } from './subscribers.ts';

/** A call without an answer by then has failed, in milliseconds. */
const deadlineMs = 10_000;
const pageSize = 1_000;
const listSize = 500;

type Callback<T> = (error: ServiceError | null, response: T) => void;

/** The registry's subscriptions over gRPC. */
export interface RegistryCalls extends SubscriptionCalls {
  /** One without its secrets; undefined where there is none. */
  find(ref: SubscriptionRef): Promise<Subscription | undefined>;
  /** Ends the connection. */
  close(): void;
}

export function callRegistry(client: InternalClient, log: Log): RegistryCalls {
  const service = new SubscriptionServiceClient(client.target, client.credentials, {
    ...client.options,
    // A page of 500 records with their secrets and headers is larger than gRPC's 4 MiB.
    'grpc.max_receive_message_length': 64 * 1_048_576,
  });
  const none = new Metadata();
  const ask = <T>(call: (options: { deadline: number }, callback: Callback<T>) => unknown): Promise<T> => {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    call({ deadline: Date.now() + deadlineMs }, (error, response) =>
      error === null ? resolve(response) : reject(failureOf(error)),
    );
    return promise;
  };
  return {
    async match(kind, questions) {
      const request = { kind, questions: [...questions], pageSize };
      const { answers } = await ask<{ answers: [] }>((options, on) =>
        service.matchSubscriptions(request, none, options, on as Callback<unknown>),
      );
      return answers;
    },
    async list(kind, namespace, pageToken) {
      const request = {
        ...{ namespace, kind, pageToken, pageSize: listSize, owner: '', filter: '' },
        state: SubscriptionState.SUBSCRIPTION_STATE_UNSPECIFIED,
      };
      const { subscriptions, nextPageToken } = await ask<ListSubscriptionsResponse>((options, on) =>
        service.listSubscriptions(request, none, options, on),
      );
      return { found: subscriptions, next: nextPageToken === '' ? undefined : nextPageToken };
    },
    async read(refs) {
      const pages = await Promise.all(
        Array.from(byNamespace(refs), async ([namespace, ids]) => {
          const request = { namespace, ids, withSecrets: true };
          const answer = await ask<BatchGetSubscriptionsResponse>((options, on) =>
            service.batchGetSubscriptions(request, none, options, on),
          );
          return { ...answer, namespace: namespace as Namespace };
        }),
      );
      return {
        found: pages.flatMap(({ subscriptions }) => subscriptions),
        sealed: pages.flatMap(({ namespace, sealed }) =>
          sealed.map(({ id, reason }) => ({ ref: { namespace, id }, reason })),
        ),
      };
    },
    async find({ namespace, id }) {
      const request = { namespace, ids: [id], withSecrets: false };
      const { subscriptions } = await ask<BatchGetSubscriptionsResponse>((options, on) =>
        service.batchGetSubscriptions(request, none, options, on),
      );
      return subscriptions[0];
    },
    async create(subscription, ownerLimit) {
      const answer = await ask<{ subscription: Subscription | undefined }>((options, on) =>
        service.createSubscription({ subscription, ownerLimit }, none, options, on),
      );
      return answer.subscription as Subscription;
    },
    async change(subscription, fields) {
      const request = { subscription, updateMask: [...fields] };
      const answer = await ask<{ subscription: Subscription | undefined }>((options, on) =>
        service.updateSubscription(request, none, options, on),
      );
      return answer.subscription as Subscription;
    },
    async end({ namespace, id }, reason, ifRevision) {
      await ask((options, on) =>
        service.deleteSubscription({ namespace, id, ifRevision, reason }, none, options, on),
      );
    },
    watch: (kind, onChange, onLost) => watch(service, kind, onChange, onLost, log),
    close: () => service.close(),
  };
}

/** What grpc-js makes of a registry that is away names inner addresses, and would be shown to whoever asked. */
function failureOf(error: ServiceError): PushfleetError {
  const away = error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED;
  const own = error.metadata?.get('pushfleet-code').length > 0;
  if (own || !away) return fromGrpc(error);
  return new PushfleetError('unavailable', 'The registry does not answer at the moment; try again shortly.', {
    cause: error,
    retryAfterMs: 1_000,
  });
}

function byNamespace(refs: readonly SubscriptionRef[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { namespace, id } of refs) {
    const ids = groups.get(namespace);
    if (ids === undefined) groups.set(namespace, [id]);
    else ids.push(id);
  }
  return groups;
}

/** Watches over all losses of the connection; whatever was read before a loss may be out of date. */
function watch(
  service: SubscriptionServiceClient,
  kind: SubscriptionKind,
  onChange: (change: WatchSubscriptionsResponse['changes'][number]) => void,
  onLost: () => void,
  log: Log,
): { stop(): void } {
  const watching = watchStream<WatchSubscriptionsResponse>({
    open: () => service.watchSubscriptions({ kinds: [kind] }),
    begin: (inStep) => {
      let inPlace = false;
      return ({ changes }) => {
        // Only from here on no change is missed: what was read until now is read again.
        if (!inPlace) onLost();
        inPlace = true;
        inStep();
        for (const change of changes) onChange(change);
      };
    },
    onBroken: (reason, waitMs) =>
      log.warn({ reason, waitMs }, 'changes of subscriptions are not heard of; watching again'),
  });
  watching.start();
  return { stop: watching.close };
}
