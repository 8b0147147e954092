import type { Item, Publication } from '@pushfleet/core';
import { type Histogram, waitBuckets } from './histogram.ts';
import type { Metrics } from './metrics.ts';
import type { TraceSpan, Traces } from './traces.ts';

export interface DeliveriesOptions {
  /** What the clients of this service speak. */
  readonly protocol: string;
  readonly metrics: Pick<Metrics, 'histogram' | 'total'>;
  readonly traces: Pick<Traces, 'resume'>;
}

/** A `deliver` span under way, and the writes that carried its publication. */
interface Open {
  readonly span: TraceSpan;
  writes: number;
}

/** Most `write` spans below one `deliver`; further writes are only counted. */
const mostWrites = 8;

/**
 * What an edge measures and traces of its deliveries. Hand it to the hubs as their observer and say at each write
 * what it carries; both cost next to nothing where no publication is traced.
 */
export class Deliveries {
  readonly #protocol: string;
  readonly #traces: Pick<Traces, 'resume'>;
  readonly #lag: Histogram;
  readonly #replaySeconds: Histogram;
  readonly #counts = { gaps: 0, replayed: 0, replayedBytes: 0 };
  /** When the log stored what was published since the feeds were last flushed, in Unix milliseconds. */
  #stored: number[] = [];
  /** The first write since then; 0 where there was none. */
  #written = 0;
  readonly #open = new Map<Publication, Open>();

  constructor({ protocol, metrics, traces }: DeliveriesOptions) {
    this.#protocol = protocol;
    this.#traces = traces;
    this.#lag = metrics.histogram(
      'pushfleet_fanout_lag_seconds',
      {
        description:
          'Time from the storage of a live publication, by the clock of the log, to its first write here, in seconds.',
        buckets: waitBuckets,
      },
      { protocol },
    );
    this.#replaySeconds = metrics.histogram('pushfleet_replay_seconds', {
      description: 'Time that one read of the log for resumes takes, in seconds.',
      buckets: waitBuckets,
    });
    this.#declareTotals(metrics);
  }

  /** For the hubs: a live publication was offered to this many feeds, which are flushed after this turn. */
  published(publication: Publication, feeds: number): void {
    // The hubs asked for their own turn before this: by then they have flushed.
    if (this.#stored.push(publication.time) === 1) setImmediate(this.#onFlushed);
    if (publication.trace !== undefined) this.#trace(publication, publication.trace, feeds);
  }

  /** For the hubs: a feed was given a gap. */
  gap(): void {
    this.#counts.gaps++;
  }

  /** For the hubs: the log was read for resumes. */
  replayed(read: { readonly count: number; readonly bytes: number; readonly ms: number }): void {
    this.#counts.replayed += read.count;
    this.#counts.replayedBytes += read.bytes;
    this.#replaySeconds.record(read.ms / 1_000);
  }

  /** To be called right before items are written to a client, and what it returns right after. */
  writing(items: readonly Item<{ readonly publication: Publication }>[]): (() => void) | undefined {
    if (this.#written === 0 && this.#stored.length > 0) this.#written = Date.now();
    return this.#open.size === 0 ? undefined : this.#traceWrite(items);
  }

  #trace(publication: Publication, trace: NonNullable<Publication['trace']>, feeds: number): void {
    const span = this.#traces.resume('deliver', trace, {
      kind: 'consumer',
      attributes: {
        'messaging.system': 'pushfleet',
        'messaging.operation.name': 'deliver',
        'messaging.operation.type': 'process',
        'messaging.destination.name': publication.topic,
        'messaging.message.id': publication.id,
        'pushfleet.protocol': this.#protocol,
        'pushfleet.feeds': feeds,
      },
    });
    if (span !== undefined) this.#open.set(publication, { span, writes: 0 });
  }

  #traceWrite(items: readonly Item<{ readonly publication: Publication }>[]): (() => void) | undefined {
    const spans: TraceSpan[] = [];
    for (const item of items) {
      const open = item.kind === 'publication' ? this.#open.get(item.value.publication) : undefined;
      if (open === undefined || ++open.writes > mostWrites) continue;
      spans.push(open.span.child('write', { attributes: { 'messaging.batch.message_count': items.length } }));
    }
    if (spans.length === 0) return undefined;
    return () => {
      for (const span of spans) span.end();
    };
  }

  readonly #onFlushed = (): void => {
    // Where every client is slow there was no write, and what they wait for is their own time.
    if (this.#written > 0) {
      for (const stored of this.#stored) this.#lag.record(Math.max(0, this.#written - stored) / 1_000);
    }
    this.#stored.length = 0;
    this.#written = 0;
    for (const { span, writes } of this.#open.values()) {
      span.set({ 'pushfleet.writes': writes });
      span.end();
    }
    this.#open.clear();
  };

  #declareTotals(metrics: Pick<Metrics, 'total'>): void {
    const counts = this.#counts;
    metrics.total('pushfleet_gaps', { description: 'Gaps told to clients.' }, () => counts.gaps);
    metrics.total(
      'pushfleet_replayed_publications',
      { description: 'Publications read from the log for resumes; one read serves many.' },
      () => counts.replayed,
    );
    metrics.total(
      'pushfleet_replayed_bytes',
      { description: 'Bytes of publications read from the log for resumes.' },
      () => counts.replayedBytes,
    );
  }
}
