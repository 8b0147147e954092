import { type Subscription, SubscriptionState } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log } from '@pushfleet/runtime';
import type { Outcome } from './attempt.ts';
import type { Books } from './books.ts';
import type { Farewells } from './farewells.ts';
import { type HookNews, hooksLevel } from './hooks.ts';
import type { Delivery, Lane } from './lane.ts';
import { type Patiently, Stopped } from './patience.ts';
import { retryDelay } from './retry.ts';
import { isOverrun, type Subscribers } from './subscribers.ts';

export interface SettlingOptions {
  readonly books: Books;
  readonly subscribers: Subscribers;
  readonly news: HookNews;
  /** Where a subscription that is stopped ends, and its receiver is told so. */
  readonly farewells: Farewells | undefined;
  readonly limits: { readonly retryMs: readonly number[]; readonly suspendAfterMs: number };
  readonly log: Log;
  readonly patiently: Patiently;
}

/** Failures shorter than this are no news to the owner of a subscription, in milliseconds. */
const newsAfterMs = 300_000;

/** Draws the conclusions from an attempt: for the delivery, its lane, and its subscription. */
export class Settling {
  readonly #o: SettlingOptions;

  constructor(options: SettlingOptions) {
    this.#o = options;
  }

  /**
   * Returns when the delivery is tried again, Unix time in milliseconds; undefined where it is not.
   *
   * @param release the delivery's record is needed no more
   */
  settle(
    delivery: Delivery,
    subscription: Subscription,
    outcome: Outcome,
    release: () => void,
  ): number | undefined {
    const { lane } = delivery;
    switch (outcome.verdict) {
      case 'delivered':
        this.#succeeded(lane, subscription);
        release();
        return undefined;
      case 'rejected':
        lane.headAttempts = 0;
        this.#bury(delivery, delivery.attempts + 1, outcome.error ?? 'It was refused.', release);
        return undefined;
      case 'gone':
        this.#gone(lane);
        release();
        return undefined;
      default:
        return this.#failed(delivery, subscription, outcome, release);
    }
  }

  /** Has the registry stop the subscription; what is queued for it stays, unless it ends with a farewell. */
  stop(lane: Lane, reason: string): void {
    const { subscription } = lane;
    const suspended = subscription?.state === SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED;
    if (lane.stopping || subscription === undefined || suspended) return;
    lane.stopping = true;
    if (this.#o.farewells !== undefined) {
      // The lane is held until the registry says that it has stopped.
      this.#forgive(lane.note(this.#o.farewells.bid(lane.ref, subscription.revision, reason)));
      return;
    }
    const state = SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED;
    const stopped = this.#change({ ...subscription, state, stateReason: reason }, ['state', 'state_reason'])
      .then((changed) => changed && this.#o.news(lane.ref, 'suspended', { reason }))
      .finally(() => {
        lane.stopping = false;
      });
    this.#forgive(stopped);
  }

  #succeeded(lane: Lane, subscription: Subscription): void {
    lane.gate.succeeded();
    lane.headAttempts = 0;
    lane.failingSince = undefined;
    if (subscription.failingSince === undefined) return;
    this.#forgive(this.#change({ ...subscription, failingSince: undefined }, ['failing_since']));
  }

  #failed(
    delivery: Delivery,
    subscription: Subscription,
    { retryAfterMs, error = 'It was not taken.' }: Outcome,
    release: () => void,
  ): number | undefined {
    const { lane } = delivery;
    const now = Date.now();
    lane.gate.failed(now, retryAfterMs ?? 0);
    this.#fails(lane, subscription, now);
    const attempts = delivery.attempts + 1;
    const delay = retryDelay(this.#o.limits.retryMs, attempts, retryAfterMs);
    if (delay === undefined) {
      lane.headAttempts = 0;
      this.#bury(delivery, attempts, error, release);
      return undefined;
    }
    delivery.attempts = attempts;
    if (lane.terms?.ordered && delivery.record.on === 'lane') this.#headLater(delivery, now + delay);
    else this.#later(delivery, now + delay, release);
    return now + delay;
  }

  /** The lane stands still until then; the delivery stays first on its shelf. */
  #headLater({ lane, attempts, ...delivery }: Delivery, at: number): void {
    lane.headWaits = true;
    lane.headAttempts = attempts;
    lane.page.unshift({ ...delivery, lane, attempts });
    this.#forgive(lane.note(this.#o.books.headLater(lane, attempts, at)));
  }

  #later(delivery: Delivery, at: number, release: () => void): void {
    const before = delivery.record;
    const written = this.#o.books.later(delivery, at);
    // An appointment that it had was replaced by this one.
    this.#forgive(delivery.lane.note(before.on === 'appointment' ? written : written.then(release)));
  }

  #bury(delivery: Delivery, attempts: number, reason: string, release: () => void): void {
    const { lane, id, owed } = delivery;
    const buried = this.#o.books.bury(delivery, attempts, reason).then(() => {
      release();
      const { id: publication, topic } = owed.publication;
      // News of what is news itself would never end, and multiply with each receiver of them that fails.
      if (topic.startsWith(hooksLevel)) return;
      this.#o.news(lane.ref, 'dead_letter', { delivery: id, publication, topic, attempts, reason });
    });
    this.#forgive(lane.note(buried));
  }

  /** Nothing is sent from here on, and the registry forgets it. */
  #gone(lane: Lane): void {
    if (lane.gone) return;
    lane.gone = true;
    this.#o.news(lane.ref, 'gone', { reason: 'Its receiver answered that it wants nothing any more.' });
    const ended = this.#o
      .patiently('the end of a subscription', () => this.#o.subscribers.end(lane.ref, 'gone'))
      .then(() => {
        // From here on the registry says so.
        lane.gone = false;
      });
    this.#forgive(lane.note(ended));
  }

  #fails(lane: Lane, subscription: Subscription, now: number): void {
    lane.failingSince ??= now;
    const since = Math.min(lane.failingSince, subscription.failingSince?.getTime() ?? now);
    if (now - since >= this.#o.limits.suspendAfterMs) {
      this.stop(lane, `Every delivery has failed since ${new Date(since).toISOString()}.`);
    } else if (subscription.failingSince === undefined && now - since >= newsAfterMs) {
      const failing = { ...subscription, failingSince: new Date(since) };
      this.#forgive(this.#change(failing, ['failing_since']));
    }
  }

  /** False where somebody else changed it first, or it is no more: what it is now is read again. */
  async #change(subscription: Subscription, fields: readonly string[]): Promise<boolean> {
    try {
      await this.#o.patiently('the state of a subscription', () =>
        this.#o.subscribers.change(subscription, fields),
      );
      return true;
    } catch (error) {
      if (!isOverrun(error)) throw error;
      return false;
    }
  }

  #forgive(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      if (!(error instanceof Stopped)) this.#o.log.error({ err: error }, 'an attempt could not be settled');
    });
  }
}
