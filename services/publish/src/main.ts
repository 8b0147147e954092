import { connectJetStream } from '@pushfleet/bus';
import type { Lifecycle } from '@pushfleet/core';
import { createHubs } from '@pushfleet/hub';
import { Budget, createIntake, type Intake, type Meters } from '@pushfleet/intake';
import {
  afterwards,
  answerForHubs,
  type Config,
  createFleet,
  createPolicies,
  createRegistryClient,
  createTokenCheck,
  createTraces,
  Deliveries,
  declareFleetMetrics,
  declareHealing,
  declareHubMetrics,
  logPart,
  type Metrics,
  type Part,
  part,
  Quotas,
  readRoutes,
  runService,
  type ServiceContext,
  TimerWheel,
} from '@pushfleet/runtime';
import { type Archive, createArchive } from './archive/archive.ts';
import { fields } from './config.ts';
import { Discovery } from './discovery.ts';
import { GrpcApi } from './grpc/api.ts';
import { grpcCredentials } from './grpc/credentials.ts';
import { Streams } from './grpc/streams.ts';
import { createHttpApi } from './http/api.ts';
import { Tracking } from './tracking.ts';

await runService({ name: 'publish', fields, wire });

function wire(config: Config<typeof fields>, context: ServiceContext): { readonly parts: readonly Part[] } {
  const { log, metrics } = context;
  const policies = createPolicies({ file: config.policiesFile, log, metrics });
  const backbone = connectJetStream({
    servers: config.natsUrl,
    ...(config.natsCreds === undefined ? {} : { creds: config.natsCreds }),
    name: 'publish',
    log,
    retentionMs: (namespace, filter) => policies.retentionMs(namespace, filter),
    onHealed: declareHealing(metrics),
  });
  const registry = createRegistryClient(config, { name: 'publish', log });
  const tokens = createTokenCheck(config, { revocations: registry.revocations });
  const quotas = new Quotas({ policies, elsewhere: (namespace) => fleet.elsewhere(namespace) });
  const usage = () => quotas.usage();
  const fleet = createFleet(backbone.signals, { service: 'publish', protocol: 'grpc', usage });
  const traces = createTraces(config, { service: 'publish', instance: fleet.instance, log, metrics });
  const deliveries = new Deliveries({ protocol: 'grpc', metrics, traces });
  const hubs = createHubs(backbone, { observer: deliveries });
  answerForHubs(fleet, hubs);
  const archive = createArchive({
    ...{ backbone, fleet, policies },
    reads: config.historyReads,
    readsPerSubject: config.historyReadsPerSubject,
    readMs: config.historyReadMs,
    pageBytes: config.historyPageBytes,
    explainPublications: config.explainPublications,
  });
  const wheel = new TimerWheel();
  const { intake, meters } = createIntake({
    ...{ config, backbone, policies, quotas, log },
    terms: () => backbone.terms,
    instance: fleet.instance,
  });
  const tracking = new Tracking({ intake, metrics, traces });
  const budget = new Budget(config.pendingBytes);
  const outgoing = new Budget(config.pendingBytes);
  const streams = new Streams({ wheel, revocations: registry.revocations });
  const http = createHttpApi({
    address: config.listen,
    discovery: new Discovery({
      routes: readRoutes(),
      publicUrl: config.publicUrl,
      grpcUrl: config.grpcPublicUrl,
      publicIn: (topic) => policies.publicIn(topic),
    }),
    payloadBytes: config.payloadBytes,
    batchBytes: config.batchBytes,
    bodyTimeoutMs: config.bodyTimeoutMs,
    corsOrigins: config.corsOrigins,
    ...{ backbone, archive, tokens, tracking, budget, outgoing, log },
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
      deliveries,
    },
    subscriptions: config.subscriptions,
    connectionAgeMs: config.grpcConnectionAgeMs,
    drainWindowMs: config.drainMs / 2,
    serving: () => backbone.ready,
    ...{ archive, tokens, tracking, budget, outgoing, quotas, hubs, streams, log },
  });
  declareMetrics(metrics, { intake, budget, grpc, archive, meters });
  declareHubMetrics(metrics, hubs);
  declareFleetMetrics(metrics, fleet);
  const api = both(http, grpc);
  return {
    parts: [
      traces,
      logPart(backbone, afterwards(api.drained, backbone)),
      registry,
      policies,
      fleet,
      { ...part('meters', afterwards(api.drained, meters)), ready: () => meters.ready() },
      part('hubs', afterwards(api.drained, hubs)),
      part('api', api),
    ],
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

function declareMetrics(
  metrics: Metrics,
  o: { intake: Intake; budget: Budget; grpc: GrpcApi; archive: Archive; meters: Meters },
): void {
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
  metrics.gauge(
    'pushfleet_namespace_stored_bytes',
    {
      description:
        'Bytes that a namespace with a quota of them holds in the log; every instance says the same.',
    },
    () => o.meters.readings(),
  );
  metrics.gauge(
    'pushfleet_publish_history_reads',
    { description: 'Reads of the log for history and explanations under way.' },
    () => o.archive.reads.running,
  );
  metrics.total(
    'pushfleet_publish_deletions',
    { description: 'Publications deleted from the log.' },
    () => o.archive.deleter.publications,
  );
}
