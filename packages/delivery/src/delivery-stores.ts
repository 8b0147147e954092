import type { Queue, Shelf, Stores } from '@pushfleet/bus';
import { keyOf, laneKey, type SubscriptionRef, slotOf } from './place.ts';

/** Where the deliveries of one kind of receiver are on record, beside what they deliver. */
export interface DeliveryStores {
  /** Names the queue, and stands before the keys of lanes: `webhook`. */
  readonly kind: string;
  readonly queue: Queue;
  readonly lanes: Shelf;
  readonly dead: Shelf;
  readonly attempts: Shelf;
  /** What deliveries refer to. */
  readonly owedOn: Shelf;
  /** Nobody looks after its subscriptions: neither attempts nor dead letters are kept. */
  readonly ownerless: boolean;
}

/** @param ownerless strangers' deliveries lie on shelves of their own, so that they leave owners theirs */
export function deliveryStores(kind: string, stores: Stores, ownerless: boolean): DeliveryStores {
  const own = (name: string): Shelf => stores.shelf(ownerless ? `${kind}_${name}` : name);
  return {
    ...{ kind, ownerless },
    queue: stores.queue(kind),
    lanes: own('lanes'),
    owedOn: own('owed'),
    dead: stores.shelf('dead'),
    attempts: stores.shelf('attempts'),
  };
}

/** Removes all that is kept of a subscription that has ended. @throws PushfleetError `unavailable` */
export async function forgetAll(stores: DeliveryStores, ref: SubscriptionRef): Promise<void> {
  await Promise.all([
    stores.queue.cancel(slotOf(ref), keyOf(ref)),
    stores.lanes.clear(laneKey(stores.kind, ref)),
    ...(stores.ownerless ? [] : [stores.dead.clear(keyOf(ref)), stores.attempts.clear(keyOf(ref))]),
  ]);
}
