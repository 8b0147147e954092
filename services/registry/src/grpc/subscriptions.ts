import type { Namespace } from '@pushfleet/core';
import {
  type Subscription,
  SubscriptionKind,
  type SubscriptionServiceServer,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log } from '@pushfleet/runtime';
import { checkEnum, invalid } from '../subscriptions/check.ts';
import type { ListQuery, Subscriptions } from '../subscriptions/store.ts';
import { streamChanges } from './change-stream.ts';
import { unary } from './unary.ts';
import type { Watches } from './watches.ts';

const listDefault = 100;
const matchDefault = 1_000;

export function subscriptionService(
  subscriptions: Subscriptions,
  watches: Watches,
  log: Log,
): SubscriptionServiceServer {
  return {
    createSubscription: unary(log, async ({ subscription, ownerLimit }) => ({
      subscription: await subscriptions.create(required(subscription), { ownerLimit }),
    })),
    getSubscription: unary(log, async ({ namespace, id, withSecrets }) => ({
      subscription: await subscriptions.get(namespace as Namespace, id, { withSecrets }),
    })),
    batchGetSubscriptions: unary(log, ({ namespace, ids, withSecrets }) =>
      subscriptions.getMany(namespace as Namespace, ids, { withSecrets }),
    ),
    listSubscriptions: unary(log, async ({ namespace, owner, kind, filter, state, pageSize, pageToken }) => {
      const query: ListQuery = {
        namespace: namespace as Namespace,
        pageSize: pageSize || listDefault,
        pageToken,
        ...(owner === '' ? {} : { owner }),
        ...(filter === '' ? {} : { filter }),
        ...(kind === SubscriptionKind.SUBSCRIPTION_KIND_UNSPECIFIED ? {} : { kind }),
        ...(state === SubscriptionState.SUBSCRIPTION_STATE_UNSPECIFIED ? {} : { state }),
      };
      const page = await subscriptions.list(query);
      return { subscriptions: [...page.subscriptions], nextPageToken: page.next ?? '' };
    }),
    updateSubscription: unary(log, async ({ subscription, updateMask }) => ({
      subscription: await subscriptions.update(required(subscription), updateMask ?? []),
    })),
    deleteSubscription: unary(log, async ({ namespace, id, ifRevision, reason }) => {
      const revision = ifRevision === undefined ? {} : { ifRevision: Number(ifRevision) };
      await subscriptions.delete(namespace as Namespace, id, { reason, ...revision });
      return {};
    }),
    matchSubscriptions: unary(log, async ({ kind, questions, pageSize }) => ({
      answers: [...(await subscriptions.match(kind, questions, pageSize || matchDefault))],
    })),
    watchSubscriptions: (call) =>
      watches.open(call, (sink) => {
        const { kinds } = call.request;
        for (const kind of kinds) checkEnum('kinds', kind, SubscriptionKind);
        return streamChanges((on) => subscriptions.watch(kinds, on), sink);
      }),
  };
}

function required(subscription: Subscription | undefined): Subscription {
  if (subscription === undefined) throw invalid('The request has no "subscription".');
  return subscription;
}
