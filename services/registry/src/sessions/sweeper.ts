import type { Fleet, Log } from '@pushfleet/runtime';
import { Lock } from '../index/lock.ts';
import type { Store } from '../redis.ts';
import type { Ending } from './ending.ts';
import type { Due } from './index.ts';
import { dueSets, sweepLock } from './keys.ts';
import type { Parts } from './parts.ts';
import { dueAt, groupsOf, type Held, keyOf, type Ref } from './record.ts';

export interface SweeperOptions {
  readonly store: Store;
  readonly parts: Parts;
  readonly ending: Ending;
  readonly fleet: Pick<Fleet, 'instances' | 'steady'>;
  /** Turns in which nothing was heard of an instance that is dead then. */
  readonly deadTurns: number;
  /** How long a turn is, in milliseconds. */
  readonly everyMs: number;
  readonly log: Log;
}

/** Sessions that are read at once, and how many of them are worked on at the same time. */
const chunk = 500;
const atOnce = 50;
/** Groups of which a turn finds out whether they have their members. */
const doubts = 100;
/** What is due and could not be done is tried again after this time, in milliseconds. */
const retryMs = 5_000;
/** Who has heard itself so often in a row has heard everybody. */
const settledTurns = 2;
const always = Number.MAX_SAFE_INTEGER;

/**
 * Does what is due: wills, ends, and the release of what dead instances owned. Whoever has the lock does; two would do
 * it, too, but each thing once, since each is a compare-and-set. Time in which an instance is not heard of is counted in turns in
 * which this one heard itself: who is cut off takes nobody for dead.
 */
export class Sweeper {
  /** Turns in which this one had the lock. */
  readonly counts = { turns: 0 };
  /** Sessions of which something was due in the last turn that had the lock. */
  due = 0;
  readonly #o: SweeperOptions;
  readonly #absent = new Map<string, number>();
  #lock: Lock | undefined;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SweeperOptions) {
    this.#o = options;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      this.#turn = this.#sweep()
        .catch((error: unknown) => this.#o.log.debug({ err: error }, 'sessions could not be looked after'))
        .then(() => {
          if (!this.#closed) this.start();
        });
    }, this.#o.everyMs);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#turn;
    await this.#lock?.give();
  }

  async #sweep(): Promise<void> {
    if (!(await this.#leads())) {
      this.due = 0;
      return this.#absent.clear();
    }
    this.counts.turns++;
    let due = 0;
    for (let set = 0; set < dueSets; set++) due += await this.#sweepDue(set);
    const owners = await this.#o.parts.index.owners();
    this.due = due;
    for (const instance of this.#dead(owners)) await this.#bury(instance);
    await this.#o.parts.groups.settle((ref, groupId) => this.#isMember(ref, groupId), doubts);
  }

  async #leads(): Promise<boolean> {
    if (this.#lock !== undefined && !(await this.#lock.keep())) this.#lock = undefined;
    this.#lock ??= await Lock.take(this.#o.store, sweepLock);
    return this.#lock !== undefined;
  }

  /** Others may go on where it was lost; and there is an end to it when this instance stops. */
  async #mayGoOn(): Promise<boolean> {
    return !this.#closed && (await this.#lock?.keep()) === true;
  }

  /** Says how much was due. */
  async #sweepDue(set: number): Promise<number> {
    const { index, now } = this.#o.parts;
    for (let count = 0; ; ) {
      const due = await index.dueBy(set, now(), chunk);
      count += due.length;
      await each(due, (one) => this.#settle(one));
      if (due.length < chunk || !(await this.#mayGoOn())) return count;
    }
  }

  async #settle(due: Due): Promise<void> {
    const { index, ledger, log, ...parts } = this.#o.parts;
    const { ending } = this.#o;
    try {
      const held = await ledger.get(due.ref);
      if (held === undefined) await ending.clear(due.ref);
      const settled =
        held === undefined || held.record.owner !== undefined ? held : await ending.settle(held);
      if (settled === 'changed') return;
      // Who created it may have died before it was entered.
      if (held?.record.owner !== undefined) await index.enter(held);
      await index.next(due, nextOf(settled));
      // Who released it meanwhile may have found the hint that has just been moved.
      const now = await ledger.get(due.ref);
      if (now === undefined && held?.record.owner !== undefined) await ending.unname(keyOf(held.record));
      const next = nextOf(now);
      if (next !== undefined) await index.due(due.ref, next);
    } catch (error) {
      log.debug({ err: error }, 'what is due of a session has to wait');
      await index.next(due, parts.now() + retryMs);
    }
  }

  #dead(owners: readonly string[]): readonly string[] {
    const { fleet, deadTurns } = this.#o;
    const alive = new Set(fleet.instances().map(({ instance }) => instance));
    const gone = owners.filter((owner) => !alive.has(owner));
    for (const owner of this.#absent.keys()) if (!gone.includes(owner)) this.#absent.delete(owner);
    if (fleet.steady < settledTurns) return [];
    for (const owner of gone) this.#absent.set(owner, (this.#absent.get(owner) ?? 0) + 1);
    return gone.filter((owner) => (this.#absent.get(owner) ?? 0) > deadTurns);
  }

  /** Releases what a dead instance owned. */
  async #bury(instance: string): Promise<void> {
    const { index } = this.#o.parts;
    let released = 0;
    for (;;) {
      const refs = await index.owned(instance, chunk);
      let done = 0;
      await each(refs, async (ref) => {
        if (await this.#free(ref, instance)) done++;
      });
      released += done;
      if (refs.length === 0) await index.forgetOwner(instance);
      if (refs.length < chunk || done === 0 || !(await this.#mayGoOn())) break;
    }
    if (released === 0) return;
    this.#o.log.warn({ instance, sessions: released }, 'an instance is gone; its sessions were released');
  }

  /** Says whether the instance does not own it any more. */
  async #free(ref: Ref, instance: string): Promise<boolean> {
    const { index, ledger, hot, log } = this.#o.parts;
    try {
      const held = await ledger.get(ref);
      if (held?.record.owner?.instanceId !== instance) {
        if (held !== undefined) await hot.fence(held);
      } else {
        const orphan = await this.#o.ending.orphan(held);
        if (orphan === undefined) return false;
        await this.#o.ending.settle(orphan).catch(() => {}); // it is due, and tried again
      }
      await index.disown(ref, instance, always);
      return true;
    } catch (error) {
      log.debug({ err: error }, 'a session of a dead instance could not be released');
      return false;
    }
  }

  async #isMember(ref: Ref, groupId: string): Promise<boolean> {
    const held = await this.#o.parts.ledger.get(ref);
    return held !== undefined && groupsOf(held.record).some((filter) => filter.groupId === groupId);
  }
}

const nextOf = (held: Held | 'ended' | undefined): number | undefined =>
  typeof held === 'object' ? dueAt(held.record) : undefined;

/** A few at a time. */
async function each<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
  const goOn = async (): Promise<void> => {
    for (const one of left) await work(one);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, all.length) }, goOn));
}
