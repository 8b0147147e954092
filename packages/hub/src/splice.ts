import { matches, type Publication, type PushfleetError, type TopicFilter } from '@pushfleet/core';
import { Envelope, type Parcel, type PublicationParcel, replaced } from './delivery.ts';
import { FilterSet } from './filter-set.ts';
import type { Host } from './host.ts';
import type { Mark } from './mark.ts';
import type { Page } from './page.ts';
import { RetainedWalk } from './retained-walk.ts';
import type { LateEntry } from './ring.ts';
import type { LoggedStretch, Receiver, Subscription } from './subscription.ts';

/** Where a supply begins. */
export interface Beginning {
  readonly at: Mark;
  /** The reader says where it was; else it begins here and now. */
  readonly resumed: boolean;
}

/** The feed as its splice sees it. */
export interface Spliced {
  /** Whether it takes more at the moment. */
  readonly roomy: boolean;
  readonly subscriptions: Iterable<Subscription>;
  /** `before`: the place behind the reader without this one. */
  give(parcel: Parcel, before: Mark): void;
  /** Gives what is behind the feed's place, so that a rewind would not bring it again. */
  giveLate(parcel: Parcel, before: Mark): void;
  wake(): void;
  /** The log answered with an error; the same is asked again after a while, where that can help. */
  fail(error: PushfleetError): void;
  /** Something was lost that cannot be asked for again. */
  lose(error: PushfleetError): void;
}

/**
 * Brings filters of one feed from a place in the past to the live supply: retained publications first, then
 * pages of the log until the hub's ring goes on from there, then the ring; behind its last entry is now. The
 * ring is what holds the live supply meanwhile, so nothing is held per feed; where it has run on too far, more
 * pages are read.
 */
export class Splice<R extends Receiver = Receiver> {
  readonly subscriptions: Subscription<R>[];
  /** Number among the splices of the feed, which have their turns in this order. */
  readonly turn: number;
  /** Waits until the feed is taken from. */
  parked = false;
  readonly #host: Host<unknown>;
  readonly #feed: Spliced;
  readonly #resumed: boolean;
  /** No page was begun yet: where the log goes back behind the reader's own place, so does the reader, once. */
  #fresh: boolean;
  #set: FilterSet;
  /** All that matches up to here was given before the current page or the ring. */
  #at: Mark;
  /** Where the log is read on from: behind `at` where it went back and has not come that far again. */
  #reading: Mark;
  /** Behind the last item given. */
  #progress: Mark;
  /** The ring may not have all that lies behind the reader's place: the log is asked first. */
  #doubtful: boolean;
  /**
   * What was handed over before this splice was made was given by the feed's other filters where they match; what
   * comes after is given by none but this one, in its order.
   */
  readonly #claimed: Mark;
  /** The furthest place that was known when this splice was made. */
  readonly #known: Mark;
  #logged: LoggedStretch | undefined;
  #retained: RetainedWalk | undefined;
  #page: Page | undefined;
  #index = 0;
  /** Number of the next entry of the ring, once it is read from there. */
  #entry: number | undefined;
  /** What came late and is to be found in the ring, or was before the ring ran on. */
  #late: LateEntry[] = [];
  #giveUp: (() => void) | undefined;

  constructor(o: {
    host: Host<unknown>;
    feed: Spliced;
    turn: number;
    subscriptions: Subscription<R>[];
    beginning: Beginning;
    retained: readonly TopicFilter[];
  }) {
    const { at, resumed } = o.beginning;
    this.#host = o.host;
    this.#feed = o.feed;
    this.turn = o.turn;
    this.subscriptions = o.subscriptions;
    this.#set = new FilterSet(o.subscriptions.map(({ filter }) => filter));
    this.#at = at;
    this.#reading = at;
    this.#progress = at;
    this.#doubtful = resumed && o.host.isDoubtful(at);
    this.#claimed = o.host.handed();
    this.#known = o.host.settled();
    this.#resumed = resumed;
    this.#fresh = resumed;
    if (o.retained.length > 0) this.#retained = this.#walk(o.retained);
  }

  /** Everything of its filters up to here was given. */
  get progress(): Mark {
    return this.#progress;
  }

  /** Whether retained publications are still to be given. */
  get retaining(): boolean {
    return this.#retained !== undefined;
  }

  /** Whether a live publication is this one's to give, in its order. */
  claims(publication: Publication): boolean {
    const { topic, shard, sequence } = publication;
    if (sequence <= this.#claimed.at(shard) || this.#set.match(topic).length === 0) return false;
    return !this.#isGivenOtherwise(publication);
  }

  /** Gives what there is and fits; true once the supply is live from here on. */
  pump(): boolean {
    while (this.#feed.roomy) {
      const step = this.#step();
      if (step !== 'more') return step === 'live';
    }
    return false;
  }

  #step(): 'more' | 'wait' | 'live' {
    if (this.#giveUp !== undefined) return 'wait';
    if (this.#retained !== undefined) return this.#giveRetained(this.#retained) ? 'more' : 'wait';
    if (this.subscriptions.length === 0) return 'live';
    if (this.#page !== undefined) this.#givePage(this.#page);
    else if (this.#entry !== undefined) return this.#giveEntry(this.#entry) ? 'live' : 'more';
    else if (this.#ringGoesOn()) this.#enterRing();
    else if (!this.#turnPage()) return 'wait';
    return 'more';
  }

  /** The filters that a publication is owed for which came late, where neither page nor ring will give it. */
  missing(envelope: Envelope): TopicFilter[] {
    const { publication } = envelope;
    if (this.#isAhead(publication)) {
      if (this.#entry !== undefined) this.#late.push({ entry: this.#host.ring.end - 1, envelope });
      return [];
    }
    return this.subscriptions
      .filter((one) => matches(one.filter, publication.topic) && one.isOwed(publication, true))
      .map(({ filter }) => filter);
  }

  /** Whether its page or the ring is yet to bring a publication that nobody else gives. */
  willGive(publication: Publication): boolean {
    if (!this.#isAhead(publication) || this.#set.match(publication.topic).length === 0) return false;
    return !this.#isGivenOtherwise(publication);
  }

  /** The publications it has in memory and has yet to give, which a slow feed puts off. */
  *held(): Iterable<Publication> {
    for (const parcel of this.#page?.parcels.slice(this.#index) ?? [])
      if (parcel.kind === 'publication') yield parcel.value.publication;
    for (const { envelope } of this.#late) yield envelope.publication;
    if (this.#retained !== undefined) yield* this.#retained.held();
  }

  /** Goes on without a filter. */
  drop(subscription: Subscription<R>): void {
    const index = this.subscriptions.indexOf(subscription);
    if (index < 0) return;
    this.subscriptions.splice(index, 1);
    this.#set = new FilterSet(this.subscriptions.map(({ filter }) => filter));
  }

  stop(): void {
    this.#giveUp?.();
    this.#retained?.stop();
  }

  #walk(filters: readonly TopicFilter[]): RetainedWalk {
    return new RetainedWalk({
      reads: this.#host.retained,
      filters,
      at: this.#at,
      wake: () => this.#feed.wake(),
      fail: (error) => this.#feed.fail(error),
      lose: (error) => this.#feed.lose(error),
    });
  }

  /** False where it has to wait. */
  #giveRetained(retained: RetainedWalk): boolean {
    const parcel = retained.next();
    if (parcel === 'wait') return false;
    if (parcel === undefined) this.#retained = undefined;
    else this.#pass(parcel);
    return true;
  }

  #ringGoesOn(): boolean {
    const { ring } = this.#host;
    if (this.#doubtful || !ring.holds(this.#at) || this.#readsOn) return false;
    return this.subscriptions.every(({ filter }) => {
      const since = this.#host.interests.since(filter);
      return since !== undefined && this.#at.reaches(since);
    });
  }

  /**
   * Whether what the ring has next was handed over while something was missing: a client that left in the middle of it
   * would have to go back to where the log is at now, and never get on. What came since this began is not waited for:
   * there is always more of it.
   */
  get #readsOn(): boolean {
    const at = this.#at;
    return at.read && !at.reaches(this.#known) && this.#host.isDoubtful(at.plain);
  }

  #enterRing(): void {
    const { ring } = this.#host;
    this.#entry = ring.first;
    this.#fresh = false;
    this.#logged = undefined;
    this.#late = ring.late.filter(({ envelope: { publication } }) => this.#isAhead(publication));
  }

  /** Gets the next page; false where it has to be read first. */
  #turnPage(): boolean {
    const until = this.#host.settled();
    const stretch = { set: this.#set, after: this.#reading, until };
    const known = this.#host.replays.recall(stretch);
    if (known !== undefined) {
      this.#open(known);
      return true;
    }
    this.#giveUp = this.#host.replays.read(stretch, {
      onPage: (page) => {
        this.#giveUp = undefined;
        this.#open(page);
        this.#feed.wake();
      },
      onError: (error) => {
        this.#giveUp = undefined;
        this.#feed.fail(error);
      },
    });
    return false;
  }

  #open(page: Page): void {
    this.#page = page;
    this.#index = 0;
    if (page.start !== undefined) this.#reading = this.#reading.restarted(page.after, page.start);
    if (this.#fresh) this.#goBack();
    if (this.#logged === undefined) {
      this.#logged = { from: this.#at, to: this.#at, claimed: this.#claimed, turn: this.turn };
      for (const one of this.subscriptions) one.remember(this.#logged);
    }
  }

  #givePage(page: Page): void {
    const parcel = page.parcels[this.#index++];
    if (parcel === undefined) this.#closePage(page);
    else if (parcel.kind === 'gap') this.#pass(parcel);
    else if (this.#isAhead(parcel.value.publication)) this.#give(parcel);
  }

  /** Takes the log at its word: what its page has of the past is the reader's due. */
  #goBack(): void {
    this.#fresh = false;
    // Until it is given something, who is without a position stays where it says: so it is told of a gap again.
    if (this.#at.complete) this.#progress = this.#reading;
    this.#at = this.#reading;
    for (const one of this.subscriptions) one.from = this.#reading;
  }

  #closePage(page: Page): void {
    this.#page = undefined;
    this.#doubtful = false;
    this.#reading = this.#reading.later(page.reached);
    this.#at = this.#at.later(this.#reading);
    this.#progress = this.#at;
    if (this.#logged !== undefined) this.#logged.to = this.#at;
  }

  #isAhead({ shard, sequence }: Publication): boolean {
    return sequence > this.#at.at(shard);
  }

  /** The ring ran on while the feed was slow: all before the next entry was given, but for what came late. */
  #leaveRing(next: number): void {
    for (const { entry, envelope } of this.#late) {
      const { shard, sequence } = envelope.publication;
      const parcel = envelope.parcelFor(this.#set);
      if (entry < next || sequence > this.#progress.at(shard) || parcel === undefined) continue;
      // Its own place says that what is between was given too.
      if (this.#isOwed(parcel)) this.#feed.giveLate(replaced(parcel, this.#progress), this.#progress);
    }
    this.#late = [];
    this.#entry = undefined;
    this.#at = this.#progress;
    this.#reading = this.#at;
  }

  /** Gives one entry of the ring; true where there was none left. */
  #giveEntry(number: number): boolean {
    const { ring } = this.#host;
    if (number >= ring.end) return true;
    if (number < ring.first) {
      this.#leaveRing(number);
      return false;
    }
    this.#entry = number + 1;
    const entry = ring.get(number);
    if (!(entry instanceof Envelope)) {
      if (!this.#at.reaches(entry.mark)) this.#pass(entry);
      return false;
    }
    if (!this.#isAhead(entry.publication)) return false;
    const parcel = entry.parcelFor(this.#set);
    if (parcel !== undefined) this.#give(parcel);
    this.#progress = this.#progress.later(entry.mark);
    return false;
  }

  #give(parcel: PublicationParcel): void {
    if (this.#isOwed(parcel)) this.#pass(parcel);
  }

  /** Whether no other filter of the feed gives it, and one of these is owed it. */
  #isOwed(parcel: PublicationParcel): boolean {
    const { publication, filters } = parcel.value;
    if (this.#isGivenOtherwise(publication)) return false;
    const { shard, sequence } = publication;
    const isOwed = (one: Subscription) => this.#resumed || sequence > (one.given ?? one.from).at(shard);
    return this.subscriptions.some((one) => filters.includes(one.filter) && isOwed(one));
  }

  /** Whether a filter of the feed has given it, or gives it live. */
  #isGivenOtherwise({ topic, shard, sequence }: Publication): boolean {
    const unclaimed = sequence <= this.#claimed.at(shard);
    const behind = (place: Mark | undefined) => place !== undefined && sequence <= place.at(shard);
    for (const one of this.#feed.subscriptions) {
      if (sequence <= one.from.at(shard)) continue;
      const gives = behind(one.spliced?.to) || (unclaimed && (one.live || behind(one.given)));
      if (gives && matches(one.filter, topic)) return true;
    }
    return false;
  }

  #pass(parcel: Parcel): void {
    const before = this.#progress;
    this.#progress = (before.complete ? before : this.#at).later(parcel.mark);
    this.#feed.give(replaced(parcel, this.#progress), before);
  }
}
