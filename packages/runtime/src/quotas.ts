import { type ErrorCode, type Namespace, PushfleetError } from '@pushfleet/core';
import type { Usage } from './fleet.ts';
import type { Policies } from './policies.ts';
import { SharedRate } from './shared-rate.ts';

export interface QuotasOptions {
  readonly policies: Pick<Policies, 'quota'>;
  /** What a namespace uses at the other instances. */
  readonly elsewhere: (namespace: Namespace) => Usage;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

interface Held {
  connections: number;
  /** Filters, of all of them. */
  subscriptions: number;
}

/** Keeps each namespace within its quotas: what is used here and elsewhere together. */
export class Quotas {
  readonly #options: QuotasOptions;
  readonly #held = new Map<Namespace, Held>();
  readonly #rate: SharedRate;

  constructor(options: QuotasOptions) {
    this.#options = options;
    this.#rate = new SharedRate(options.now);
  }

  /**
   * Counts a connection with so many filters until the returned function is called, harmless to call twice. What
   * is open stays open where a quota becomes smaller.
   *
   * @throws PushfleetError `quota_connections` or `quota_subscriptions`; nothing is counted then
   */
  open(namespace: Namespace, filters: number): () => void {
    const held = this.#held.get(namespace) ?? { connections: 0, subscriptions: 0 };
    this.#requireRoom(namespace, held, { connections: 1, subscriptions: filters });
    held.connections++;
    held.subscriptions += filters;
    this.#held.set(namespace, held);
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      held.connections--;
      held.subscriptions -= filters;
      if (held.connections === 0) this.#held.delete(namespace);
    };
  }

  /**
   * Counts filters that a connection adds while it is open, until `unsubscribe`.
   *
   * @throws PushfleetError `quota_subscriptions`; nothing is counted then
   */
  subscribe(namespace: Namespace, filters: number): void {
    const held = this.#held.get(namespace);
    if (held === undefined) return;
    this.#requireRoom(namespace, held, { connections: 0, subscriptions: filters });
    held.subscriptions += filters;
  }

  /** Filters that `subscribe` counted are held no more; before their connection is given back. */
  unsubscribe(namespace: Namespace, filters: number): void {
    const held = this.#held.get(namespace);
    if (held !== undefined) held.subscriptions -= filters;
  }

  #requireRoom(namespace: Namespace, held: Held, more: Held): void {
    const { connections, subscriptions } = this.#options.policies.quota(namespace);
    if (connections === undefined && subscriptions === undefined) return;
    const elsewhere = this.#options.elsewhere(namespace);
    if (
      more.connections > 0 &&
      connections !== undefined &&
      held.connections + elsewhere.connections + more.connections > connections
    ) {
      throw full('quota_connections', 'connections', connections);
    }
    if (
      subscriptions !== undefined &&
      held.subscriptions + elsewhere.subscriptions + more.subscriptions > subscriptions
    ) {
      throw full('quota_subscriptions', 'subscriptions', subscriptions);
    }
  }

  /** Takes room for one publication. @throws PushfleetError `quota_publish_rate` */
  requireRate(namespace: Namespace): void {
    const { publishRate } = this.#options.policies.quota(namespace);
    if (publishRate === undefined) return;
    const waitMs = this.#rate.take(namespace, publishRate, this.#options.elsewhere(namespace).published);
    if (waitMs === 0) return;
    throw new PushfleetError(
      'quota_publish_rate',
      `The namespace may publish ${publishRate} a second, over all instances; wait ${Math.ceil(waitMs / 1_000)} s.`,
      { retryAfterMs: waitMs, detail: { limit: publishRate } },
    );
  }

  /** What others need to know of each namespace that has a quota. */
  *usage(): Iterable<readonly [Namespace, Usage]> {
    const asked = new Map(this.#rate.asked());
    for (const namespace of new Set([...this.#held.keys(), ...asked.keys()])) {
      const { connections, subscriptions, publishRate } = this.#options.policies.quota(namespace);
      const held = this.#held.get(namespace);
      yield [
        namespace,
        {
          connections: connections === undefined ? 0 : (held?.connections ?? 0),
          subscriptions: subscriptions === undefined ? 0 : (held?.subscriptions ?? 0),
          published: publishRate === undefined ? 0 : Math.min(publishRate, asked.get(namespace) ?? 0),
        },
      ];
    }
  }
}

function full(code: ErrorCode, what: string, limit: number): PushfleetError {
  return new PushfleetError(
    code,
    `The namespace's quota of ${what} is ${limit}, over all instances, and there is no room for more; close some, or ask the operator for a larger one.`,
    { retryAfterMs: 1_000, detail: { limit } },
  );
}
