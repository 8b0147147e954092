import type { Stores } from '@pushfleet/bus';
import type { Backbone } from '@pushfleet/core';
import { type DeliveryService, wireDelivery } from '@pushfleet/delivery';
import { SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Config, ServiceContext } from '@pushfleet/runtime';
import type { fields } from './config.ts';
import { WebhookCourier } from './courier.ts';
import { Sequences } from './notify/sequences.ts';

export const name = 'delivery-webhook';

/** The parts of the service over a log. @throws ConfigError without a registry */
export function wireDeliveryWebhook(
  config: Config<typeof fields>,
  context: Pick<ServiceContext, 'log' | 'metrics'>,
  backbone: Backbone & Stores,
): DeliveryService {
  return wireDelivery(config, context, backbone, {
    kind: 'webhook',
    subscriptionKind: SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK,
    name,
    limits: { ...config, questionRetryMs: config.retryMs },
    courier: ({ caller, registry, tracking }) =>
      new WebhookCourier({
        ...{ caller, registry, tracking, log: context.log, origin: originOf(config) },
        sequences: new Sequences(backbone.ledger('sequences')),
        timeoutMs: config.timeoutMs,
        endpointRate: config.endpointRate,
        bodyBytes: config.bodyBytes,
      }),
  });
}

/** By which name receivers know the fleet. */
function originOf({ origin, publicUrl }: Config<typeof fields>): string | undefined {
  return origin ?? (publicUrl === undefined ? undefined : new URL(publicUrl).hostname);
}
