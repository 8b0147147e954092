import { setTimeout as sleep } from 'node:timers/promises';
import type { Namespace } from '@pushfleet/core';
import {
  type Subscription,
  type SubscriptionKind,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Farewells } from './farewells.ts';
import { type Patiently, unlessStopped } from './patience.ts';
import { type RightOptions, wrongWith } from './right.ts';
import type { Holding } from './shares.ts';
import { refOf, type SubscriptionCalls } from './subscribers.ts';

/** What tells of changes after which some subscriptions may have no right any more. */
export interface Standing {
  /** The namespaces that may have such subscriptions. */
  namespaces(): Iterable<Namespace>;
  /** Calls `on` when what is objected to has changed. */
  onChange(on: () => void): void;
}

export interface AuditOptions extends RightOptions {
  readonly kind: SubscriptionKind;
  readonly registry: Pick<SubscriptionCalls, 'list'>;
  readonly standing: Standing;
  readonly farewells: Farewells;
  readonly patiently: Patiently;
}

/** Changes that come together are looked into once, so long after the first, in milliseconds. */
const togetherMs = 500;

/**
 * Looks through all subscriptions after a revocation or another objection: one to which nothing is published would
 * not be met otherwise, and its receiver not be told.
 */
export class Audit {
  readonly #o: AuditOptions;
  /** Also those of before: what is left of them has no right any more. */
  readonly #namespaces = new Set<Namespace>();
  #held = false;
  #due = true;
  #running = false;

  constructor(options: AuditOptions) {
    this.#o = options;
    options.revocations.onRevoked(() => this.#ask());
    options.standing.onChange(() => this.#ask());
  }

  /** It is this instance that looks, until it is told to stop. */
  hold(): Holding {
    this.#held = true;
    // Whoever looked before may have been in the middle.
    this.#ask();
    return {
      stop: async () => {
        this.#held = false;
      },
    };
  }

  #ask(): void {
    for (const namespace of this.#o.standing.namespaces()) this.#namespaces.add(namespace);
    this.#due = true;
    if (!this.#running) void this.#run().catch(unlessStopped);
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#due && this.#held) {
        await sleep(togetherMs, undefined, { ref: false });
        this.#due = false;
        for (const namespace of this.#namespaces) await this.#look(namespace);
      }
    } finally {
      this.#running = false;
    }
  }

  async #look(namespace: Namespace): Promise<void> {
    let pageToken: string | undefined = '';
    while (pageToken !== undefined && this.#held) {
      const from: string = pageToken;
      const { found, next } = await this.#o.patiently('the subscriptions of a namespace', () =>
        this.#o.registry.list(this.#o.kind, namespace, from),
      );
      for (const subscription of found) await this.#judge(subscription);
      pageToken = next;
    }
  }

  async #judge(subscription: Subscription): Promise<void> {
    if (subscription.state !== SubscriptionState.SUBSCRIPTION_STATE_ACTIVE) return;
    const reason = await this.#o.patiently('what was revoked', async () => wrongWith(subscription, this.#o));
    if (reason !== undefined) {
      await this.#o.farewells.bid(refOf(subscription), subscription.revision, reason);
    }
  }
}
