import { randomBytes } from 'node:crypto';
import { type Judgement, judge } from '@pushfleet/delivery';
import type { OutboundAnswer, OutboundRequest } from '@pushfleet/outbound';
import { WebhookHandshake, type WebhookTarget } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/** A question to a receiver whether it wants to be called, and what its answer means. */
export interface Question {
  readonly request: Pick<OutboundRequest, 'method' | 'headers'> & { readonly body?: Uint8Array };
  /** @param now Unix time in milliseconds */
  read(answer: OutboundAnswer, now: number): Consent;
}

/** A judgement, in which `rejected` says that the receiver does not want to be called. */
export interface Consent {
  readonly judgement: Judgement;
  /** The most deliveries a minute that it allows, where it says so. */
  readonly perMinute?: number;
}

/** Who asks, and for what. */
export interface Asking {
  /** The DNS name of this fleet; undefined where its operator gave it none. */
  readonly origin: string | undefined;
  /** Deliveries a second that the subscription may bring. */
  readonly perSecond: number;
  /** What `headersOf` gives for an empty body: this request is signed as well. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The question that this subscription's handshake asks; a judgement where none can be asked, or needs to be. */
export function questionOf(webhook: WebhookTarget, asking: Asking): Question | Judgement {
  switch (webhook.handshake) {
    case WebhookHandshake.WEBHOOK_HANDSHAKE_ECHO:
      return echo(asking);
    case WebhookHandshake.WEBHOOK_HANDSHAKE_CLOUDEVENTS:
      return asking.origin === undefined ? nameless : options(asking, asking.origin);
    default:
      return { verdict: 'delivered' };
  }
}

const nameless: Judgement = {
  verdict: 'rejected',
  error:
    'This fleet has no name to ask with: its operator sets PUSHFLEET_WEBHOOK_ORIGIN or PUSHFLEET_PUBLIC_URL.',
};

/** REST Hooks, "Intent Verification": a secret made for this request alone comes back in the answer's header. */
function echo({ headers }: Asking): Question {
  const secret = randomBytes(24).toString('base64url');
  return {
    request: { method: 'POST', headers: { ...headers, 'x-hook-secret': secret }, body: new Uint8Array() },
    read(answer, now) {
      const judgement = judge(answer, now);
      if (judgement.verdict !== 'delivered') return { judgement: refused(judgement) };
      if (answer.headers['x-hook-secret'] === secret) return { judgement };
      const what = answer.headers['x-hook-secret'] === undefined ? 'without' : 'with another';
      const error = `The receiver answered ${answer.status} ${what} X-Hook-Secret: to confirm, it answers 2xx with the X-Hook-Secret of the request.`;
      return { judgement: { ...judgement, verdict: 'rejected', error } };
    },
  };
}

/** CloudEvents HTTP 1.1 Web Hooks, section 4. Granting later, by WebHook-Request-Callback, is not offered. */
function options({ headers, perSecond }: Asking, origin: string): Question {
  const asked = { 'webhook-request-origin': origin, 'webhook-request-rate': String(perSecond * 60) };
  return {
    request: { method: 'OPTIONS', headers: { ...headers, ...asked } },
    read: (answer, now) => readPermission(answer, origin, now),
  };
}

// 4.2: the headers are the permission, whatever the status; a status without them never is one.
function readPermission(answer: OutboundAnswer, origin: string, now: number): Consent {
  const judgement = judge(answer, now);
  const { 'webhook-allowed-origin': allowed, 'webhook-allowed-rate': rate } = answer.headers;
  const reject = (error: string): Consent => ({ judgement: { ...judgement, verdict: 'rejected', error } });
  if (allowed === undefined) {
    if (judgement.verdict !== 'delivered') return { judgement: refused(judgement) };
    return reject(
      `The receiver answered ${answer.status} without WebHook-Allowed-Origin, which grants permission.`,
    );
  }
  if (allowed !== '*' && allowed.toLowerCase() !== origin) {
    return reject(
      `WebHook-Allowed-Origin is ${JSON.stringify(allowed.slice(0, 253))}; ${origin} or * would grant permission.`,
    );
  }
  const { error: _, ...granted } = judgement;
  const consent: Judgement = { ...granted, verdict: 'delivered' };
  if (rate === undefined || rate === '*') return { judgement: consent };
  if (/^0*[1-9]\d{0,9}$/.test(rate)) return { judgement: consent, perMinute: Number(rate) };
  return reject(
    `WebHook-Allowed-Rate is ${JSON.stringify(rate.slice(0, 50))}; give deliveries a minute, from 1, or *.`,
  );
}

/** An address that answers, and not as one that is overwhelmed or broken, does not know of the handshake, or says no. */
function refused(judgement: Judgement): Judgement {
  const { verdict, status = 0 } = judgement;
  const final = verdict === 'gone' || (verdict === 'failed' && status < 500);
  return final ? { ...judgement, verdict: 'rejected' } : judgement;
}
