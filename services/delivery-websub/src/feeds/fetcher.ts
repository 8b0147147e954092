import type { Queue } from '@pushfleet/bus';
import {
  createPatience,
  type Holding,
  type Patiently,
  retryDelay,
  Shares,
  Stopped,
  unlessStopped,
} from '@pushfleet/delivery';
import type { Fleet, Log, Metrics, Part } from '@pushfleet/runtime';
import { failureOf } from './failure.ts';
import { type Due, feedSlots, fetchAt } from './notices.ts';
import { Refresh, type RefreshOptions } from './refresh.ts';
import { mostInHand, Turns } from './turns.ts';

export interface FetcherOptions extends RefreshOptions {
  /** `feeds` */
  readonly queue: Queue;
  readonly fleet: Pick<Fleet, 'instance' | 'instances'>;
  /** The name of the service, as the fleet knows it. */
  readonly service: string;
  /** How long after each failed attempt the next is made, in milliseconds. */
  readonly retryMs: readonly number[];
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'total'>;
}

/** Anybody may announce a feed: so often it is fetched at most, in milliseconds. */
const apartMs = 1_000;

/**
 * Fetches feeds that are due and publishes what is new in them. One fetch of a feed at a time; what is due is on
 * record until it was published, or given up, so a fetch outlives its instance.
 */
export class Fetcher implements Part {
  readonly name = 'feeds';
  readonly #o: FetcherOptions;
  readonly #refresh: Refresh;
  readonly #shares: Shares;
  readonly #closing = new AbortController();
  readonly #patiently: Patiently;
  readonly #outcomes = { published: 0, unchanged: 0, failed: 0, given_up: 0 };
  readonly #drained = Promise.withResolvers<void>();
  /** Settles once nothing is published any more. */
  readonly drained = this.#drained.promise;

  constructor(options: FetcherOptions) {
    const { fleet, service, log, metrics } = options;
    this.#o = options;
    this.#patiently = createPatience(this.#closing.signal, log);
    this.#refresh = new Refresh({ ...options, patiently: this.#patiently });
    this.#shares = new Shares(fleet, service, feedSlots, (slot) => this.#hold(slot));
    metrics.total(
      'pushfleet_websub_fetches',
      { description: 'Fetches of feeds, by what came of them.' },
      () => Object.entries(this.#outcomes).map(([outcome, count]) => [count, { outcome }] as const),
    );
  }

  async start(): Promise<void> {
    this.#shares.start();
  }

  /** Slots pass on to others; fetches under way are waited for. What is cut is on record. */
  async drain(deadline: AbortSignal): Promise<void> {
    deadline.addEventListener('abort', () => this.#closing.abort(), { once: true });
    await this.#shares.stop();
    this.#drained.resolve();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#shares.stop();
  }

  #hold(slot: number): Holding {
    const { queue, log } = this.#o;
    const turns = new Turns({ fetch: (due) => this.#attempt(due), apartMs, log });
    const own = () => queue.own(slot, mostInHand, (taken) => turns.take(taken));
    const owning = this.#patiently('a slot', own).catch(unlessStopped);
    return {
      stop: async () => {
        await turns.stop(this.#closing.signal);
        await (await owning)?.stop();
        turns.leave();
      },
    };
  }

  /** @throws Stopped */
  async #attempt({ url, attempts }: Due): Promise<void> {
    try {
      this.#outcomes[await this.#refresh.run(url)]++;
    } catch (thrown) {
      if (thrown instanceof Stopped) throw thrown;
      const { message, final, retryAfterMs, cause } = failureOf(thrown);
      if (cause !== undefined) this.#o.log.error({ err: cause, feed: url }, 'a fetch failed in here');
      const delay = final ? undefined : retryDelay(this.#o.retryMs, attempts + 1, retryAfterMs);
      const fields = { feed: url, attempts: attempts + 1, reason: message };
      if (delay === undefined) {
        this.#outcomes.given_up++;
        this.#o.log.warn(fields, 'a feed is not fetched until it is announced again');
        return;
      }
      this.#outcomes.failed++;
      this.#o.log.info({ ...fields, againInMs: delay }, 'a feed could not be published; once more later');
      const again = { url, attempts: attempts + 1 };
      await this.#patiently('a feed that is due', () => fetchAt(this.#o.queue, again, Date.now() + delay));
    }
  }
}
