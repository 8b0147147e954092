import { randomBytes } from 'node:crypto';
import {
  type Courier,
  type Errand,
  type Judgement,
  judge,
  judgeFailure,
  type Outcome,
  type Tracking,
} from '@pushfleet/delivery';
import { CallError, type Caller, type OutboundAnswer, type OutboundRequest } from '@pushfleet/outbound';
import {
  type Subscription,
  WebSubMode,
  type WebSubRequest,
  type WebSubTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log } from '@pushfleet/runtime';
import { distributionHeaders } from './distribution.ts';
import { denialUrl, verificationUrl } from './question.ts';
import { requestOf, webSubOf } from './subscriber.ts';

export interface WebSubCourierOptions {
  readonly caller: Pick<Caller, 'call'>;
  readonly tracking: Tracking;
  readonly log: Log;
  /** Where the fleet's hub is reached. */
  readonly hubUrl: string;
  /** An attempt takes no longer, in milliseconds. */
  readonly timeoutMs: number;
  /** Largest payload that is sent. */
  readonly bodyBytes: number;
  /** Why this record has no right to deliveries; undefined where it has. @throws PushfleetError while that is not known */
  readonly wrongWith: (subscription: Subscription) => string | undefined;
}

const headers = { 'user-agent': 'Pushfleet-WebSub/1.0' };
const challengeBytes = 32;
/** Longest time of a question or a denial, in milliseconds: strangers can have anybody asked. */
const questionMs = 10_000;

/** Calls the subscribers of the hub. */
export class WebSubCourier implements Courier {
  readonly #o: WebSubCourierOptions;

  constructor(options: WebSubCourierOptions) {
    this.#o = options;
  }

  async attempt(errand: Errand): Promise<Outcome> {
    const tracked = this.#o.tracking.begin(errand);
    try {
      return tracked.end(await this.#judge(errand));
    } catch (error) {
      if (!(error instanceof CallError)) this.#o.log.error({ err: error }, 'an attempt failed in here');
      return tracked.end(judgeFailure(error));
    }
  }

  #judge(errand: Errand): Promise<Judgement> {
    const target = webSubOf(errand.subscription);
    switch (errand.why) {
      case 'handshake':
        return this.#verify(errand, target);
      case 'farewell':
        return this.#deny(target, errand.reason ?? '');
      default:
        return this.#distribute(errand, target);
    }
  }

  /** A challenge is made for this one call and nowhere kept: no answer but the one to it can hold it. */
  async #verify({ id, subscription }: Errand, target: WebSubTarget): Promise<Judgement> {
    const request = requestOf(subscription, id);
    if (request === undefined) throw new TypeError('nothing to verify');
    const objection = subscribes(request) ? this.#o.wrongWith(subscription) : undefined;
    if (objection !== undefined) {
      await this.#deny(target, objection);
      return { verdict: 'gone', error: objection };
    }
    const challenge = randomBytes(challengeBytes).toString('base64url');
    const answer = await this.#ask(verificationUrl(target, request, challenge));
    return 'verdict' in answer ? answer : readVerification(answer, challenge);
  }

  async #deny(target: WebSubTarget, reason: string): Promise<Judgement> {
    const answer = await this.#ask(denialUrl(target, reason));
    if ('verdict' in answer) return answer;
    const judgement = judge(answer, Date.now());
    // It was told; what it makes of that is its own.
    return answer.status < 500 && answer.status !== 429 ? { ...judgement, verdict: 'delivered' } : judgement;
  }

  async #distribute({ publication, cursor }: Errand, target: WebSubTarget): Promise<Judgement> {
    if (publication === undefined || cursor === undefined) throw new TypeError('nothing to deliver');
    const { payload } = publication;
    if (payload.length > this.#o.bodyBytes) {
      const error = `The payload has ${payload.length} bytes; at most ${this.#o.bodyBytes} are sent.`;
      return { verdict: 'rejected', error };
    }
    const own = distributionHeaders(publication, cursor, target, this.#o.hubUrl);
    const answer = await this.#call({
      ...{ url: target.callback, method: 'POST', body: payload },
      headers: { ...headers, ...own },
    });
    return judge(answer, Date.now());
  }

  /** What the fleet's own rules forbid now, they will forbid at the next attempt. */
  async #ask(url: string): Promise<OutboundAnswer | Judgement> {
    try {
      return await this.#call({ url, method: 'GET', headers }, questionMs);
    } catch (error) {
      if (!(error instanceof CallError) || error.failure !== 'refused') throw error;
      return { verdict: 'gone', error: error.message };
    }
  }

  #call(request: Omit<OutboundRequest, 'timeoutMs'>, mostMs = Infinity): Promise<OutboundAnswer> {
    return this.#o.caller.call({ ...request, timeoutMs: Math.min(mostMs, this.#o.timeoutMs) });
  }
}

const subscribes = ({ mode }: WebSubRequest): boolean => mode === WebSubMode.WEB_SUB_MODE_SUBSCRIBE;

/** WebSub, section 5.3.1: 2xx with exactly the challenge confirms. 5xx and 429 may be better next time. */
function readVerification(answer: OutboundAnswer, challenge: string): Judgement {
  const judgement = judge(answer, Date.now());
  const { status, body, truncated } = answer;
  if (judgement.verdict === 'delivered') {
    if (!truncated && Buffer.from(body).equals(Buffer.from(challenge))) return judgement;
    const error = `The subscriber answered ${status}, and not with hub.challenge as the whole body.`;
    return { ...judgement, verdict: 'gone', error };
  }
  return status >= 500 || status === 429 ? judgement : { ...judgement, verdict: 'gone' };
}
