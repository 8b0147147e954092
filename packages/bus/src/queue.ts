/** Into how many slots every queue is divided: the most instances that can share the work of one. */
export const queueSlots = 64;

/** A piece of work for whoever owns its slot. */
export interface QueueEntry {
  /** 0 to `queueSlots` - 1. */
  readonly slot: number;
  /** An entry whose id was put within the broker's duplicate window is not stored again. 1 to 64 letters, digits, `_` or `-`. */
  readonly id: string;
  readonly body: Uint8Array;
}

/** A piece of work that waits for its time. */
export interface Appointment {
  readonly slot: number;
  /** Levels separated by `/`. Of one slot and key there is one appointment at most: a new one replaces the old. */
  readonly key: string;
  /** When it is put into its slot, Unix time in milliseconds; never before, and soon after. */
  readonly at: number;
  readonly body: Uint8Array;
}

/** An entry in the hands of its slot's owner: it comes back, to this one or the next, unless it is done in time. */
export interface Taken {
  readonly body: Uint8Array;
  /** When it was stored, Unix time in milliseconds. */
  readonly time: number;
  /** It was in somebody's hands before, as far as the broker remembers: one that was killed may not. */
  readonly again: boolean;
  /** Nothing was handed out of its slot before. */
  readonly first: boolean;
  /** It is never handed out again. Harmless to call twice. */
  done(): void;
  /** It is handed out again at once, to whoever owns the slot. */
  back(): void;
  /** It stays in hand for another term. */
  extend(): void;
}

/**
 * Durable work, in slots: each slot is worked on by one owner at a time. Entries of a slot are handed out in the
 * order in which they were put; what its owner had in hand when it died comes back behind later ones.
 */
export interface Queue {
  /**
   * Settles once all are stored, in this order.
   *
   * @throws PushfleetError `unavailable`, `storage_full`; then some may be stored: put all of them again
   */
  put(entries: readonly QueueEntry[]): Promise<void>;
  /** Settles once all are stored. @throws PushfleetError as `put` */
  later(appointments: readonly Appointment[]): Promise<void>;
  /** Calls off the appointments whose key is `key` or lies below it. What came due before is in the slot. */
  cancel(slot: number, key: string): Promise<void>;
  /** How many appointments there are whose key is `key` or lies below it. */
  appointments(slot: number, key: string): Promise<number>;
  /**
   * Hands out the entries of a slot, at most `most` in hand at once. While another process owns the slot, nothing
   * comes; the slot passes on when its owner stops, or some seconds after it died or was held up. `on` must not throw.
   *
   * @param onLost the slot may have passed on: until something is handed out again it is another's
   */
  own(
    slot: number,
    most: number,
    on: (taken: Taken) => void,
    onLost?: () => void,
  ): Promise<{ stop(): Promise<void> }>;
  /** So long after its slot has passed on an owner that was held up knows at the latest, in milliseconds. */
  readonly lapseMs: number;
}
