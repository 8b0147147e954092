import { connectJetStream } from '@pushfleet/bus';
import type { Lifecycle } from '@pushfleet/core';
import { createHubs } from '@pushfleet/hub';
import {
  type Config,
  createRegistryClient,
  createTokenCheck,
  declareHubMetrics,
  logPart,
  type Metrics,
  type Part,
  part,
  RateLimit,
  readRoutes,
  runService,
  type ServiceContext,
  TimerWheel,
} from '@pushfleet/runtime';
import { Budget } from './budget.ts';
import { fields } from './config.ts';
import { Discovery } from './discovery.ts';
import { GrpcApi } from './grpc.ts';
import { grpcCredentials } from './grpc-credentials.ts';
import { createHttpApi } from './http.ts';
import { Intake } from './intake.ts';
import { Streams } from './streams.ts';

await runService({ name: 'publish', fields, wire });

function wire(config: Config<typeof fields>, context: ServiceContext): { readonly parts: readonly Part[] } {
  const { log, metrics } = context;
  const backbone = connectJetStream({
    servers: config.natsUrl,
    ...(config.natsCreds === undefined ? {} : { creds: config.natsCreds }),
    name: 'publish',
    log,
  });
  const registry = createRegistryClient(config, { name: 'publish', log });
  const tokens = createTokenCheck(config, { revocations: registry.revocations });
  const hubs = createHubs(backbone);
  const wheel = new TimerWheel();
  const rate = new RateLimit({ perSecond: config.ratePerSecond, burst: config.rateBurst });
  const intake = new Intake({ backbone, rate, payloadBytes: config.payloadBytes });
  const budget = new Budget(config.pendingBytes);
  const streams = new Streams({ wheel, revocations: registry.revocations });
  const http = createHttpApi({
    address: config.listen,
    discovery: new Discovery({
      routes: readRoutes(),
      publicUrl: config.publicUrl,
      grpcUrl: config.grpcPublicUrl,
    }),
    payloadBytes: config.payloadBytes,
    batchBytes: config.batchBytes,
    bodyTimeoutMs: config.bodyTimeoutMs,
    outgoing: new Budget(config.pendingBytes),
    ...{ tokens, intake, budget, log },
  });
  const grpc = new GrpcApi({
    address: config.grpcListen,
    credentials: grpcCredentials(config),
    messageBytes: Math.max(config.batchBytes, config.payloadBytes + 65_536),
    streamDrafts: config.streamDrafts,
    subscribe: {
      wheel,
      count: config.outboxCount,
      bytes: config.outboxBytes,
      keepAliveMs: config.keepAliveMs,
    },
    subscriptions: config.subscriptions,
    connectionAgeMs: config.grpcConnectionAgeMs,
    drainWindowMs: config.drainMs / 2,
    serving: () => backbone.ready,
    ...{ tokens, intake, budget, hubs, streams, log },
  });
  declareMetrics(metrics, { intake, budget, grpc });
  declareHubMetrics(metrics, hubs);
  const api = both(http, grpc);
  return {
    parts: [
      logPart(backbone, afterwards(api.drained, backbone)),
      registry,
      part('hubs', afterwards(api.drained, hubs)),
      part('api', api),
    ],
  };
}

/** The same, drained only when what it serves has drained: what was accepted still needs it. */
function afterwards(drained: Promise<void>, of: Lifecycle): Lifecycle {
  return {
    start: () => of.start(),
    drain: async (deadline) => {
      await drained;
      await of.drain(deadline);
    },
    close: () => of.close(),
  };
}

function both(http: Lifecycle, grpc: GrpcApi): Lifecycle & { readonly drained: Promise<void> } {
  const { promise: drained, resolve } = Promise.withResolvers<void>();
  return {
    drained,
    start: async () => {
      await http.start();
      await grpc.start();
    },
    drain: async (deadline) => {
      await Promise.allSettled([http.drain(deadline), grpc.drain(deadline)]);
      resolve();
    },
    close: async () => {
      await Promise.allSettled([http.close(), grpc.close()]);
    },
  };
}

function declareMetrics(metrics: Metrics, o: { intake: Intake; budget: Budget; grpc: GrpcApi }): void {
  metrics.total('pushfleet_publish_publications', { description: 'Publications answered, by outcome.' }, () =>
    Array.from(o.intake.outcomes, ([outcome, count]) => [count, { outcome }] as const),
  );
  metrics.gauge(
    'pushfleet_publish_pending_bytes',
    { description: 'Bytes of publications that are not answered yet.' },
    () => o.budget.held,
  );
  metrics.gauge(
    'pushfleet_publish_subscriptions',
    { description: 'Subscribe streams open.' },
    () => o.grpc.subscriptions,
  );
}
