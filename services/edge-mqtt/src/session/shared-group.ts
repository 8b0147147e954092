import type { Cursor, Publication, TopicFilter } from '@pushfleet/core';
import type { CloseReason, Delivery, Feed, Hub } from '@pushfleet/hub';

/** What a group has to give: a delivery of its feed, or what another member left unacknowledged. */
export interface Work {
  readonly publication: Publication;
  /** The result of `encoder`, computed once for all who are given it. */
  encoded<T>(encoder: (one: Pick<Delivery, 'publication'>) => T): T;
}

/** A connection whose session is subscribed, as its group sees it. */
export interface SharedMember {
  /** How many publications it takes at this moment. */
  readonly credit: number;
  /** Whether the publication is not too large for its client. */
  fits(share: string, work: Work): boolean;
  /** Sends them: at most `credit` of them, which all fit. */
  give(share: string, work: readonly Work[]): void;
  /** The group's supply broke. */
  lost(reason: CloseReason): void;
}

export interface SharedGroupOptions {
  /** `$share/`, the ShareName and the filter. */
  readonly name: string;
  readonly filter: TopicFilter;
  readonly hub: Pick<Hub, 'open'>;
  readonly outbox: { readonly count: number; readonly bytes: number };
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/** What one member is given in one go. */
interface Hand {
  readonly work: Work[];
  bytes: number;
}

// What one write carries at most: see `Outflow`.
const handBytes = 64 * 1_024;

/**
 * A shared subscription (MQTT 5 section 4.8.2): sessions that share one feed, of which each publication goes to one.
 *
 * Nothing is taken from the feed before a member is there that takes it at once. While none is, what comes stays in the
 * log: the feed's outbox fills, and rewinds.
 */
export class SharedGroup {
  /** Sessions that are subscribed, with and without a connection. */
  sessions = 0;
  readonly name: string;
  readonly #o: SharedGroupOptions;
  #feed: Feed | undefined;
  /** Where the supply goes on, while there is no feed. */
  #cursor: Cursor | undefined;
  #opening: Promise<void> | undefined;
  readonly #members = new Set<SharedMember>();
  /** Members that may have credit, whose turn comes first in front. Who is found without comes back by `offer`. */
  readonly #ready = new Set<SharedMember>();
  /** Was given to a member whose session ended without acknowledging it. */
  readonly #returned: Publication[] = [];

  constructor(options: SharedGroupOptions) {
    this.name = options.name;
    this.#o = options;
  }

  /** Resolves once all that is stored from then on comes. @throws PushfleetError as feeds do */
  open(): Promise<void> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  /** A member's connection is there. */
  attach(member: SharedMember): void {
    this.#members.add(member);
    this.offer(member);
  }

  detach(member: SharedMember): void {
    this.#members.delete(member);
    this.#ready.delete(member);
  }

  /** The member may have credit again. */
  offer(member: SharedMember): void {
    if (!this.#members.has(member)) return;
    this.#ready.add(member);
    this.#pump();
  }

  /** Nobody acknowledged them, and another member may have them. */
  giveBack(publications: readonly Publication[]): void {
    this.#returned.push(...publications);
    this.#pump();
  }

  close(): void {
    this.#feed?.close();
  }

  async #open(): Promise<void> {
    const feed = this.#o.hub.open({
      overflow: 'rewind',
      ...this.#o.outbox,
      onReadable: () => this.#pump(),
      onClose: (reason) => this.#lost(reason),
    });
    const after = this.#cursor;
    try {
      this.#feed = feed;
      await feed.add([this.#o.filter], after === undefined ? {} : { after });
    } catch (error) {
      this.#feed = undefined;
      feed.close();
      throw error;
    }
  }

  /** Members come back to a new feed, which goes on where this one ended. */
  #lost(reason: CloseReason): void {
    this.#cursor = this.#feed?.cursor;
    this.#feed = undefined;
    this.#opening = undefined;
    for (const member of [...this.#members]) member.lost(reason);
  }

  #pump(): void {
    for (let hands = this.#deal(); hands.size > 0; hands = this.#deal()) {
      for (const [member, { work }] of hands) {
        member.give(this.name, work);
        if (this.#members.has(member)) this.#ready.add(member);
      }
    }
  }

  /** One to each in turn, while there is credit and something to give. */
  #deal(): Map<SharedMember, Hand> {
    const hands = new Map<SharedMember, Hand>();
    const hasRoom = (member: SharedMember): boolean => {
      const { work, bytes } = hands.get(member) ?? nothing;
      return bytes < handBytes && work.length < member.credit;
    };
    while (this.#anyReady(hasRoom)) {
      const work = this.#take();
      if (work === undefined) break;
      const member = this.#taker(work, hasRoom);
      // [MQTT-3.1.2-25] and what follows it: what none of those who could have it takes counts as delivered.
      if (member === undefined) continue;
      const hand = hands.get(member) ?? { work: [], bytes: 0 };
      hand.work.push(work);
      hand.bytes += work.publication.payload.length;
      hands.set(member, hand);
    }
    return hands;
  }

  /** Whether one has room: the first who has is in front afterwards, and who came before it is out. */
  #anyReady(hasRoom: (member: SharedMember) => boolean): boolean {
    for (const member of this.#ready) {
      if (hasRoom(member)) return true;
      this.#ready.delete(member);
    }
    return false;
  }

  /** Whose turn it is, and its next one comes after everybody else's. */
  #taker(work: Work, hasRoom: (member: SharedMember) => boolean): SharedMember | undefined {
    for (const member of this.#ready) {
      if (!hasRoom(member) || !member.fits(this.name, work)) continue;
      this.#ready.delete(member);
      this.#ready.add(member);
      return member;
    }
    return undefined;
  }

  #take(): Work | undefined {
    for (let one = this.#returned.shift(); one !== undefined; one = this.#returned.shift()) {
      if (one.expiresAt === undefined || one.expiresAt > this.#o.now()) return returned(one);
    }
    for (const item of this.#feed?.take(1, handBytes) ?? [])
      if (item.kind === 'publication') return item.value;
    return undefined;
  }
}

const nothing: Hand = { work: [], bytes: 0 };

const returned = (publication: Publication): Work => ({
  publication,
  encoded: (encoder) => encoder({ publication }),
});
