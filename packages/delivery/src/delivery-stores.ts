import type { Ledger, Queue, Shelf, Stores } from '@pushfleet/bus';
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
  /** The newest number that each receiver was given that counts what it gets, by `keyOf`. */
  readonly sequences: Ledger;
  /** Nobody looks after its subscriptions: neither attempts nor dead letters are kept, and nothing is numbered. */
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
    sequences: stores.ledger('sequences'),
  };
}

/** Removes all that is kept of a subscription that has ended. @throws PushfleetError `unavailable` */
export async function forgetAll(stores: DeliveryStores, ref: SubscriptionRef): Promise<void> {
  const key = keyOf(ref);
  await Promise.all([
    stores.queue.cancel(slotOf(ref), key),
    stores.lanes.clear(laneKey(stores.kind, ref)),
    ...(stores.ownerless ? [] : [stores.dead.clear(key), stores.attempts.clear(key), uncount(stores, key)]),
  ]);
}

/** Most have no number, and a deletion is an entry that is kept for a day. */
async function uncount({ sequences }: DeliveryStores, key: string): Promise<void> {
  if ((await sequences.get(key)) !== undefined) await sequences.delete(key);
}
