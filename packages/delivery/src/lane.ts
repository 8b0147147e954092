import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Record } from './entry.ts';
import { Gate, type GateLimits, type Terms } from './gate.ts';
import type { Owed } from './job.ts';
import { keyOf, type SubscriptionRef, slotOf } from './place.ts';

/** A publication on its way to one receiver. */
export interface Delivery {
  readonly lane: Lane;
  /** The receiver's name for it. */
  readonly id: string;
  readonly owed: Owed;
  /** Attempts made before this one. */
  attempts: number;
  record: Record;
  /** When it came here or set out, Unix time in milliseconds. */
  since: number;
  /** Under way while its record changes place. */
  moving: Promise<void> | undefined;
}

/**
 * What one receiver is owed, as far as its worker has it in mind: what is on its way, what waits for a permit, and
 * whether more lies on its shelf. No I/O.
 */
export class Lane {
  readonly ref: SubscriptionRef;
  readonly key: string;
  readonly slot: number;
  /** Of the receiver as it was read last. */
  gate: Gate;
  /** Whom `gate` and `failingSince` are about. */
  receiver: string | undefined;
  /** As it was read last; undefined until it was, and after it changed. */
  subscription: Subscription | undefined;
  terms: Terms | undefined;
  /** Rises when the subscription changes: what was asked before is out of date. */
  changes = 0;
  /** There is no such subscription. */
  ended = false;
  /** What was kept of it is removed. */
  cleared = false;
  /** The receiver has said that it wants nothing any more; the registry is being told. */
  gone = false;
  /** The registry is being told to stop it. */
  stopping = false;
  /** On their way, by id. */
  readonly active = new Map<string, Delivery>();
  /** Come by the queue. */
  readonly waiting = new Set<Delivery>();
  /** Read from the shelf. */
  readonly page: Delivery[] = [];
  /** The shelf has entries behind `readTo`. */
  behind = false;
  readTo = 0;
  /** Entries on the shelf, as far as known. */
  shelved = 0;
  /** They are being counted. */
  counting = false;
  /** A read of record or shelf is under way. */
  busy = false;
  /** How much of what became of its deliveries is not on record yet. */
  writing = 0;
  /** Of an ordered lane: its first delivery has failed, and waits for its next attempt. */
  headWaits = false;
  /** Attempts that were made of the first delivery of an ordered lane. */
  headAttempts = 0;
  /** When deliveries began to fail, Unix time in milliseconds. */
  failingSince: number | undefined;
  /** Calls off the timer that will look at it again. */
  wake: (() => void) | undefined;

  constructor(ref: SubscriptionRef, limits: GateLimits) {
    this.ref = ref;
    this.key = keyOf(ref);
    this.slot = slotOf(ref);
    this.gate = new Gate(limits);
  }

  /** The delivery whose turn is next: what lies longest on the shelf before what has just come. */
  get next(): Delivery | undefined {
    const [first] = this.page;
    if (first !== undefined) return first;
    const [waiting] = this.waiting;
    return waiting;
  }

  /** Takes `next` out of what waits. */
  take(delivery: Delivery): void {
    if (this.page[0] === delivery) this.page.shift();
    else this.waiting.delete(delivery);
  }

  /** What is known of a receiver is forgotten where it is another one now: `receiver` names it. */
  meet(receiver: string, limits: GateLimits): void {
    if (this.receiver !== undefined && this.receiver !== receiver) {
      this.gate = new Gate(limits);
      this.failingSince = undefined;
    }
    this.receiver = receiver;
  }

  /** Counts work that writes something down for as long as it takes. */
  async note(work: Promise<unknown>): Promise<void> {
    this.writing++;
    try {
      await work;
    } finally {
      this.writing--;
    }
  }

  /** Nothing here is worth remembering. */
  get idle(): boolean {
    return (
      this.active.size === 0 &&
      this.waiting.size === 0 &&
      this.writing === 0 &&
      this.page.length === 0 &&
      !(this.behind || this.busy || this.headWaits) &&
      this.gate.failures === 0
    );
  }
}
