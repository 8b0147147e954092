import type { LogTerms } from '@pushfleet/bus';
import { type Draft, PushfleetError } from '@pushfleet/core';
import type { Grant, Policies, Quotas, RateLimit } from '@pushfleet/runtime';
import type { Meters } from './meters.ts';
import { checkSize, TopicRates, withLife } from './topic-policy.ts';

export interface AdmissionOptions {
  /** Publications per token subject. */
  readonly rate: RateLimit;
  readonly policies: Pick<Policies, 'of'>;
  readonly quotas: Pick<Quotas, 'requireRate'>;
  readonly meters: Pick<Meters, 'hold' | 'settle'>;
  /** How long the log keeps things; undefined before it was reached. */
  readonly terms: () => LogTerms | undefined;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Decides what may go into the log: the rate of its publisher, the policy of its topic, the quotas of its namespace. */
export class Admission {
  readonly #options: AdmissionOptions & { readonly topicRates: TopicRates };

  constructor(options: AdmissionOptions) {
    this.#options = { ...options, topicRates: new TopicRates(options.now) };
  }

  /** For the drafts of one request, in their order. */
  round(grant: Grant): Round {
    return new Round(this.#options, grant);
  }
}

/** What was decided on one request so far. */
export class Round {
  readonly #options: AdmissionOptions & { readonly topicRates: TopicRates };
  readonly #grant: Grant;
  // No rate of the publisher's or the namespace's comes back within a request: what is behind would be let in at random.
  #refusal: PushfleetError | undefined;
  /** Bytes that room was taken for. */
  readonly #held = new Map<Draft, number>();

  constructor(options: AdmissionOptions & { readonly topicRates: TopicRates }, grant: Grant) {
    this.#options = options;
    this.#grant = grant;
  }

  /** Takes room for one more, before it is looked at. @throws PushfleetError `rate_limited` */
  begin(): void {
    const { namespace, subject } = this.#grant;
    this.#orNoMore(() => this.#options.rate.require(`${namespace} ${subject}`));
  }

  /**
   * The draft as it may be stored.
   *
   * @throws PushfleetError `payload_too_large`, `rate_limited`, `quota_publish_rate` or `quota_stored_bytes`
   */
  admit(draft: Draft): Draft {
    const { policies, quotas, meters, topicRates, terms } = this.#options;
    const { namespace } = this.#grant;
    const { topic } = draft;
    const policy = policies.of(namespace, topic);
    checkSize(policy, draft);
    topicRates.require(policy, namespace, topic);
    this.#orNoMore(() => quotas.requireRate(namespace));
    const kept = withLife(policy, draft, terms());
    const bytes = meters.hold(namespace, kept);
    if (bytes > 0) this.#held.set(kept, bytes);
    return kept;
  }

  /** What became of a draft that was admitted. */
  settle(draft: Draft, stored: boolean): void {
    const bytes = this.#held.get(draft);
    if (bytes !== undefined) this.#options.meters.settle(this.#grant.namespace, draft, bytes, stored);
  }

  #orNoMore(check: () => void): void {
    if (this.#refusal !== undefined) throw this.#refusal;
    try {
      check();
    } catch (error) {
      this.#refusal = PushfleetError.from(error);
      throw error;
    }
  }
}
