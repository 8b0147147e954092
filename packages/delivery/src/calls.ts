import { randomUUID } from 'node:crypto';
import { type Backbone, type Cursor, type Publication, parseTopic, type Signals } from '@pushfleet/core';
import { type Subscription, SubscriptionState } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Attempt, Outcome } from './attempt.ts';
import type { Books } from './books.ts';
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
  readonly news: HookNews;
  readonly limits: { readonly retryMs: readonly number[]; readonly timeoutMs: number };
  readonly patiently: Patiently;
}

type Call = Extract<Job, { kind: 'call' }>;

/** Calls to receivers that no publication is behind: tests, and the question whether they want to be called at all. */
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
    const subscription = await this.#o.patiently('a subscription', async () => this.#o.subscribers.get(call));
    const wanted =
      call.why === 'test' || subscription?.state === SubscriptionState.SUBSCRIPTION_STATE_PENDING;
    if (subscription === undefined || !wanted) return undefined;
    const at = Date.now();
    const outcome = await this.#o.courier.attempt({
      ...{ why: call.why, namespace: call.namespace, subscription },
      ...(await this.#errand(call)),
      ...{ id: call.delivery, attempt: call.attempts + 1 },
    });
    const nextAt = call.why === 'handshake' ? await this.#answered(call, subscription, outcome) : undefined;
    this.#tell(call, outcome, at, nextAt);
    return nextAt;
  }

  async #errand({
    why,
    namespace,
    id,
  }: Call): Promise<{ publication: Publication | undefined; cursor: Cursor | undefined }> {
    if (why === 'handshake') return { publication: undefined, cursor: undefined };
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

  /** What follows from a receiver's word on whether it wants to be called. */
  async #answered(call: Call, subscription: Subscription, outcome: Outcome): Promise<number | undefined> {
    if (outcome.verdict === 'delivered') {
      await this.#activate(call, subscription);
      return undefined;
    }
    const attempts = call.attempts + 1;
    const delay = retryDelay(this.#o.limits.retryMs, attempts, outcome.retryAfterMs);
    // Whoever asked and heard a refusal draws its own conclusion; nobody else may be waiting.
    if (delay !== undefined && outcome.verdict !== 'gone') {
      const at = Date.now() + delay;
      await this.#o.books.callLater({ ...call, attempts }, at);
      return at;
    }
    await this.#o.patiently('the end of a subscription', () =>
      this.#o.subscribers.end(call, 'handshake_failed'),
    );
    this.#o.news(call, 'handshake_failed', { reason: outcome.error });
    return undefined;
  }

  /** Somebody else may change it at the same moment: then it is read again, and looked at as it is now. */
  async #activate(call: Call, asked: Subscription): Promise<void> {
    const state = SubscriptionState.SUBSCRIPTION_STATE_ACTIVE;
    let subscription: Subscription | undefined = asked;
    while (subscription?.state === SubscriptionState.SUBSCRIPTION_STATE_PENDING) {
      const active = { ...subscription, state, stateReason: '' };
      try {
        await this.#o.patiently('the state of a subscription', () =>
          this.#o.subscribers.change(active, ['state', 'state_reason']),
        );
        return;
      } catch (error) {
        if (!isOverrun(error)) throw error;
        subscription = await this.#o.patiently('a subscription', async () => this.#o.subscribers.get(call));
      }
    }
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
