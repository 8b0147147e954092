import type { Hubs } from '@pushfleet/hub';
import {
  connectionId,
  type Deliveries,
  type Grant,
  type Log,
  type Metrics,
  type Requests,
  type TimerWheel,
} from '@pushfleet/runtime';
import type { Connection, Connections } from './connections.ts';
import type { Written } from './outflow.ts';
import { Runs } from './runs.ts';
import { type Dialect, Stream, type StreamAsk, type StreamShared } from './stream.ts';
import type { Visit } from './visit.ts';

export interface StreamsOptions {
  readonly config: { readonly outboxCount: number; readonly outboxBytes: number };
  readonly hubs: Pick<Hubs, 'of'>;
  readonly connections: Connections<Connection>;
  readonly wheel: TimerWheel;
  /** The hubs' observer. */
  readonly deliveries: Deliveries;
  readonly written: Written;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** How a visit is answered with a stream. */
export interface Serving {
  readonly headers: Readonly<Record<string, string>>;
  readonly dialect: Dialect;
  /** Ends by `connection_age` after about so many bytes. */
  readonly bytes?: number;
  readonly requests: Requests;
  /** Answers where nothing was written yet. */
  refuse(error: unknown): void;
}

/** Counts what an edge writes to its clients. */
export function declareWritten(metrics: Pick<Metrics, 'total'>): Written {
  const written = { deliveries: 0, bytes: 0 };
  metrics.total(
    'pushfleet_edge_deliveries',
    { description: 'Publications written to clients; a publication counts once for each.' },
    () => written.deliveries,
  );
  metrics.total(
    'pushfleet_edge_written_bytes',
    { description: 'Bytes of deliveries written.' },
    () => written.bytes,
  );
  return written;
}

/** One-way streams of this process, each on a socket that was detached from node:http. */
export class Streams {
  readonly #o: StreamsOptions;
  readonly #shared: StreamShared;
  #size = 0;

  constructor(options: StreamsOptions) {
    const { config, deliveries, wheel, written, log, metrics } = options;
    const ended = metrics.counter('pushfleet_edge_streams_ended', {
      description:
        'Streams that this edge ended, by close code; those that their clients left are not counted.',
    });
    this.#o = options;
    this.#shared = {
      ...{ deliveries, wheel, written },
      runs: new Runs(),
      outbox: { count: config.outboxCount, bytes: config.outboxBytes },
      now: Date.now,
      onEnd: (code) => ended.add(1, { code }),
      onError: (error) => log.error({ err: error }, 'a stream failed'),
    };
    metrics.gauge('pushfleet_edge_streams', { description: 'Streams open.' }, () => this.#size);
  }

  /**
   * Answers the visit with a stream.
   *
   * @throws PushfleetError `too_many_connections` where the subject has its share, `quota_connections` or
   *   `quota_subscriptions` where its namespace has, or as the hub does; nothing is written then
   */
  open(visit: Visit, grant: Grant, ask: StreamAsk, serving: Serving): void {
    if (visit.gone) {
      visit.socket.destroy();
      return;
    }
    const release = this.#o.connections.room(grant, ask.filters.length);
    try {
      const stream = this.#stream(visit, grant, serving);
      this.#keep(stream, visit, release);
      begin(stream, visit, ask, serving);
    } catch (error) {
      release();
      throw error;
    }
  }

  #stream(visit: Visit, grant: Grant, { headers, dialect, bytes }: Serving): Stream {
    const connection = connectionId(grant);
    visit.answerHeaders['pushfleet-connection'] = connection;
    return new Stream(this.#shared, {
      ...{ grant, connection, dialect },
      wire: visit.socket,
      head: visit.streamHead(headers),
      hub: this.#o.hubs.of(grant.namespace),
      deadline: this.#o.connections.deadline(grant),
      ...(bytes !== undefined && { bytes }),
    });
  }

  #keep(stream: Stream, { socket }: Visit, release: () => void): void {
    const forget = this.#o.connections.keep(stream);
    this.#size++;
    socket.on('drain', () => stream.drained());
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      this.#size--;
      stream.gone();
      release();
      forget();
    });
  }
}

function begin(stream: Stream, visit: Visit, ask: StreamAsk, { requests, refuse }: Serving): void {
  stream.begin(ask).then(
    () => requests.ended(visit.since),
    (error) => {
      requests.ended(visit.since, error);
      refuse(error);
    },
  );
}
