import type { Ledger } from '@pushfleet/bus';
import type { Backbone } from '@pushfleet/core';
import {
  type Config,
  createTokenCheck,
  HttpServer,
  internalServer,
  logPart,
  type Metrics,
  type Part,
  RateLimit,
  type ServiceContext,
} from '@pushfleet/runtime';
import type { fields } from './config.ts';
import { GrpcApi } from './grpc.ts';
import { createApp } from './http/app.ts';
import { RedisStore } from './redis.ts';
import { RevocationIndex } from './revocation-index.ts';
import { RevocationRegister } from './revocations.ts';
import { Tickets } from './tickets.ts';

export interface Registry {
  readonly parts: readonly Part[];
  readonly http: HttpServer;
  readonly grpc: GrpcApi;
}

/** The registry on a log, with its parts in the order in which they start. */
export function wireRegistry(
  config: Config<typeof fields>,
  { log, metrics }: Pick<ServiceContext, 'log' | 'metrics'>,
  backbone: Backbone & { ledger(name: 'revocations'): Ledger },
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
  const app = createApp({
    ...config,
    tokens: createTokenCheck(config, { revocations }),
    tickets,
    revocations,
    log,
  });
  const http = new HttpServer({
    address: config.listen,
    handler: app,
    log,
    headerBytes: 32_768,
    requestTimeoutMs: 15_000,
  });
  const internal = internalServer(config);
  const grpc = new GrpcApi({ address: config.grpcListen, internal, tickets, revocations, log });
  declareMetrics(metrics, { revocations, tickets, grpc });
  const parts = [redis, logPart(backbone), revocations, grpc, http];
  return { parts, http, grpc };
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
