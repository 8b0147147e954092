import { PushfleetError, parseNamespace } from '@pushfleet/core';
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
  NotifyForm,
  type NotifyTarget,
  type Subscription,
  SubscriptionState,
  WebhookHandshake,
  type WebhookTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log, TraceSpan } from '@pushfleet/runtime';
import { type Content, contentOf, headersOf } from './codec.ts';
import { type Consent, questionOf } from './handshake.ts';
import { type Ask, askForConsent, type FirstNotice } from './notify/consent.ts';
import { firstNotice, type Notice, noticeHeaders } from './notify/message.ts';
import type { Sequences } from './notify/sequences.ts';

export interface WebhookCourierOptions {
  readonly caller: Pick<Caller, 'call'>;
  readonly registry: Pick<SubscriptionCalls, 'change'>;
  readonly tracking: Tracking;
  readonly sequences: Pick<Sequences, 'of'>;
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

/** What an attempt is part of. */
interface Circumstances {
  readonly span: TraceSpan | undefined;
  /** The headers of a notification. */
  readonly notice: Readonly<Record<string, string>> | undefined;
}

const nothing: Content = { headers: {}, body: new Uint8Array() };
const nowhere: Circumstances = { span: undefined, notice: undefined };

/** UPnP Device Architecture 1.1, section 4.3.2: by 412 a receiver says that it does not know the subscription. */
const forgotten = (judgement: Judgement): Judgement =>
  judgement.status === 412
    ? { ...judgement, verdict: 'gone', error: 'The receiver answered 412: it knows no such subscription.' }
    : judgement;

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
    const { notify } = target.webhook;
    if (errand.why === 'handshake') {
      if (notify !== undefined) return this.#askCallbacks(errand, target.webhook, notify);
      return this.#shakeHands(errand, target.webhook);
    }
    const { publication, cursor } = errand;
    if (publication === undefined || cursor === undefined) throw new TypeError('nothing to deliver');
    const content = contentOf(publication, cursor, target.webhook.format);
    if (content.body.length > this.#options.bodyBytes) return this.#tooLarge(content);
    const notice = notify && (await this.#noticeOf(errand, notify.form));
    const headers = this.#headers(errand, target.webhook, content, { span, notice });
    if (headers === undefined) return unsigned;
    const { body } = content;
    const method = notify === undefined ? 'POST' : 'NOTIFY';
    const judgement = judge(await this.#call(target.webhook, { method, headers, body }), Date.now());
    return notify === undefined ? judgement : forgotten(judgement);
  }

  /** What makes a delivery a notification: only GENA numbers them. */
  async #noticeOf({ subscription, id, place }: Errand, form: NotifyForm): Promise<Record<string, string>> {
    const notice: Notice = { id: subscription.id, sequence: 0 };
    if (form !== NotifyForm.NOTIFY_FORM_GENA) return noticeHeaders(form, notice);
    const ref = { namespace: parseNamespace(subscription.namespace), id: subscription.id };
    const sequence = await this.#options.sequences.of(ref, `${id}/${place}`);
    return noticeHeaders(form, { ...notice, sequence });
  }

  /** Asks one call-back after the other: the first that confirms is the receiver. */
  async #askCallbacks(errand: Errand, webhook: WebhookTarget, notify: NotifyTarget): Promise<Judgement> {
    const { subscription, attempt } = errand;
    const content = firstNotice(notify.form);
    if (this.#headers(errand, webhook, content, nowhere) === undefined) return unsigned;
    const first: FirstNotice = (id) => {
      const asked = { ...errand, subscription: { ...subscription, id } };
      const notice = noticeHeaders(notify.form, { id, sequence: 0 });
      const headers = this.#headers(asked, webhook, content, { span: undefined, notice });
      return { headers: headers ?? {}, body: content.body };
    };
    const urls = [webhook.url, ...notify.callbacks];
    // All of them together take no longer than one attempt may, and each may be asked twice.
    const timeoutMs = this.#timeoutOf(webhook) / (2 * urls.length);
    const noes: Judgement[] = [];
    for (const url of urls) {
      const ask: Ask = (request) => this.#options.caller.call({ ...request, url, timeoutMs });
      const judgement = await askForConsent(ask, { id: subscription.id, attempt, first });
      if (judgement.verdict === 'delivered') return this.#keepCallback(subscription, webhook, url, judgement);
      noes.push(judgement);
    }
    // One that may still say yes keeps the question open.
    return noes.find(({ verdict }) => verdict !== 'gone') ?? (noes[0] as Judgement);
  }

  /** The call-back that has confirmed is the only one from here on. */
  #keepCallback(
    subscription: Subscription,
    webhook: WebhookTarget,
    url: string,
    judgement: Judgement,
  ): Promise<Judgement> | Judgement {
    const { notify } = webhook;
    if (notify === undefined || notify.callbacks.length === 0) return judgement;
    const kept = { ...webhook, url, notify: { ...notify, callbacks: [] } };
    return this.#activate(subscription, kept, ['webhook.url', 'webhook.notify'], 'call-back', judgement);
  }

  async #shakeHands(errand: Errand, webhook: WebhookTarget): Promise<Judgement> {
    const { origin, endpointRate } = this.#options;
    const headers = this.#headers(errand, webhook, nothing, nowhere);
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
    const limited = { ...webhook, ratePerSecond: perSecond };
    return this.#activate(subscription, limited, ['webhook.rate_per_second'], 'rate', judgement);
  }

  /** One change: whoever else is about to make it active then finds that it is, with what its receiver said. */
  async #activate(
    subscription: Subscription,
    webhook: WebhookTarget,
    fields: readonly string[],
    what: string,
    judgement: Judgement,
  ): Promise<Judgement> {
    const state = SubscriptionState.SUBSCRIPTION_STATE_ACTIVE;
    const target = { $case: 'webhook', webhook } as const;
    try {
      const changed = { ...subscription, state, stateReason: '', target };
      await this.#options.registry.change(changed, ['state', 'state_reason', ...fields]);
      return judgement;
    } catch (error) {
      const { message } = PushfleetError.from(error);
      return { verdict: 'failed', error: `The receiver agreed; its ${what} could not be noted: ${message}` };
    }
  }

  #headers(
    { id, attempt, subscription }: Errand,
    webhook: WebhookTarget,
    content: Content,
    { span, notice }: Circumstances,
  ): Record<string, string> | undefined {
    const asked = webhook.handshake === WebhookHandshake.WEBHOOK_HANDSHAKE_CLOUDEVENTS;
    return headersOf(webhook, content, {
      ...{ id, attempt, subscription: subscription.id },
      timestamp: Math.floor(Date.now() / 1_000),
      trace: span?.context.parent,
      // CloudEvents HTTP 1.1 Web Hooks 4.1.2: each delivery names who was permitted.
      origin: asked ? this.#options.origin : undefined,
      ...(notice && { notice }),
    });
  }

  #call(
    webhook: WebhookTarget,
    request: Omit<OutboundRequest, 'url' | 'timeoutMs'>,
  ): Promise<OutboundAnswer> {
    return this.#options.caller.call({ ...request, url: webhook.url, timeoutMs: this.#timeoutOf(webhook) });
  }

  #timeoutOf(webhook: WebhookTarget): number {
    return Math.min(webhook.timeoutMs || Number.POSITIVE_INFINITY, this.#options.timeoutMs);
  }

  #tooLarge({ body }: Content): Judgement {
    const { bodyBytes } = this.#options;
    return {
      verdict: 'rejected',
      error: `The body would be ${body.length} bytes; at most ${bodyBytes} are sent. Publish where the data is, rather than the data.`,
    };
  }
}
