import { Connections, Runs, Stream, type StreamShared, type Visit } from '@pushfleet/edge';
import type { Hubs } from '@pushfleet/hub';
import {
  connectionId,
  type Deliveries,
  declareHubMetrics,
  type Grant,
  type Log,
  type Metrics,
  type Quotas,
  type Requests,
  type RevocationList,
  TimerWheel,
} from '@pushfleet/runtime';
import type { EdgeConfig } from './config.ts';
import { dialects } from './dialect.ts';
import { refuse, streamHeaders } from './refusal.ts';
import type { Ask } from './request.ts';

export interface StreamsOptions {
  readonly config: EdgeConfig;
  readonly hubs: Hubs;
  readonly quotas: Pick<Quotas, 'open'>;
  /** The hubs' observer. */
  readonly deliveries: Deliveries;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** All event streams of this process. */
export class Streams {
  readonly #o: StreamsOptions;
  readonly #requests: Requests;
  readonly #wheel = new TimerWheel();
  readonly #shared: StreamShared;
  readonly #open: Connections<Stream>;

  constructor(options: StreamsOptions, requests: Requests) {
    const { config, quotas, deliveries, log, metrics } = options;
    const ended = metrics.counter('pushfleet_edge_streams_ended', {
      description:
        'Streams that this edge ended, by close code; those that their clients left are not counted.',
    });
    this.#o = options;
    this.#requests = requests;
    this.#open = new Connections({ limits: config, quotas, wheel: this.#wheel, log, noun: 'streams' });
    this.#shared = {
      deliveries,
      runs: new Runs(),
      wheel: this.#wheel,
      outbox: { count: config.outboxCount, bytes: config.outboxBytes },
      now: Date.now,
      written: { deliveries: 0, bytes: 0 },
      onEnd: (code) => ended.add(1, { code }),
      onError: (error) => log.error({ err: error }, 'a stream failed'),
    };
    this.#declareMetrics(metrics);
    declareHubMetrics(metrics, options.hubs);
  }

  #declareMetrics(metrics: Metrics): void {
    const { written } = this.#shared;
    metrics.gauge('pushfleet_edge_streams', { description: 'Streams open.' }, () => this.size);
    metrics.total(
      'pushfleet_edge_deliveries',
      { description: 'Publications written to streams; a publication counts once for each.' },
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
   * Answers the visit with a stream.
   *
   * @throws PushfleetError `too_many_connections` where the subject has its share, `quota_connections` or
   *   `quota_subscriptions` where its namespace has, or as the hub does; nothing is written then
   */
  open(visit: Visit, ask: Ask, grant: Grant): void {
    const release = this.#open.room(grant, ask.filters.length);
    try {
      const stream = this.#stream(visit, ask, grant);
      this.#keep(stream, visit, release);
      this.#begin(stream, visit, ask);
    } catch (error) {
      release();
      throw error;
    }
  }

  #stream(visit: Visit, ask: Ask, grant: Grant): Stream {
    const connection = connectionId(grant);
    visit.answerHeaders['pushfleet-connection'] = connection;
    return new Stream(this.#shared, {
      wire: visit.socket,
      head: visit.streamHead(streamHeaders),
      dialect: dialects[ask.format][visit.framing],
      hub: this.#o.hubs.of(grant.namespace),
      deadline: this.#open.deadline(grant),
      ...{ grant, connection },
    });
  }

  #begin(stream: Stream, visit: Visit, ask: Ask): void {
    stream.begin(ask).then(
      () => this.#requests.ended(visit.since),
      (error) => {
        this.#requests.ended(visit.since, error);
        refuse(visit, error);
      },
    );
  }

  #keep(stream: Stream, { socket }: Visit, release: () => void): void {
    const forget = this.#open.keep(stream);
    socket.on('drain', () => stream.drained());
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      stream.gone();
      release();
      forget();
    });
  }

  /** Ends the streams of revoked tokens. */
  endRevoked(revocations: Pick<RevocationList, 'revoked'>): void {
    this.#open.endRevoked(revocations);
  }

  /** Ends every stream at a moment of its own within `windowMs`; resolves when all have gone. */
  drain(windowMs: number, deadline: AbortSignal): Promise<void> {
    return this.#open.drain(windowMs, deadline);
  }

  /** Cuts what is left. */
  close(): void {
    this.#open.close();
    this.#wheel.close();
  }
}
