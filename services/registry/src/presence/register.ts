import { type Backbone, type Member, type Namespace, PushfleetError } from '@pushfleet/core';
import type { Log, Part, Policies } from '@pushfleet/runtime';
import type { Store } from '../redis.ts';
import { Announcer } from './announcer.ts';
import { Caretaker } from './caretaker.ts';
import type { MemberEntry, MemberKey } from './check-entry.ts';
import { Holding } from './holding.ts';
import { Leases } from './leases.ts';
import { type ListQuestion, type MemberLimits, type MemberList, Members, type Refused } from './members.ts';
import { Watching } from './watching.ts';

export interface PresenceOptions {
  readonly store: Store;
  readonly backbone: Pick<Backbone, 'bus'>;
  readonly policies: Pick<Policies, 'of'>;
  readonly limits: MemberLimits & {
    /** Most watches of this instance. */
    readonly watches: number;
    /** Most lists of this instance under way. */
    readonly lists: number;
  };
  /** The members of an instance that died are gone after this time, in milliseconds. */
  readonly expiryMs: number;
  readonly log: Log;
}

/** Who is on which topic: the members in Redis, the leases they hang on, and their changes on their way to the log. */
export class PresenceRegister implements Part {
  readonly name = 'presence';
  readonly counts = { put: 0, refused: 0, left: 0 };
  readonly holding: Holding;
  readonly announcer: Announcer;
  readonly caretaker: Caretaker;
  readonly watching: Watching;
  readonly #leases: Leases;
  readonly #members: Members;
  readonly #mostLists: number;
  #lists = 0;

  constructor({ store, backbone, policies, limits, expiryMs, log }: PresenceOptions) {
    this.#leases = new Leases(store);
    this.#members = new Members(store, this.#leases, limits);
    this.#mostLists = limits.lists;
    this.announcer = new Announcer({ store, backbone, policies, log });
    this.caretaker = new Caretaker({
      ...{ leases: this.#leases, members: this.#members, expiryMs, log },
      onWaiting: (namespace) => this.announcer.kick(namespace),
    });
    this.holding = new Holding({ leases: this.#leases, expiryMs, log });
    this.watching = new Watching({ backbone, members: this.#members, most: limits.watches });
    // A replica that took over may lack the newest; what its edges hold is entered again.
    store.onReturn(() => this.holding.endAll());
  }

  async start(): Promise<void> {
    this.caretaker.start();
  }

  async drain(): Promise<void> {}

  async close(): Promise<void> {
    this.holding.close();
    await this.caretaker.close();
    await this.announcer.close();
  }

  /**
   * Enters or updates; answers stand in the order of the entries.
   *
   * @throws PushfleetError `precondition_failed` where the lease is not held, `unavailable` without Redis
   */
  async put(lease: string, entries: readonly MemberEntry[]): Promise<(Member | Refused)[]> {
    const answers: (Member | Refused)[] = new Array(entries.length);
    await Promise.all(
      Array.from(byNamespace(entries), async ([namespace, places]) => {
        const some = places.map((place) => entries[place] as MemberEntry);
        const found = await this.#members
          .put(lease, namespace, some)
          .finally(() => this.announcer.kick(namespace));
        for (const [index, answer] of found.entries()) answers[places[index] as number] = answer;
      }),
    );
    for (const answer of answers) this.counts['refused' in answer ? 'refused' : 'put']++;
    return answers;
  }

  /** @throws PushfleetError `unavailable` without Redis */
  async leave(lease: string, keys: readonly MemberKey[], lingerMs: number): Promise<void> {
    await Promise.all(
      Array.from(byNamespace(keys), async ([namespace, places]) => {
        const some = places.map((place) => keys[place] as MemberKey);
        const leaving = this.#members.leave(lease, namespace, some, lingerMs);
        this.counts.left += await leaving.finally(() => this.announcer.kick(namespace));
      }),
    );
  }

  /**
   * A page, which ends early where its members are large.
   *
   * @throws PushfleetError `rate_limited` where this instance has its most lists under way, `request_invalid` for `after`,
   *   `unavailable` without Redis
   */
  async list(question: ListQuestion): Promise<MemberList> {
    if (this.#lists >= this.#mostLists) throw this.#tooManyLists();
    this.#lists++;
    try {
      return await this.#members.list(question);
    } finally {
      this.#lists--;
    }
  }

  #tooManyLists(): PushfleetError {
    const limit = this.#mostLists;
    return new PushfleetError(
      'rate_limited',
      `This instance answers its most, ${limit} lists of presence at a time; try again shortly.`,
      { detail: { limit }, retryAfterMs: 1_000 },
    );
  }

  /** @throws PushfleetError `unavailable` without Redis */
  async end(lease: string): Promise<void> {
    await this.#leases.end(lease, 'left');
    // Also where it is unknown: something may hang on it that Redis kept.
    await this.caretaker.releaseAll(lease, 'left');
  }
}

function byNamespace(keys: readonly MemberKey[]): Map<Namespace, number[]> {
  const found = new Map<Namespace, number[]>();
  for (const [place, { namespace }] of keys.entries()) {
    const places = found.get(namespace);
    if (places === undefined) found.set(namespace, [place]);
    else places.push(place);
  }
  return found;
}
