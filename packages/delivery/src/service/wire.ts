import type { Stores } from '@pushfleet/bus';
import type { Backbone } from '@pushfleet/core';
import { type Caller, createCaller, type outboundFields } from '@pushfleet/outbound';
import type { SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import {
  afterwards,
  type Config,
  ConfigError,
  createFleet,
  createRegistryClient,
  createTraces,
  declareFleetMetrics,
  type Fleet,
  type FleetOptions,
  internalClient,
  logPart,
  type Part,
  type RevocationList,
  type registryFields,
  type ServiceContext,
  type traceFields,
} from '@pushfleet/runtime';
import type { Courier } from '../courier.ts';
import { Tracking } from '../http/tracking.ts';
import type { DeliveryLimits, DeliveryOptions } from '../options.ts';
import { callRegistry } from '../registry-calls.ts';
import type { SubscriptionCalls } from '../subscribers.ts';
import { createDeliveryWorker } from '../worker.ts';
import { Behind } from './behind.ts';

type WireConfig = Config<typeof registryFields & typeof traceFields & typeof outboundFields>;

/** What a courier can be made of. */
export interface CourierTools {
  readonly fleet: Fleet;
  readonly caller: Caller;
  readonly registry: SubscriptionCalls;
  readonly revocations: RevocationList;
  readonly tracking: Tracking;
}

export interface DeliveryServiceOptions
  extends Pick<DeliveryOptions, 'consent' | 'ownerless' | 'objection' | 'standing'> {
  /** Names the queue, the tail and the series of metrics: `webhook`. */
  readonly kind: string;
  readonly subscriptionKind: SubscriptionKind;
  /** The service's name. */
  readonly name: string;
  readonly limits: DeliveryLimits;
  readonly courier: (tools: CourierTools) => Courier;
  /** What each namespace uses here, for the other instances. */
  readonly usage?: FleetOptions['usage'];
  /** Other work on the log, which is drained before the log is. */
  readonly beside?: (tools: CourierTools) => readonly Part[];
}

export interface DeliveryService extends CourierTools {
  /** In the order in which they start; the worker is among the last. */
  readonly parts: readonly Part[];
}

/** The parts of a service that calls receivers, over a log. @throws ConfigError without a registry */
export function wireDelivery(
  config: WireConfig,
  { log, metrics }: Pick<ServiceContext, 'log' | 'metrics'>,
  backbone: Backbone & Stores,
  { kind, name, courier, usage, beside, ...options }: DeliveryServiceOptions,
): DeliveryService {
  if (config.registryUrl === undefined) throw new ConfigError([noRegistry]);
  const fleet = createFleet(backbone.signals, {
    ...{ service: name, protocol: kind },
    ...(usage !== undefined && { usage }),
  });
  declareFleetMetrics(metrics, fleet);
  const traces = createTraces(config, { service: name, instance: fleet.instance, log, metrics });
  const client = createRegistryClient(config, { name, log });
  const registry = callRegistry(internalClient(config, { url: config.registryUrl, service: name }), log);
  const caller = createCaller(config, { log, metrics });
  const { revocations } = client;
  const tools = { fleet, caller, registry, revocations, tracking: new Tracking({ kind, metrics, traces }) };
  const worker = createDeliveryWorker({
    ...options,
    ...{ kind, service: name, backbone, fleet, registry, revocations, log, metrics },
    courier: courier(tools),
  });
  const deliveries: Part = {
    ...{ name: worker.name, start: () => worker.start(), ready: () => worker.ready?.() },
    drain: (deadline) => worker.drain(deadline),
    close: async () => {
      await worker.close();
      registry.close();
    },
  };
  const working = drainedTogether([deliveries, ...(beside?.(tools) ?? [])]);
  const behind = new Behind(kind, backbone.tail(kind), metrics, log);
  const parts = [
    ...[traces, logPart(backbone, afterwards(working.drained, backbone)), fleet],
    ...[client, caller, ...working.parts, behind],
  ];
  return { ...tools, parts };
}

/** The same parts, and when all of them are drained. */
function drainedTogether(parts: readonly Part[]): {
  readonly parts: readonly Part[];
  readonly drained: Promise<void>;
} {
  const { promise: drained, resolve } = Promise.withResolvers<void>();
  let left = parts.length;
  const counted = (drain: Promise<void>) =>
    drain.finally(() => {
      if (--left === 0) resolve();
    });
  return {
    parts: parts.map((part) => ({
      ...{
        name: part.name,
        start: () => part.start(),
        ready: () => part.ready?.(),
        close: () => part.close(),
      },
      drain: (deadline) => counted(part.drain(deadline)),
    })),
    drained,
  };
}

const noRegistry =
  'PUSHFLEET_REGISTRY_URL is not set. It is where the subscriptions are, for example PUSHFLEET_REGISTRY_URL=http://127.0.0.1:50052.';
