import type { Tail } from '@pushfleet/bus';
import type { Log, Metrics, Part } from '@pushfleet/runtime';

const everyMs = 10_000;

/** Asks now and then how far the reading of the log is behind its head, and shows the last answer. */
export class Behind implements Part {
  readonly name = 'behind';
  readonly #tail: Pick<Tail, 'behind'>;
  readonly #log: Log;
  #interval: NodeJS.Timeout | undefined;
  #publications: number | undefined;
  #asking = false;

  /** @param kind of receiver: names the series */
  constructor(kind: string, tail: Pick<Tail, 'behind'>, metrics: Pick<Metrics, 'gauge'>, log: Log) {
    this.#tail = tail;
    this.#log = log;
    metrics.gauge(
      `pushfleet_${kind}_behind_publications`,
      {
        description:
          'Publications in the log whose receivers were not looked up yet, by any instance; every instance says the same.',
      },
      () => (this.#publications === undefined ? [] : [[this.#publications, {}]]),
    );
  }

  async start(): Promise<void> {
    this.#interval = setInterval(() => void this.#ask(), everyMs).unref();
    void this.#ask();
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    clearInterval(this.#interval);
  }

  async #ask(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      this.#publications = await this.#tail.behind();
    } catch (error) {
      // Better no number than an old one.
      this.#publications = undefined;
      this.#log.debug({ err: error }, 'how far the log is read cannot be told now');
    } finally {
      this.#asking = false;
    }
  }
}
