import { Connections, type Presence, Runs } from '@pushfleet/edge';
import type { Hubs } from '@pushfleet/hub';
import { Budget, type Intake } from '@pushfleet/intake';
import {
  connectionId,
  type Deliveries,
  declareHubMetrics,
  declareRequests,
  type Grant,
  type Log,
  type Metrics,
  type Quotas,
  type RevocationList,
  type TimerWheel,
  type TokenCheck,
  type Traces,
} from '@pushfleet/runtime';
import type { EdgeConfig } from './config.ts';
import { Encodings } from './encoding.ts';
import type { Agreement } from './handshake.ts';
import type { Link } from './link.ts';
import { Publishing } from './publishing.ts';
import { Session, type SessionShared } from './session.ts';

export interface SessionsOptions {
  readonly config: EdgeConfig;
  readonly hubs: Hubs;
  readonly quotas: Pick<Quotas, 'open' | 'subscribe' | 'unsubscribe'>;
  readonly tokens: TokenCheck;
  readonly intake: Pick<Intake, 'publish'>;
  readonly presence: Pick<Presence, 'enter' | 'update' | 'leave' | 'list' | 'leaveAll'>;
  /** The hubs' observer. */
  readonly deliveries: Deliveries;
  readonly traces: Pick<Traces, 'request'>;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** All identified connections of this process. */
export class Sessions {
  readonly #o: SessionsOptions;
  readonly #encodings: Encodings;
  readonly #shared: SessionShared;
  readonly #open: Connections<Session>;
  readonly #budget: Budget;

  constructor(options: SessionsOptions, wheel: TimerWheel) {
    const { config, quotas, tokens, intake, presence, deliveries, traces, log, metrics } = options;
    const ended = metrics.counter('pushfleet_edge_connections_ended', {
      description:
        'Connections that this edge ended, by close code; those that their clients left are not counted.',
    });
    this.#o = options;
    this.#encodings = new Encodings(config.deflateBytes);
    this.#budget = new Budget(config.pendingBytes);
    this.#open = new Connections({ limits: config, quotas, wheel, log, noun: 'connections' });
    this.#shared = {
      ...{ quotas, tokens, presence, deliveries, wheel },
      publishing: new Publishing({
        ...{ intake, traces, budget: this.#budget },
        requests: declareRequests(metrics, 'websocket-publish'),
      }),
      runs: new Runs(),
      outbox: { count: config.outboxCount, bytes: config.outboxBytes },
      limits: {
        message: config.messageBytes,
        filters: config.filters,
        requests: config.requests,
        publishRate: config.ratePerSecond,
      },
      now: Date.now,
      written: { deliveries: 0, bytes: 0 },
      onEnd: (code) => ended.add(1, { code }),
      onError: (error) => log.error({ err: error }, 'a connection failed'),
    };
    this.#declareMetrics(metrics);
    declareHubMetrics(metrics, options.hubs);
  }

  #declareMetrics(metrics: Metrics): void {
    const { written } = this.#shared;
    metrics.gauge(
      'pushfleet_edge_connections',
      { description: 'Connections whose client is known.' },
      () => this.size,
    );
    metrics.gauge(
      'pushfleet_edge_pending_bytes',
      { description: 'Bytes of publications of clients that are not answered yet.' },
      () => this.#budget.held,
    );
    metrics.total(
      'pushfleet_edge_deliveries',
      { description: 'Publications written to connections; a publication counts once for each.' },
      () => written.deliveries,
    );
    metrics.total(
      'pushfleet_edge_written_bytes',
      { description: 'Bytes of deliveries written.' },
      () => written.bytes,
    );
  }

  get size(): number {
    return this.#open.size;
  }

  /** @throws PushfleetError `too_many_connections` with `more` others about to open */
  requireRoom(more: number): void {
    this.#open.requireRoom(more);
  }

  /**
   * Makes a session of the link; it has yet to say welcome.
   *
   * @throws PushfleetError `too_many_connections` where the subject has its share, `quota_connections` where its
   *   namespace has, or as the hub does; nothing is written then
   */
  open(link: Link, { deflate }: Pick<Agreement, 'deflate'>, grant: Grant): Session {
    const release = this.#open.room(grant, 0);
    try {
      const session = new Session(this.#shared, {
        ...{ grant, wire: link },
        encode: this.#encodings.of(deflate),
        hub: this.#o.hubs.of(grant.namespace),
        connection: connectionId(grant),
        agedAt: this.#open.deadline({ expiresAt: Number.POSITIVE_INFINITY }).at,
        nameOf: connectionId,
      });
      const forget = this.#open.keep(session);
      link.onClosed = () => {
        release();
        forget();
      };
      return session;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Ends the connections of revoked tokens. */
  endRevoked(revocations: Pick<RevocationList, 'revoked'>): void {
    this.#open.endRevoked(revocations);
  }

  /** Ends every connection at a moment of its own within `windowMs`; resolves when all have gone. */
  drain(windowMs: number, deadline: AbortSignal): Promise<void> {
    return this.#open.drain(windowMs, deadline);
  }

  /** Cuts what is left. */
  close(): void {
    this.#open.close();
  }
}
