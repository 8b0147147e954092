import type { ClientDuplexStream } from '@grpc/grpc-js';
import { bearer, type PublishClient, publishClient } from './grpc.ts';

/** The payload of one publication under load. */
export interface Load {
  /** Sets it apart from what an earlier trial left in the same log. */
  readonly run: string;
  readonly publisher: number;
  /** Counts the publisher's publications, over all topics. */
  readonly number: number;
  readonly topic: string;
}

export interface PublisherOptions {
  readonly address: string;
  readonly token: string;
  /** Sets this run apart from an earlier one on the same log, also by its ids. */
  readonly run: string;
  readonly publisher: number;
  readonly topics: readonly string[];
  /** The least it publishes. */
  readonly count: number;
  /** Publications a second. */
  readonly rate: number;
}

interface Answer {
  readonly correlation: number;
  readonly result: {
    readonly receipt?: object;
    readonly refusal?: { readonly code: string; readonly message: string };
  };
}

/**
 * A publisher that never gives up: it keeps what is not acknowledged and sends it again, in order and with the
 * same ids, over a new stream whenever one breaks. It goes on until it is told to finish; `run` resolves when
 * all is acknowledged.
 */
export class LoadPublisher {
  readonly acknowledged: Load[] = [];
  readonly refused: string[] = [];
  /** Streams that broke under it. */
  breaks = 0;
  /** The longest time that passed without an acknowledgement, in milliseconds. */
  longestWaitMs = 0;
  #answeredAt = Number.POSITIVE_INFINITY;
  readonly #options: PublisherOptions;
  readonly #unanswered = new Map<number, Load>();
  readonly #client: PublishClient;
  #stream: ClientDuplexStream<object, Answer> | undefined;
  #next = 1;
  /** The highest number that is acknowledged. */
  #newest = 0;
  #last = Number.POSITIVE_INFINITY;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#client = publishClient(options.address);
  }

  async run(): Promise<void> {
    const { rate } = this.#options;
    const started = Date.now();
    this.#open();
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        const due = Math.min(this.#last, Math.floor(((Date.now() - started) / 1_000) * rate));
        // A bounded window, as any careful publisher has one.
        while (this.#next <= due && this.#unanswered.size < 1_000) this.#publish(this.#next++);
        if (!this.#done) return;
        clearInterval(timer);
        resolve();
      }, 10);
    });
    this.#stream?.end();
    this.#client.close();
  }

  /** How many it has published, acknowledged or not. */
  get made(): number {
    return this.#next - 1;
  }

  /** Whether all of the first `count` are acknowledged, and one that came after them. */
  isPast(count: number): boolean {
    const [oldest = Number.POSITIVE_INFINITY] = this.#unanswered.keys();
    return oldest > count && this.#newest > count;
  }

  /** Lets it end once it published its count. */
  finish(): void {
    this.#last = Math.max(this.#options.count, this.#next - 1);
  }

  get #done(): boolean {
    return this.#next > this.#last && this.#unanswered.size === 0;
  }

  #publish(number: number): void {
    const { run, publisher, topics } = this.#options;
    const load = {
      run,
      publisher,
      number,
      topic: topics[(number * 7 + publisher) % topics.length] as string,
    };
    this.#unanswered.set(number, load);
    this.#write(load);
  }

  #write(load: Load): void {
    this.#stream?.write({
      correlation: load.number,
      draft: {
        id: `${load.publisher}-${load.number}`,
        source: `${this.#options.run}-${load.publisher}`,
        topic: load.topic,
        contentType: 'application/json',
        payload: Buffer.from(JSON.stringify(load)),
      },
    });
  }

  #open(): void {
    const stream: ClientDuplexStream<object, Answer> = this.#client.publishStream(
      bearer(this.#options.token),
    );
    this.#stream = stream;
    stream.on('data', (answer: Answer) => this.#answered(answer));
    stream.on('error', () => {});
    stream.on('status', () => {
      if (this.#stream !== stream || this.#done) return;
      this.breaks++;
      this.#stream = undefined;
      setTimeout(() => this.#open(), 50);
    });
    for (const load of this.#unanswered.values()) this.#write(load);
  }

  #answered({ correlation, result }: Answer): void {
    const load = this.#unanswered.get(correlation);
    if (load === undefined) return;
    if (result.receipt) {
      this.#unanswered.delete(correlation);
      this.acknowledged.push(load);
      const now = performance.now();
      this.longestWaitMs = Math.max(this.longestWaitMs, now - this.#answeredAt);
      this.#answeredAt = now;
      this.#newest = Math.max(this.#newest, correlation);
      return;
    }
    this.refused.push(`${result.refusal?.code}: ${result.refusal?.message}`);
    this.#stream?.cancel(); // start over, so that what follows on the topic does not overtake it
  }
}
