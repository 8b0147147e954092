import { PushfleetError } from '@pushfleet/core';
import {
  type Courier,
  type Errand,
  type Judgement,
  judge,
  judgeFailure,
  type Outcome,
  type SubscriptionCalls,
  type Tracking,
} from '@pushfleet/delivery';
import { CallError, type Caller, type OutboundAnswer, type OutboundRequest } from '@pushfleet/outbound';
import {
  type Subscription,
  SubscriptionState,
  WebhookHandshake,
  type WebhookTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log, TraceSpan } from '@pushfleet/runtime';
import { type Content, contentOf, headersOf } from './codec.ts';
import { type Consent, questionOf } from './handshake.ts';

export interface WebhookCourierOptions {
  readonly caller: Pick<Caller, 'call'>;
  readonly registry: Pick<SubscriptionCalls, 'change'>;
  readonly tracking: Tracking;
  readonly log: Log;
  /** The DNS name by which receivers know the fleet. */
  readonly origin: string | undefined;
  /** An attempt takes no longer, whatever its subscription says, in milliseconds. */
  readonly timeoutMs: number;
  /** Most deliveries a second, where the subscription does not say. */
  readonly endpointRate: number;
  /** Largest body that is sent. */
  readonly bodyBytes: number;
}

const nothing: Content = { headers: {}, body: new Uint8Array() };

const unsigned: Judgement = {
  verdict: 'failed',
  error: 'No secret of the subscription is in force, and nothing is sent unsigned: rotate its secret.',
};

/** Calls the receivers of webhooks. */
export class WebhookCourier implements Courier {
  readonly #options: WebhookCourierOptions;

  constructor(options: WebhookCourierOptions) {
    this.#options = options;
  }

  async attempt(errand: Errand): Promise<Outcome> {
    const tracked = this.#options.tracking.begin(errand);
    let judgement: Judgement;
    try {
      judgement = await this.#judge(errand, tracked.span);
    } catch (error) {
      if (!(error instanceof CallError)) this.#options.log.error({ err: error }, 'an attempt failed in here');
      judgement = judgeFailure(error);
    }
    return tracked.end(judgement);
  }

  async #judge(errand: Errand, span: TraceSpan | undefined): Promise<Judgement> {
    const { target } = errand.subscription;
    if (target?.$case !== 'webhook') throw new TypeError(`no webhook: ${target?.$case}`);
    if (errand.why === 'handshake') return this.#shakeHands(errand, target.webhook);
    const { publication, cursor } = errand;
    if (publication === undefined || cursor === undefined) throw new TypeError('nothing to deliver');
    const content = contentOf(publication, cursor, target.webhook.format);
    if (content.body.length > this.#options.bodyBytes) return this.#tooLarge(content);
    const headers = this.#headers(errand, target.webhook, content, span);
    if (headers === undefined) return unsigned;
    const { body } = content;
    return judge(await this.#call(target.webhook, { method: 'POST', headers, body }), Date.now());
  }

  async #shakeHands(errand: Errand, webhook: WebhookTarget): Promise<Judgement> {
    const { origin, endpointRate } = this.#options;
    const headers = this.#headers(errand, webhook, nothing, undefined);
    if (headers === undefined) return unsigned;
    const question = questionOf(webhook, {
      ...{ origin, headers },
      perSecond: webhook.ratePerSecond || endpointRate,
    });
    if (!('request' in question)) return question;
    try {
      const answer = await this.#call(webhook, question.request);
      return await this.#keepRate(errand.subscription, webhook, question.read(answer, Date.now()));
    } catch (error) {
      // What the fleet's own rules forbid now, they will forbid at the next attempt.
      if (!(error instanceof CallError) || error.failure !== 'refused') throw error;
      return { verdict: 'rejected', error: error.message };
    }
  }

  /** Where the receiver allows less than its subscription, that becomes the subscription's own rate. */
  async #keepRate(
    subscription: Subscription,
    webhook: WebhookTarget,
    { judgement, perMinute }: Consent,
  ): Promise<Judgement> {
    // The record counts whole deliveries a second: who allows less answers 429 now and then, and that is obeyed.
    const perSecond = Math.max(1, Math.floor((perMinute ?? Number.POSITIVE_INFINITY) / 60));
    if (perSecond >= (webhook.ratePerSecond || this.#options.endpointRate)) return judgement;
    const state = SubscriptionState.SUBSCRIPTION_STATE_ACTIVE;
    const target = { $case: 'webhook', webhook: { ...webhook, ratePerSecond: perSecond } } as const;
    // One change: whoever else is about to make it active then finds that it is, with its rate.
    const changed = { ...subscription, state, stateReason: '', target };
    const fields = ['state', 'state_reason', 'webhook.rate_per_second'];
    try {
      await this.#options.registry.change(changed, fields);
      return judgement;
    } catch (error) {
      const { message } = PushfleetError.from(error);
      return { verdict: 'failed', error: `The receiver agreed; its rate could not be noted: ${message}` };
    }
  }

  #headers(
    { id, attempt, subscription }: Errand,
    webhook: WebhookTarget,
    content: Content,
    span: TraceSpan | undefined,
  ): Record<string, string> | undefined {
    const asked = webhook.handshake === WebhookHandshake.WEBHOOK_HANDSHAKE_CLOUDEVENTS;
    return headersOf(webhook, content, {
      ...{ id, attempt, subscription: subscription.id },
      timestamp: Math.floor(Date.now() / 1_000),
      trace: span?.context.parent,
      // CloudEvents HTTP 1.1 Web Hooks 4.1.2: each delivery names who was permitted.
      origin: asked ? this.#options.origin : undefined,
    });
  }

  #call(
    webhook: WebhookTarget,
    request: Omit<OutboundRequest, 'url' | 'timeoutMs'>,
  ): Promise<OutboundAnswer> {
    const timeoutMs = Math.min(webhook.timeoutMs || Number.POSITIVE_INFINITY, this.#options.timeoutMs);
    return this.#options.caller.call({ ...request, url: webhook.url, timeoutMs });
  }

  #tooLarge({ body }: Content): Judgement {
    const { bodyBytes } = this.#options;
    return {
      verdict: 'rejected',
      error: `The body would be ${body.length} bytes; at most ${bodyBytes} are sent. Publish where the data is, rather than the data.`,
    };
  }
}
