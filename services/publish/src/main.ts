import { connectJetStream, type JetStreamBackbone, type Stores } from '@pushfleet/bus';
import type { Backbone, Lifecycle } from '@pushfleet/core';
import { callRegistry, createDeliveryControl } from '@pushfleet/delivery';
import { createHubs } from '@pushfleet/hub';
import { Budget, createIntake, type Intake, type Meters } from '@pushfleet/intake';
import { createCheck } from '@pushfleet/outbound';
import {
  afterwards,
  answerForHubs,
  type Config,
  ConfigError,
  createFleet,
  createPolicies,
  createRegistryClient,
  createTokenCheck,
  createTraces,
  Deliveries,
  declareCertificateEnds,
  declareFleetMetrics,
  declareHealing,
  declareHubMetrics,
  internalClient,
  logPart,
  type Metrics,
  type Part,
  part,
  Quotas,
  RateLimit,
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
import { Subscribing } from './subscribe/subscribing.ts';
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
  const subscriptions = wireSubscribing(config, context, backbone);
  const http = createHttpApi({
    address: config.listen,
    subscribing: subscriptions?.subscribing,
    discovery: new Discovery({
      routes: readRoutes(),
      publicUrl: config.publicUrl,
      grpcUrl: config.grpcPublicUrl,
      publicIn: (topic) => policies.publicIn(topic),
    }),
    payloadBytes: config.payloadBytes,
    batchBytes: config.batchBytes,
    bodyTimeoutMs: config.bodyTimeoutMs,
    requestMs: config.requestMs,
    corsOrigins: config.corsOrigins,
    ...{ backbone, archive, tokens, tracking, budget, outgoing, log },
  });
  const grpc = new GrpcApi({
    address: config.grpcListen,
    credentials: grpcCredentials(config),
    messageBytes: Math.max(config.batchBytes, config.payloadBytes + 65_536),
    messageMs: config.requestMs + config.bodyTimeoutMs,
    streamDrafts: config.streamDrafts,
    subscribe: {
      wheel,
      count: config.outboxCount,
      bytes: config.outboxBytes,
      keepAliveMs: config.keepAliveMs,
      deliveries,
    },
    subscriptions: config.subscriptions,
    connections: config.grpcConnections,
    connectionAgeMs: config.grpcConnectionAgeMs,
    drainWindowMs: config.drainMs / 2,
    serving: () => backbone.ready,
    ...{ archive, tokens, tracking, budget, outgoing, quotas, hubs, streams, log },
  });
  declareLogMetrics(metrics, backbone);
  declareMetrics(metrics, { intake, budget, grpc, archive, meters });
  declareHubMetrics(metrics, hubs);
  declareFleetMetrics(metrics, fleet);
  declareCertificateEnds(metrics, () => ({ cert: config.grpcTlsCert, clientCa: config.grpcTlsClientCa }));
  const api = both(http, grpc);
  return {
    parts: [
      traces,
      logPart(backbone, afterwards(api.drained, backbone)),
      registry,
      ...(subscriptions === undefined ? [] : [subscriptions.part]),
      policies,
      fleet,
      { ...part('meters', afterwards(api.drained, meters)), ready: () => meters.ready() },
      part('hubs', afterwards(api.drained, hubs)),
      part('api', api),
    ],
  };
}

/** What SUBSCRIBE and UNSUBSCRIBE are answered by; nothing without a registry. */
function wireSubscribing(
  config: Config<typeof fields>,
  { log }: Pick<ServiceContext, 'log'>,
  backbone: Backbone & Stores,
): { readonly subscribing: Subscribing; readonly part: Part } | undefined {
  const { registryUrl: url, leaseMs: usualMs, leaseLeastMs: leastMs, leaseMostMs: mostMs } = config;
  if (leastMs > usualMs || usualMs > mostMs) throw new ConfigError([leaseOutside]);
  if (url === undefined) return undefined;
  const registry = callRegistry(internalClient(config, { url, service: 'publish' }), log);
  const subscribing = new Subscribing({
    registry,
    control: createDeliveryControl('webhook', backbone, backbone.signals),
    checkUrl: createCheck(config),
    lease: { usualMs, leastMs, mostMs },
    rate: new RateLimit({ perSecond: config.subscriptionRate, burst: config.subscriptionBurst }),
  });
  const close = async (): Promise<void> => registry.close();
  return { subscribing, part: { name: 'subscribing', start: async () => {}, drain: async () => {}, close } };
}

const leaseOutside =
  'PUSHFLEET_NOTIFY_LEASE lies outside of PUSHFLEET_NOTIFY_LEASE_MIN and PUSHFLEET_NOTIFY_LEASE_MAX.';

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

/** How the log stands, as this instance hears it; a shard without a leader has no series. */
function declareLogMetrics(metrics: Metrics, log: Pick<JetStreamBackbone, 'shards'>): void {
  type Shard = NonNullable<JetStreamBackbone['shards'][number]>;
  const gauge = (name: string, description: string, read: (shard: Shard) => number): void =>
    metrics.gauge(`pushfleet_log_${name}`, { description }, () =>
      log.shards.flatMap((shard, index) =>
        shard === undefined ? [] : [[read(shard), { shard: String(index) }] as const],
      ),
    );
  gauge('bytes', 'Bytes in a shard of the log.', ({ bytes }) => bytes);
  gauge('limit_bytes', 'Bytes at which a shard refuses publications.', ({ maxBytes }) => maxBytes);
  gauge('replicas', 'Replicas that a shard of the log has to have.', ({ replicas }) => replicas);
  gauge(
    'replicas_current',
    'Replicas of a shard that have all of it.',
    ({ replicasCurrent }) => replicasCurrent,
  );
}
