import type { Stores } from '@pushfleet/bus';
import type { Backbone } from '@pushfleet/core';
import { callRegistry, createDeliveryWorker } from '@pushfleet/delivery';
import { createCaller } from '@pushfleet/outbound';
import { SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import {
  afterwards,
  type Config,
  ConfigError,
  createFleet,
  createRegistryClient,
  createTraces,
  declareFleetMetrics,
  internalClient,
  logPart,
  type Part,
  type ServiceContext,
} from '@pushfleet/runtime';
import { Behind } from './behind.ts';
import type { fields } from './config.ts';
import { WebhookCourier } from './courier.ts';
import { Tracking } from './tracking.ts';

export const name = 'delivery-webhook';

/** The parts of the service over a log. @throws ConfigError without a registry */
export function wireDeliveryWebhook(
  config: Config<typeof fields>,
  { log, metrics }: Pick<ServiceContext, 'log' | 'metrics'>,
  backbone: Backbone & Stores,
): { readonly parts: readonly Part[] } {
  if (config.registryUrl === undefined) throw new ConfigError([noRegistry]);
  const fleet = createFleet(backbone.signals, { service: name, protocol: 'webhook' });
  declareFleetMetrics(metrics, fleet);
  const traces = createTraces(config, { service: name, instance: fleet.instance, log, metrics });
  const client = createRegistryClient(config, { name, log });
  const registry = callRegistry(internalClient(config, { url: config.registryUrl, service: name }), log);
  const caller = createCaller(config, { log, metrics });
  const courier = new WebhookCourier({
    ...{ caller, registry, log, origin: originOf(config) },
    tracking: new Tracking({ metrics, traces }),
    timeoutMs: config.timeoutMs,
    endpointRate: config.endpointRate,
    bodyBytes: config.bodyBytes,
  });
  const worker = createDeliveryWorker({
    kind: 'webhook',
    subscriptionKind: SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK,
    service: name,
    revocations: client.revocations,
    limits: config,
    ...{ backbone, fleet, registry, courier, log, metrics },
  });
  const { promise: drained, resolve } = Promise.withResolvers<void>();
  const deliveries: Part = {
    ...{ name: worker.name, start: () => worker.start(), ready: () => worker.ready?.() },
    drain: (deadline) => worker.drain(deadline).finally(resolve),
    close: async () => {
      await worker.close();
      registry.close();
    },
  };
  const behind = new Behind(backbone.tail('webhook'), metrics, log);
  return {
    parts: [
      traces,
      logPart(backbone, afterwards(drained, backbone)),
      fleet,
      client,
      caller,
      deliveries,
      behind,
    ],
  };
}

const noRegistry =
  'PUSHFLEET_REGISTRY_URL is not set. It is where the subscriptions are, for example PUSHFLEET_REGISTRY_URL=http://127.0.0.1:50052.';

/** By which name receivers know the fleet. */
function originOf({ origin, publicUrl }: Config<typeof fields>): string | undefined {
  return origin ?? (publicUrl === undefined ? undefined : new URL(publicUrl).hostname);
}
