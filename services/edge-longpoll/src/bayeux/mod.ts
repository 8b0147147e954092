import type { Stores } from '@pushfleet/bus';
import { encodeMember } from '@pushfleet/core';
import type { Presence } from '@pushfleet/edge';
import { type Intake, Publishing } from '@pushfleet/intake';
import { type Fleet, noTraces, type Quotas, type TokenCheck, type Traces } from '@pushfleet/runtime';
import type { Ground, Handler } from '../handler.ts';
import { Exchange } from './exchange.ts';
import { Http } from './http.ts';
import { createMembers } from './presence.ts';
import type { SessionLimits } from './session.ts';
import { Sessions } from './sessions.ts';
import { Sockets } from './websocket.ts';

export interface BayeuxOptions extends Ground {
  readonly backbone: Pick<Stores, 'ledger'>;
  readonly fleet: Fleet;
  readonly tokens: TokenCheck;
  readonly intake: Pick<Intake, 'publish'>;
  readonly presence: Pick<Presence, 'enter' | 'update' | 'leave' | 'list' | 'leaveAll'>;
  readonly quotas: Quotas;
  /** Absent, nothing is traced. */
  readonly traces?: Pick<Traces, 'request'>;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

/** A Bayeux 1.0 server: sessions kept in the log's ledger, long-polling, callback-polling and websocket. */
export function createBayeux(options: BayeuxOptions): Handler {
  const { config, backbone, registry, metrics, wheel, deliveries, written, now = Date.now } = options;
  const limits: SessionLimits = {
    timeoutMs: config.bayeuxTimeoutMs,
    idleMs: config.bayeuxIdleMs,
    subscriptions: config.bayeuxSubscriptions,
    batchCount: config.batchCount,
    batchBytes: config.batchBytes,
    outbox: { count: config.outboxCount, bytes: config.outboxBytes },
    hosts: config.bayeuxHosts,
  };
  const presence = createMembers({
    ...{ presence: options.presence, encode: encodeMember, log: options.log },
    store: (session) => sessions.store(session),
  });
  const sessions: Sessions = new Sessions({
    ...options,
    presence,
    shared: { limits, wheel, now, deliveries, written },
    ledger: backbone.ledger('sessions'),
    revocations: registry.revocations,
  });
  const publishing = new Publishing({
    ...{ api: 'bayeux', intake: options.intake, traces: options.traces ?? noTraces, metrics },
    pendingBytes: config.pendingBytes,
  });
  const exchange = new Exchange({
    ...options,
    presence,
    sessions,
    limits,
    publishing,
    now,
    onRefused: options.refused,
  });
  const messages = config.bayeuxMessages;
  const http = new Http({ ground: options, exchange, messages });
  const silenceMs = limits.timeoutMs + limits.idleMs;
  const sockets = new Sockets({
    ...{ ground: options, exchange, messages, silenceMs, now },
    revocations: registry.revocations,
    beginMs: config.bayeuxBeginMs,
    strangers: config.bayeuxStrangers,
  });
  const description = 'Bayeux sessions of this instance.';
  metrics.gauge('pushfleet_bayeux_sessions', { description }, () => sessions.size);
  metrics.gauge(
    'pushfleet_bayeux_waiting',
    { description: 'Bayeux connects that wait for their answers.' },
    () => sessions.waiting,
  );
  metrics.total(
    'pushfleet_bayeux_session_writes',
    { description: 'Records of Bayeux sessions written to the ledger.' },
    () => sessions.writes,
  );
  return {
    onRequest: (request, response) => http.onRequest(request, response),
    onUpgrade: (request, socket, head) => sockets.onUpgrade(request, socket, head),
    async drain() {
      await sessions.drain();
      sockets.drain();
    },
    close: () => sockets.close(),
  };
}
