import type { Namespace } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';
import { type Books, type Ending, endingOf, type Leases } from './leases.ts';
import type { Members } from './members.ts';

export interface CaretakerOptions {
  readonly leases: Leases;
  readonly members: Pick<Members, 'tend' | 'release' | 'topics'>;
  /** The members of an instance that died are gone after this time, in milliseconds. */
  readonly expiryMs: number;
  /** Changes of this namespace wait to be published. */
  onWaiting(namespace: Namespace): void;
  readonly log: Log;
}

/** Namespaces that are looked after at the same time. */
const atOnce = 50;
/** A namespace that was registered so long ago and has nothing left is forgotten, in milliseconds. */
const idleMs = 3_600_000;

/** How often one looks, in milliseconds; and for how many turns in which nothing moved a lease counts as live. */
function turnsOf(expiryMs: number): { readonly everyMs: number; readonly patience: number } {
  const everyMs = Math.min(1_000, expiryMs / 15);
  // An instance that was cut off without a word is noticed by its registry within a third of the time; see `heartbeats`.
  return { everyMs, patience: Math.floor((expiryMs * 2) / 3 / everyMs) - 3 };
}

/**
 * Ends the leases of the dead, and lets leave what hangs on them and what has outlived its time. Every instance does
 * it: each step is one script, so that nothing leaves twice. Time is counted in this instance's own turns, not read
 * from a clock, and a turn without Redis is none: after an outage nobody is dead because nobody could renew.
 */
export class Caretaker {
  readonly counts = { lapsed: 0, expired: 0, lost: 0 };
  /** As of the last turn. */
  sizes = { leases: 0, namespaces: 0, waiting: 0 };
  readonly #options: CaretakerOptions;
  readonly #everyMs: number;
  readonly #patience: number;
  /** For how many turns each lease has been as it is; and each holder without a lease. */
  readonly #still = new Map<string, { readonly seen: string; turns: number }>();
  readonly #orphans = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: CaretakerOptions) {
    this.#options = options;
    ({ everyMs: this.#everyMs, patience: this.#patience } = turnsOf(options.expiryMs));
  }

  start(): void {
    this.#timer = setTimeout(() => {
      this.#turn = this.#look()
        .catch((error: unknown) =>
          this.#options.log.debug({ err: error }, 'presence could not be looked after'),
        )
        .then(() => {
          if (!this.#closed) this.start();
        });
    }, this.#everyMs);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#turn;
  }

  async #look(): Promise<void> {
    const books = await this.#options.leases.read();
    await this.#endDead(books.leases);
    // Of a namespace that cannot be read now nothing is concluded; the others are looked after.
    const found = new Map<Namespace, readonly string[]>();
    const seen = { waiting: 0 };
    const all = [...books.namespaces];
    for (let from = 0; from < all.length; from += atOnce) {
      await Promise.allSettled(
        all.slice(from, from + atOnce).map(async ([namespace, registered]) => {
          const holders = await this.#tend(namespace, registered, seen);
          found.set(namespace, holders);
        }),
      );
    }
    this.sizes = { leases: books.leases.size, namespaces: all.length, waiting: seen.waiting };
    await this.#release(books, found);
  }

  /** Ends the leases that were not renewed for too long. */
  async #endDead(leases: ReadonlyMap<string, string>): Promise<void> {
    for (const id of this.#still.keys()) if (!leases.has(id)) this.#still.delete(id);
    for (const [id, held] of leases) {
      const still = this.#still.get(id);
      if (still?.seen !== held) this.#still.set(id, { seen: held, turns: 0 });
      else if (++still.turns >= this.#patience && endingOf(held) === undefined) await this.#end(id, held);
    }
  }

  async #end(lease: string, seen: string): Promise<void> {
    if (!(await this.#options.leases.end(lease, 'expired', seen))) return;
    this.counts.lapsed++;
    this.#options.log.warn(
      { lease, service: seen.slice(seen.indexOf(' ') + 1) },
      'the lease of an instance has lapsed; its members leave',
    );
  }

  /** Says under which leases something was entered. */
  async #tend(
    namespace: Namespace,
    registered: string,
    seen: { waiting: number },
  ): Promise<readonly string[]> {
    const { leases, members, onWaiting, log } = this.#options;
    const [epoch, at] = registered.split(' ') as [string, string];
    const tended = await members.tend(namespace);
    this.counts.expired += tended.expired;
    seen.waiting += tended.waiting;
    if (tended.waiting > 0) onWaiting(namespace);
    if (tended.epoch !== epoch) {
      this.counts.lost++;
      log.warn({ namespace }, 'Redis has lost the members of a namespace; all edges enter again');
      await leases.drop(namespace, registered, true);
    } else if (tended.holders.length === 0 && tended.waiting === 0 && Date.now() - Number(at) > idleMs) {
      const { members: left } = await members.topics(namespace, '', 1);
      if (left === 0) await leases.drop(namespace, registered, false);
    }
    return tended.holders;
  }

  async #release({ namespaces }: Books, found: ReadonlyMap<Namespace, readonly string[]>): Promise<void> {
    // Read again: a lease that began meanwhile is in no older copy, and one that ended is released at once.
    const { leases } = await this.#options.leases.read();
    const holding = new Set<string>();
    for (const [namespace, holders] of found) {
      for (const lease of holders) {
        holding.add(lease);
        const ending = this.#endingOf(lease, leases.get(lease));
        if (ending !== undefined) await this.#releaseIn(namespace, lease, ending);
      }
    }
    for (const lease of this.#orphans.keys()) if (!holding.has(lease)) this.#orphans.delete(lease);
    if (found.size < namespaces.size) return;
    for (const [lease, held] of leases) {
      const ending = endingOf(held);
      if (ending !== undefined && !holding.has(lease)) await this.#options.leases.forget(lease, ending);
    }
  }

  /** A lease of which nobody knows, since Redis lost it, counts as live for as long as one that is not renewed. */
  #endingOf(lease: string, held: string | undefined): Ending | undefined {
    if (held !== undefined) {
      this.#orphans.delete(lease);
      return endingOf(held);
    }
    const turns = (this.#orphans.get(lease) ?? 0) + 1;
    this.#orphans.set(lease, turns);
    return turns > this.#patience ? 'expired' : undefined;
  }

  /** Releases at once what hangs on a lease that has just ended. */
  async releaseAll(lease: string, ending: Ending): Promise<void> {
    const { namespaces } = await this.#options.leases.read();
    for (const namespace of namespaces.keys()) await this.#releaseIn(namespace, lease, ending);
    await this.#options.leases.forget(lease, ending);
  }

  async #releaseIn(namespace: Namespace, lease: string, ending: Ending): Promise<void> {
    const count = await this.#options.members.release(namespace, lease, ending);
    this.counts.expired += count;
    if (count > 0) this.#options.onWaiting(namespace);
  }
}
