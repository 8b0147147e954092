import { type Connections, type Presence, Runs, type Shell } from '@pushfleet/edge';
import type { Agreement } from '@pushfleet/edge/websocket';
import type { Hubs } from '@pushfleet/hub';
import { type Intake, Publishing } from '@pushfleet/intake';
import {
  connectionId,
  type Deliveries,
  type Grant,
  type Log,
  type Metrics,
  type Quotas,
  type TokenCheck,
  type Traces,
} from '@pushfleet/runtime';
import type { EdgeConfig } from './config.ts';
import { Encodings } from './encoding.ts';
import type { Link } from './link.ts';
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

  constructor(
    options: SessionsOptions,
    { wheel, connections, written }: Pick<Shell<Session>, 'wheel' | 'connections' | 'written'>,
  ) {
    const { config, quotas, tokens, intake, presence, deliveries, traces, log, metrics } = options;
    const ended = metrics.counter('pushfleet_edge_connections_ended', {
      description:
        'Connections that this edge ended, by close code; those that their clients left are not counted.',
    });
    this.#o = options;
    this.#encodings = new Encodings(config.deflateBytes);
    this.#open = connections;
    this.#shared = {
      ...{ quotas, tokens, presence, deliveries, wheel, written },
      publishing: new Publishing({
        ...{ api: 'websocket', intake, traces, metrics },
        pendingBytes: config.pendingBytes,
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
      onEnd: (code) => ended.add(1, { code }),
      onError: (error) => log.error({ err: error }, 'a connection failed'),
    };
    metrics.gauge(
      'pushfleet_edge_connections',
      { description: 'Connections whose client is known.' },
      () => this.#open.size,
    );
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
}
