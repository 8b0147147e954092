import { type Namespace, PushfleetError } from '@pushfleet/core';

export interface RoomOptions {
  /** How many subscriptions a namespace has. */
  readonly count: (namespace: Namespace) => Promise<number>;
  /** How many it may have. */
  readonly limit: (namespace: Namespace) => number;
  /** What a namespace is told that has its most. */
  readonly full?: (held: number, limit: number) => PushfleetError;
}

/**
 * Keeps each namespace within its number of subscriptions, or of something else. What is being created here counts; what other instances
 * create at the same moment does not, so together they can pass the limit by that.
 */
export class Room {
  readonly #options: RoomOptions;
  readonly #creating = new Map<Namespace, Set<Promise<void>>>();

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /**
   * Takes room for one; the returned function ends the claim.
   *
   * @param share the part of the namespace's room that may be full before
   * @throws PushfleetError `quota_subscriptions`, or what else it is told
   */
  async take(namespace: Namespace, share = 1): Promise<() => void> {
    for (;;) {
      const limit = Math.floor(this.#options.limit(namespace) * share);
      const held = await this.#options.count(namespace);
      const creating = this.#creating.get(namespace) ?? new Set();
      if (held + creating.size < limit) return this.#claim(namespace, creating);
      if (creating.size === 0) throw (this.#options.full ?? full)(held, limit);
      // Some of them may be counted already, and some may fail.
      await Promise.race(creating);
    }
  }

  #claim(namespace: Namespace, creating: Set<Promise<void>>): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    creating.add(promise);
    this.#creating.set(namespace, creating);
    return () => {
      creating.delete(promise);
      if (creating.size === 0 && this.#creating.get(namespace) === creating) this.#creating.delete(namespace);
      resolve();
    };
  }
}

function full(held: number, limit: number): PushfleetError {
  return new PushfleetError(
    'quota_subscriptions',
    `The namespace has ${held} subscriptions, and ${limit} is the most it may have; end some, or ask the operator for more.`,
    { detail: { limit, held } },
  );
}
