import type { Member, PushfleetError } from '@pushfleet/core';
import type { PresenceEntry, PresenceKey } from '@pushfleet/runtime';

/** Who waits for the answer to a step. */
export interface Waiter {
  /** By `performance.now()`. */
  readonly until: number;
  resolve(member: Member | undefined): void;
  reject(error: PushfleetError): void;
}

/** What is to be said of a member. */
export type Step = {
  readonly waiters: Waiter[];
  /** Nobody asked: it is entered again under another lease. */
  readonly again: boolean;
} & ({ readonly kind: 'put'; entry: PresenceEntry } | { readonly kind: 'leave'; readonly lingerMs: number });

/** A member as the registry knows it. */
export interface Entered {
  readonly entry: PresenceEntry;
  /** When it entered first, Unix time in milliseconds. */
  readonly since: number;
  /** When it leaves by itself, by `performance.now()`. */
  readonly until: number;
}

/** A member of this edge, from its first entry to its leave. */
export interface Tracked {
  readonly key: PresenceKey;
  readonly name: string;
  connection: string;
  /** Undefined until the registry has answered once. */
  entered: Entered | undefined;
  /** What is to be said, one after the other; the first may be on its way. */
  readonly steps: Step[];
}

export const putting = (entry: PresenceEntry, again = false): Step => ({
  kind: 'put',
  entry,
  waiters: [],
  again,
});
export const leaving = (lingerMs: number): Step => ({ kind: 'leave', lingerMs, waiters: [], again: false });

export function enteredOf(entry: PresenceEntry, { since }: Member): Entered {
  const until = entry.ttlMs > 0 ? performance.now() + entry.ttlMs : Number.POSITIVE_INFINITY;
  return { entry: { ...entry, since: 0 }, since, until };
}

const nameOf = ({ namespace, topic, subject, client }: PresenceKey): string =>
  JSON.stringify([namespace, topic, subject, client]);

/** The members of this edge, by their names and by the connections that they end with. */
export class PresenceBook {
  readonly #members = new Map<string, Tracked>();
  readonly #connections = new Map<string, Set<Tracked>>();
  /** Those that leave by themselves. */
  readonly #fleeting = new Set<Tracked>();
  /** Those of which something is to be said, the longest waiting first. */
  readonly dirty = new Set<Tracked>();

  get size(): number {
    return this.#members.size;
  }

  all(): Iterable<Tracked> {
    return this.#members.values();
  }

  connections(): Iterable<string> {
    return this.#connections.keys();
  }

  of(connection: string): ReadonlySet<Tracked> {
    return this.#connections.get(connection) ?? nobody;
  }

  /** A member that entered by this connection. */
  find(key: PresenceKey, connection: string): Tracked | undefined {
    const found = this.#members.get(nameOf(key));
    return found?.connection === connection ? found : undefined;
  }

  /** A member, which ends with this connection from now on. */
  track({ namespace, topic, subject, client }: PresenceKey, connection: string): Tracked {
    const key = { namespace, topic, subject, client };
    const name = nameOf(key);
    let tracked = this.#members.get(name);
    if (tracked === undefined) {
      tracked = { key, name, connection, entered: undefined, steps: [] };
      this.#members.set(name, tracked);
    } else if (tracked.connection !== connection) {
      this.#unlink(tracked);
      tracked.connection = connection;
    }
    const own = this.#connections.get(connection) ?? new Set();
    this.#connections.set(connection, own.add(tracked));
    return tracked;
  }

  /** The registry knows it so from now on. */
  enter(tracked: Tracked, entered: Entered | undefined): void {
    tracked.entered = entered;
    if (entered !== undefined && entered.until < Number.POSITIVE_INFINITY) this.#fleeting.add(tracked);
    else this.#fleeting.delete(tracked);
  }

  /** Forgets a member that is not there, where nothing is to be said of it any more. */
  settle(tracked: Tracked): void {
    if (tracked.steps.length > 0) return;
    this.dirty.delete(tracked);
    if (tracked.entered !== undefined) return;
    this.#unlink(tracked);
    this.#fleeting.delete(tracked);
    this.#members.delete(tracked.name);
  }

  /** Forgets those that the registry has let go by itself. */
  sweep(): void {
    const now = performance.now();
    for (const tracked of this.#fleeting) {
      if ((tracked.entered as Entered).until > now) continue;
      this.enter(tracked, undefined);
      this.settle(tracked);
    }
  }

  #unlink(tracked: Tracked): void {
    const own = this.#connections.get(tracked.connection);
    own?.delete(tracked);
    if (own?.size === 0) this.#connections.delete(tracked.connection);
  }
}

const nobody: ReadonlySet<Tracked> = new Set();
