import type { Stores } from '@pushfleet/bus';
import type { Backbone, Namespace } from '@pushfleet/core';
import { createDeliveryControl } from '@pushfleet/delivery';
import { createCheck } from '@pushfleet/outbound';
import {
  type Config,
  createFleet,
  createPolicies,
  createTokenCheck,
  declareFleetMetrics,
  type Fleet,
  HttpServer,
  internalServer,
  logPart,
  type Metrics,
  type Part,
  type Policies,
  RateLimit,
  type ServiceContext,
} from '@pushfleet/runtime';
import type { fields } from './config.ts';
import { GrpcApi } from './grpc/server.ts';
import { createApp } from './http/app.ts';
import { declareIndex } from './index/metrics.ts';
import { RedisIndex } from './index/redis-index.ts';
import { presenceLimits } from './presence/limits.ts';
import { declarePresence } from './presence/metrics.ts';
import { PresenceRegister } from './presence/register.ts';
import { RedisStore } from './redis.ts';
import { RevocationIndex } from './revocation-index.ts';
import { RevocationRegister } from './revocations.ts';
import { declareSessions } from './sessions/metrics.ts';
import { SessionRegister } from './sessions/register.ts';
import { indexChangeOf } from './subscriptions/record.ts';
import { Sealing } from './subscriptions/sealing.ts';
import { Subscriptions } from './subscriptions/store.ts';
import { Tickets } from './tickets.ts';

export interface Registry {
  readonly parts: readonly Part[];
  readonly http: HttpServer;
  readonly grpc: GrpcApi;
  readonly presence: PresenceRegister;
  readonly sessions: SessionRegister;
}

/** How long a request waits for a receiver that is called because of it, in milliseconds. */
const receiverWaitMs = 10_000;

/** The registry on a log, with its parts in the order in which they start. */
export function wireRegistry(
  config: Config<typeof fields>,
  { log, metrics }: Pick<ServiceContext, 'log' | 'metrics'>,
  backbone: Backbone & Stores,
): Registry {
  const redis = new RedisStore(config, log);
  const revocations = new RevocationRegister({
    ledger: backbone.ledger('revocations'),
    index: new RevocationIndex(redis),
    log,
    most: config.revocations,
  });
  redis.onReturn(() => void revocations.indexReturned());
  const tickets = new Tickets(redis, {
    lifetimeMs: config.ticketMs,
    outstanding: config.ticketsOutstanding,
    rate: new RateLimit({ perSecond: config.ticketRate, burst: config.ticketBurst }),
  });
  const policies = createPolicies({ file: config.policiesFile, log, metrics });
  const { index, subscriptions } = wireSubscriptions(config, { log, backbone, redis, policies });
  const presence = wirePresence(config, { log, backbone, redis, policies });
  const fleet = createFleet(backbone.signals, { service: 'registry' });
  const sessions = wireSessions(config, { log, backbone, redis, policies, fleet, revocations });
  const app = createApp({
    ...config,
    presence,
    policies,
    tokens: createTokenCheck(config, { revocations }),
    tickets,
    revocations,
    subscriptions,
    control: createDeliveryControl('webhook', backbone, backbone.signals),
    backbone,
    checkUrl: createCheck(config),
    unconfirmed: config.webhookUnconfirmed,
    rate: new RateLimit({ perSecond: config.subscriptionRate, burst: config.subscriptionBurst }),
    waitMs: receiverWaitMs,
    log,
  });
  const http = new HttpServer({
    address: config.listen,
    handler: app,
    log,
    headerBytes: 32_768,
    requestMs: config.requestMs,
  });
  const internal = internalServer(config);
  const grpc = new GrpcApi({
    address: config.grpcListen,
    internal,
    tickets,
    revocations,
    subscriptions,
    presence,
    sessions,
    presenceExpiryMs: config.presenceExpiryMs,
    log,
  });
  declarePresence(metrics, presence);
  declareMetrics(metrics, { revocations, tickets, grpc });
  declareSubscriptions(metrics, { subscriptions, index, grpc });
  declareFleetMetrics(metrics, fleet);
  declareSessions(metrics, sessions);
  const stores = [policies, redis, logPart(backbone), fleet];
  const parts = [...stores, revocations, index, subscriptions, presence, sessions, grpc, http];
  return { parts, http, grpc, presence, sessions };
}

function wireSubscriptions(
  { secretsKeys = [], subscriptions: most }: Config<typeof fields>,
  of: {
    readonly log: ServiceContext['log'];
    readonly backbone: Backbone & Stores;
    readonly redis: RedisStore;
    readonly policies: Policies;
  },
): { readonly index: RedisIndex; readonly subscriptions: Subscriptions } {
  const { log, backbone, redis, policies } = of;
  const ledger = backbone.ledger('subscriptions');
  const index = new RedisIndex({ store: redis, ledger, changeOf: indexChangeOf, log });
  const subscriptions = new Subscriptions({
    ...{ ledger, index, backbone, log },
    sealing: new Sealing(secretsKeys),
    limit: (namespace) => mostOf(namespace, policies, most),
  });
  return { index, subscriptions };
}

function wirePresence(
  config: Config<typeof fields>,
  of: {
    readonly log: ServiceContext['log'];
    readonly backbone: Backbone;
    readonly redis: RedisStore;
    readonly policies: Policies;
  },
): PresenceRegister {
  const { redis: store, ...others } = of;
  const { presenceMembers: topic, presenceNamespaceMembers: namespace, presenceWatches: watches } = config;
  return new PresenceRegister({
    ...{ store, ...others },
    limits: { topic, namespace, watches, waiting: presenceLimits.waiting, lists: presenceLimits.lists },
    expiryMs: config.presenceExpiryMs,
  });
}

/** How often the sweeper looks, in milliseconds, and how long the fleet's gossip takes to miss an instance. */
const sweepMs = 1_000;
const missedMs = 5_000;

function wireSessions(
  config: Config<typeof fields>,
  of: {
    readonly log: ServiceContext['log'];
    readonly backbone: Backbone & Stores;
    readonly redis: RedisStore;
    readonly policies: Policies;
    readonly fleet: Fleet;
    readonly revocations: RevocationRegister;
  },
): SessionRegister {
  const { redis: store, ...others } = of;
  const { sessionFilters: filters, sessionRecordBytes: recordBytes, sessionStateBytes: stateBytes } = config;
  return new SessionRegister({
    ...{ store, ...others },
    ledger: of.backbone.ledger('sessions'),
    terms: { filters, recordBytes, stateBytes },
    limit: (namespace) => Math.min(of.policies.quota(namespace).sessions ?? config.sessions, config.sessions),
    deadTurns: Math.ceil((config.sessionDeadMs - missedMs) / sweepMs),
    everyMs: sweepMs,
  });
}

function declareMetrics(
  metrics: Metrics,
  of: { readonly revocations: RevocationRegister; readonly tickets: Tickets; readonly grpc: GrpcApi },
): void {
  metrics.gauge('pushfleet_revocations', { description: 'Revocations in force.' }, () => of.revocations.size);
  metrics.gauge(
    'pushfleet_revocation_watchers',
    { description: 'Services that follow the revocations here.' },
    () => of.grpc.watchers,
  );
  metrics.total('pushfleet_tickets', { description: 'Tickets by what became of them.' }, () =>
    Object.entries(of.tickets.counts).map(([outcome, count]) => [count, { outcome }] as const),
  );
}

function declareSubscriptions(
  metrics: Metrics,
  of: { readonly subscriptions: Subscriptions; readonly index: RedisIndex; readonly grpc: GrpcApi },
): void {
  const { tally, resealer } = of.subscriptions;
  declareIndex(metrics, of.index);
  metrics.total(
    'pushfleet_subscription_changes',
    { description: 'Subscriptions created, updated and deleted here, by kind.' },
    () => tally.changes(),
  );
  metrics.total(
    'pushfleet_subscription_states',
    { description: 'Subscriptions that came into a state here, by kind.' },
    () => tally.states(),
  );
  metrics.gauge(
    'pushfleet_subscription_watchers',
    { description: 'Services that follow the subscriptions here.' },
    () => of.grpc.subscriptionWatchers,
  );
  metrics.gauge(
    'pushfleet_subscription_secrets_outdated',
    { description: 'Subscriptions with secrets under an older or a missing key; absent until counted.' },
    () => (resealer.outdated === undefined ? [] : [[resealer.outdated, {}] as const]),
  );
}

/** The smaller of what the operator allows every namespace and what this one's quota is. */
const mostOf = (namespace: Namespace, policies: Pick<Policies, 'quota'>, most: number): number =>
  Math.min(policies.quota(namespace).subscriptions ?? most, most);
