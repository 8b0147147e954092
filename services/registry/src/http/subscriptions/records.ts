import { PushfleetError } from '@pushfleet/core';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Grant } from '@pushfleet/runtime';
import { isId } from '../../subscriptions/check.ts';
import type { Subscriptions } from '../../subscriptions/store.ts';
import { noSubscription, requireVisible } from './rights.ts';
import type { Amendment } from './settings.ts';

/** A condition on a record's revision, from If-Match (RFC 9110 section 13.1.1); undefined: any. */
export type IfMatch = ReadonlySet<string> | undefined;

/** How often a change is made again because somebody else made one at the same time. */
const mostTries = 8;

/** Webhooks among the subscriptions, as far as the caller may see them. */
export class Records {
  readonly #store: Subscriptions;

  constructor(store: Subscriptions) {
    this.#store = store;
  }

  /** @throws PushfleetError `not_found`, `unavailable` */
  async find(grant: Grant, id: string, withSecrets = false): Promise<Subscription> {
    if (!isId(id)) throw noSubscription();
    const found = await this.#store.get(grant.namespace, id, { withSecrets }).catch(hideOthers);
    if (found.target?.$case !== 'webhook') throw noSubscription();
    requireVisible(grant, found);
    return found;
  }

  /**
   * Changes a subscription by what `decide` makes of it, from the beginning where somebody else changes it meanwhile.
   *
   * @param decide undefined leaves it as it is
   * @throws PushfleetError `not_found`, `precondition_failed`, `conflict`, `unavailable`, and what `decide` throws
   */
  async change(
    grant: Grant,
    id: string,
    ifMatch: IfMatch,
    decide: (held: Subscription) => Amendment | undefined,
  ): Promise<{ readonly before: Subscription; readonly after: Subscription }> {
    for (let left = mostTries; ; left--) {
      const before = await this.find(grant, id);
      requireMatch(ifMatch, before);
      const amendment = decide(before);
      if (amendment === undefined) return { before, after: before };
      try {
        return { before, after: await this.#store.update(amendment.wanted, amendment.paths) };
      } catch (error) {
        if (!isConflict(error) || left <= 1) throw error;
      }
    }
  }

  /** @throws PushfleetError `not_found`, `precondition_failed`, `unavailable` */
  async end(grant: Grant, id: string, ifMatch: IfMatch): Promise<void> {
    for (let left = mostTries; ; left--) {
      const held = await this.find(grant, id);
      requireMatch(ifMatch, held);
      try {
        const condition = ifMatch === undefined ? {} : { ifRevision: Number(held.revision) };
        return await this.#store.delete(grant.namespace, id, { ...condition, reason: 'unsubscribed' });
      } catch (error) {
        if (!isConflict(error) || left <= 1) throw error;
      }
    }
  }
}

export const etagOf = ({ revision }: Subscription): string => `"${revision}"`;

function requireMatch(ifMatch: IfMatch, held: Subscription): void {
  if (ifMatch === undefined || ifMatch.has(etagOf(held))) return;
  throw new PushfleetError(
    'precondition_failed',
    `The subscription was changed; its ETag is ${etagOf(held)} now. Read it again, and change what is there.`,
  );
}

export const isConflict = (error: unknown): boolean =>
  error instanceof PushfleetError && error.code === 'conflict';

/** Whether it is there at all is not told to whoever may not see it. */
function hideOthers(error: unknown): never {
  throw error instanceof PushfleetError && error.code === 'not_found' ? noSubscription() : error;
}
