import type { LogTerms } from '@pushfleet/bus';
import { type Draft, type Namespace, PushfleetError, quote, type Topic } from '@pushfleet/core';
import { RateLimit, type TopicPolicy } from '@pushfleet/runtime';

/** Without history a publication is kept for the time that healing and retries need, in milliseconds. */
const healingMs = 120_000;

/** How fast each topic may go, by its policy. */
export class TopicRates {
  /** By the policy itself: another one begins anew. */
  readonly #limits = new WeakMap<TopicPolicy, RateLimit>();
  readonly #now: () => number;

  /** @param now milliseconds, monotonic */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Takes room for one. @throws PushfleetError `rate_limited` */
  require(policy: TopicPolicy, namespace: Namespace, topic: Topic): void {
    const { rate } = policy;
    if (rate === undefined) return;
    const waitMs = this.#of(policy, rate).take(`${namespace} ${topic}`);
    if (waitMs === 0) return;
    throw new PushfleetError(
      'rate_limited',
      `The policy of ${nameOf(policy)} takes ${rate} a second on each topic; wait ${Math.ceil(waitMs / 1_000)} s.`,
      { retryAfterMs: waitMs, detail: detail(policy, rate) },
    );
  }

  #of(policy: TopicPolicy, rate: number): RateLimit {
    const limit = this.#limits.get(policy) ?? new RateLimit({ perSecond: rate, burst: rate, now: this.#now });
    this.#limits.set(policy, limit);
    return limit;
  }
}

/** @throws PushfleetError `payload_too_large` */
export function checkSize(policy: TopicPolicy, { payload }: Draft): void {
  const { maxBytes } = policy;
  if (maxBytes === undefined || payload.length <= maxBytes) return;
  throw new PushfleetError(
    'payload_too_large',
    `The payload has ${payload.length} bytes; the policy of ${nameOf(policy)} takes ${maxBytes}.`,
    { detail: detail(policy, maxBytes) },
  );
}

/** The draft with the time for which the log keeps it. */
export function withLife(policy: TopicPolicy, draft: Draft, terms: LogTerms | undefined): Draft {
  const { retentionMs = Number.POSITIVE_INFINITY, history } = policy;
  // Without history it is there for healing, and for retries to be recognised.
  const needed = history ? retentionMs : Math.max(healingMs, terms?.duplicateWindowMs ?? 0);
  const keepMs = Math.min(retentionMs, needed);
  return keepMs === Number.POSITIVE_INFINITY ? draft : { ...draft, keepMs };
}

const nameOf = ({ filter = '' as never }: TopicPolicy): string => quote(filter);
const detail = ({ filter = '' as never }: TopicPolicy, limit: number) => ({ limit, filter });
