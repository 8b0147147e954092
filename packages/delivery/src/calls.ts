import { randomUUID } from 'node:crypto';
import { type Backbone, type Cursor, type Publication, parseTopic, type Signals } from '@pushfleet/core';
import { type Subscription, SubscriptionState } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Attempt, Outcome } from './attempt.ts';
import type { Books } from './books.ts';
import type { Consent } from './consent.ts';
import type { Courier } from './courier.ts';
import type { HookNews } from './hooks.ts';
import type { Job } from './job.ts';
import type { Patiently } from './patience.ts';
import type { SubscriptionRef } from './place.ts';
import { graceMs, retryDelay } from './retry.ts';
import { isOverrun, type Subscribers } from './subscribers.ts';

/** The signal under which whoever asked for a call hears of its attempt. */
export const attemptSignal = 'delivery.attempt';

export interface CallNews extends SubscriptionRef {
  readonly attempt: Attempt;
}

export interface CallsOptions {
  readonly backbone: Pick<Backbone, 'bus'>;
  readonly signals: Signals;
  readonly subscribers: Subscribers;
  readonly books: Books;
  readonly courier: Courier;
  readonly consent: Consent;
  readonly news: HookNews;
  readonly limits: { readonly questionRetryMs: readonly number[]; readonly timeoutMs: number };
  readonly patiently: Patiently;
}

type Call = Extract<Job, { kind: 'call' }>;
type Change = (held: Subscription) => ReturnType<Consent['agreed']> | undefined;

/** Calls to receivers that no publication is behind: tests, what they are asked, and that it is over. */
export class Calls {
  readonly #o: CallsOptions;

  constructor(options: CallsOptions) {
    this.#o = options;
  }

  /**
   * Makes one attempt; resolves when what follows from it is on record.
   *
   * @param release the call is on record elsewhere: a receiver that hangs holds no entry of the queue
   */
  async run(call: Call, release: () => void): Promise<void> {
    await this.#o.books.callLater(call, Date.now() + this.#o.limits.timeoutMs + graceMs);
    release();
    const nextAt = await this.#attempt(call);
    if (nextAt === undefined) await this.#o.books.callOffCall(call);
  }

  /** Returns when it is made again, Unix time in milliseconds. */
  async #attempt(call: Call): Promise<number | undefined> {
    const subscription = await this.#wanted(call);
    if (subscription === undefined) return undefined;
    const { why, namespace, reason } = call;
    const at = Date.now();
    const outcome = await this.#o.courier.attempt({
      ...{ why, namespace, subscription },
      ...(await this.#errand(call)),
      ...{ id: call.delivery, attempt: call.attempts + 1 },
      ...(reason !== undefined && { reason }),
    });
    const nextAt = await this.#follow(call, outcome);
    this.#tell(call, outcome, at, nextAt);
    return nextAt;
  }

  /** The subscription that the call is for; undefined where there is nothing left to call for. */
  async #wanted(call: Call): Promise<Subscription | undefined> {
    if (call.why === 'farewell') return this.#stopped(call);
    const subscription = await this.#read(call);
    if (subscription === undefined || call.why === 'test') return subscription;
    return this.#o.consent.isOpen(subscription, call.delivery) ? subscription : undefined;
  }

  /** Delivered to no more, whatever becomes of the farewell. */
  async #stopped(call: Call): Promise<Subscription | undefined> {
    const state = SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED;
    const stateReason = call.reason ?? '';
    await this.#apply(call, (held) =>
      held.state === state
        ? undefined
        : { wanted: { ...held, state, stateReason }, fields: ['state', 'state_reason'] },
    );
    return this.#read(call);
  }

  async #errand({
    why,
    namespace,
    id,
  }: Call): Promise<{ publication: Publication | undefined; cursor: Cursor | undefined }> {
    if (why !== 'test') return { publication: undefined, cursor: undefined };
    const cursor = await this.#o.patiently('the head of the log', () =>
      this.#o.backbone.bus(namespace).head(),
    );
    const publication: Publication = {
      ...{
        id: randomUUID(),
        source: 'pushfleet',
        topic: parseTopic(`$hooks/${id}`),
        type: 'pushfleet.hook.test',
      },
      ...{ contentType: 'application/json', payload: Buffer.from('{"test":true}') },
      ...{ time: Date.now(), shard: 0, sequence: 0 },
    };
    return { publication, cursor };
  }

  /** Returns when it is made again, Unix time in milliseconds. */
  async #follow(call: Call, outcome: Outcome): Promise<number | undefined> {
    if (call.why === 'test') return undefined;
    if (outcome.verdict === 'delivered') {
      await this.#settle(call, true, undefined);
      return undefined;
    }
    const attempts = call.attempts + 1;
    const delay = retryDelay(this.#o.limits.questionRetryMs, attempts, outcome.retryAfterMs);
    // Whoever asked and heard a refusal draws its own conclusion; nobody else may be waiting.
    if (delay !== undefined && outcome.verdict !== 'gone') {
      const at = Date.now() + delay;
      await this.#o.books.callLater({ ...call, attempts }, at);
      return at;
    }
    await this.#settle(call, false, outcome.error);
    return undefined;
  }

  async #settle(call: Call, agreed: boolean, reason: string | undefined): Promise<void> {
    const { consent, news } = this.#o;
    if (call.why === 'farewell') {
      await this.#apply(call, () => 'end', 'denied');
      return;
    }
    const ended = await this.#apply(
      call,
      (held) => {
        if (!consent.isOpen(held, call.delivery)) return undefined;
        const now = Date.now();
        return agreed ? consent.agreed(held, call.delivery, now) : consent.refused(held, call.delivery, now);
      },
      agreed ? 'unsubscribed' : 'handshake_failed',
    );
    if (ended && !agreed) news(call, 'handshake_failed', { reason });
  }

  /**
   * Changes the record as it is now, from the start where somebody else changes it at the same moment. Says whether it
   * ended by that.
   */
  async #apply(call: Call, change: Change, reason = ''): Promise<boolean> {
    for (let held = await this.#read(call); held !== undefined; held = await this.#read(call)) {
      const consequence = change(held);
      if (consequence === undefined) return false;
      const { revision } = held;
      try {
        await this.#o.patiently('the state of a subscription', () =>
          consequence === 'end'
            ? this.#o.subscribers.end(call, reason, revision)
            : this.#o.subscribers.change(consequence.wanted, consequence.fields),
        );
        return consequence === 'end';
      } catch (error) {
        if (!isOverrun(error)) throw error;
      }
    }
    return false;
  }

  #read(call: Call): Promise<Subscription | undefined> {
    return this.#o.patiently('a subscription', () => this.#o.subscribers.fresh(call));
  }

  #tell(
    { namespace, id, delivery, why, attempts }: Call,
    outcome: Outcome,
    at: number,
    nextAt: number | undefined,
  ): void {
    const attempt: Attempt = {
      ...outcome,
      ...{ id: delivery, why, at, attempt: attempts + 1 },
      ...(nextAt !== undefined && { nextAt }),
    };
    this.#o.books.attempt({ namespace, id }, attempt);
    const news: CallNews = { namespace, id, attempt };
    this.#o.signals.tell(attemptSignal, news);
  }
}
