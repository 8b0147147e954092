import {
  type Cursor,
  type Item,
  matches,
  type Publication,
  PushfleetError,
  type TopicFilter,
} from '@pushfleet/core';
import { type Delivery, type Envelope, type Parcel, replaced } from './delivery.ts';
import type { Combination, Member } from './fanout.ts';
import type { CloseReason, Feed, FeedOptions, Past } from './feed.ts';
import type { Host } from './host.ts';
import { Mark } from './mark.ts';
import { Outbox } from './outbox.ts';
import { type Beginning, Splice, type Spliced } from './splice.ts';
import { Subscription, wasLogged } from './subscription.ts';
import type { Ticking } from './ticks.ts';

const nothing: readonly Item<Delivery>[] = [];

/** Filters whose supply begins at one place. */
interface Supply {
  readonly subscriptions: readonly Subscription<HubFeed>[];
  readonly at: Mark;
  /** Filters whose retained publications come first. */
  readonly retained: readonly TopicFilter[];
}

/** Supplies of one place as one. */
function together(supplies: readonly Supply[]): Supply {
  const [first] = supplies as [Supply];
  return {
    subscriptions: supplies.flatMap(({ subscriptions }) => subscriptions),
    at: first.at,
    retained: supplies.flatMap(({ retained }) => retained),
  };
}

/** A feed of one hub. */
export class HubFeed implements Feed, Member, Spliced, Ticking {
  // What every publication touches lies together: with thousands of feeds each line of memory is waited for.
  readonly #outbox: Outbox;
  /** A splice or a resume holds the cursor back. */
  #tied = false;
  #closed = false;
  #queued = false;
  #announced = false;
  /** The place its first filters began at: nothing at or before it is owed any more. */
  #origin: Mark | undefined;
  /** Behind what was taken last, or before the oldest item of the outbox. */
  #behind: Mark;
  #pushed = 0;
  #taken = 0;
  readonly #host: Host<HubFeed>;
  readonly #options: FeedOptions;
  #reason: CloseReason | undefined;
  /** Under way one after the other, so that what several of them would give is given once. */
  readonly #splices: Splice<HubFeed>[] = [];
  stamp = 0;
  combination: Combination | undefined;
  readonly #subscriptions = new Map<TopicFilter, Subscription<HubFeed>>();
  #turn = 0;
  /** What splices gave of the log, by the number of items the feed had been given by then. */
  #given: { readonly one: Subscription<HubFeed>; readonly to: Mark; readonly pushed: number }[] = [];
  /** Resumes by where they begin; undefined while their filters have no fence. */
  readonly #resuming = new Map<Mark, Supply | undefined>();
  /** The furthest of what was taken, where `behind` does not tell it. */
  #reached: Mark | undefined;
  /** Up to this one of the pushed items, their places do not tell how far each filter is. */
  #mixedUntil = 0;
  /** Up to this one of the pushed items there are retained publications. */
  #retainedUntil = 0;
  /** Calls of `add` under way that ask for retained publications. */
  #asking = 0;

  constructor(host: Host<HubFeed>, options: FeedOptions) {
    for (const limit of [options.count, options.bytes]) {
      if (!(Number.isSafeInteger(limit) && limit > 0)) {
        throw new RangeError(
          `An outbox holds at least one item and byte; ${limit} is not a whole number above 0.`,
        );
      }
    }
    this.#host = host;
    this.#options = options;
    this.#outbox = new Outbox(options.count, options.bytes);
    this.#behind = host.mark();
  }

  /** The publications it holds back. */
  *held(): Iterable<Publication> {
    for (const parcel of this.#outbox.parcels())
      if (parcel.kind === 'publication') yield parcel.value.publication;
    for (const splice of this.#splices) yield* splice.held();
  }

  get depth(): { readonly count: number; readonly bytes: number } {
    return this.#outbox;
  }

  get cursor(): Cursor {
    return this.#place().cursor;
  }

  get live(): boolean {
    return !this.#tied;
  }

  get retaining(): boolean {
    if (this.#asking > 0 || this.#splices.some((splice) => splice.retaining)) return true;
    if ([...this.#resuming.values()].some((supply) => (supply?.retained.length ?? 0) > 0)) return true;
    return this.#outbox.count > 0 && this.#taken < this.#retainedUntil;
  }

  async add(filters: readonly TopicFilter[], o: Past = {}): Promise<void> {
    if (this.#closed) throw new PushfleetError('draining', 'The feed is closed; open a new one.');
    const after = o.after === undefined ? undefined : Mark.parse(o.after);
    const retained = o.retained === true ? filters : o.retained || [];
    const subscriptions = this.#register(filters);
    if (after !== undefined) this.#hold(after);
    if (retained.length > 0) this.#asking++;
    try {
      await this.#acquire(subscriptions);
      const at = await this.#begin(after);
      const supply = { subscriptions, at, retained };
      if (after !== undefined) this.#resuming.set(after, supply);
      else if (!this.#closed) this.#start(supply, false);
    } catch (error) {
      for (const one of subscriptions) this.#drop(one);
      if (after !== undefined) this.#resuming.delete(after);
      throw error;
    } finally {
      if (retained.length > 0) this.#asking--;
      this.#resumeTogether();
    }
  }

  remove(filter: TopicFilter): void {
    const subscription = this.#subscriptions.get(filter);
    if (subscription === undefined) return;
    this.#drop(subscription);
    for (const splice of this.#splices) splice.drop(subscription);
    this.wake();
  }

  take(count: number, bytes: number): readonly Item<Delivery>[] {
    const outbox = this.#outbox;
    if (outbox.count === 0 && !this.#tied) return nothing;
    const items: Parcel[] = [];
    let publications = 0;
    let size = 0;
    for (let next = outbox.peek(); next !== undefined; next = outbox.peek()) {
      if (publications > 0 && (publications >= count || size + next.bytes > bytes)) break;
      outbox.shift();
      this.#taken++;
      this.#behind = next.mark;
      if (next.mark.passed !== next.mark) this.#reach(next.mark.passed);
      if (this.#isGone(next)) continue;
      items.push(next);
      if (next.kind === 'gap') {
        this.#host.options.observer?.gap?.();
        continue;
      }
      next.tally.delivered++;
      publications++;
      size += next.bytes;
    }
    if (outbox.count === 0) this.#announced = false;
    if (this.#splices.length > 0) this.#unpark();
    return items;
  }

  close(): void {
    if (this.#closed) return;
    this.#behind = this.#place();
    if (this.retaining) this.#asking++; // and they never come
    this.#closed = true;
    for (const splice of this.#splices) splice.stop();
    this.#splices.length = 0;
    for (const subscription of this.#subscriptions.values()) this.#detach(subscription);
    this.#subscriptions.clear();
    this.#empty();
    this.#retie();
    this.#host.left(this);
  }

  /** Closes the feed and tells its owner why at the next tick. */
  closeFor(reason: CloseReason): void {
    if (this.#closed) return;
    this.close();
    this.#reason = reason;
    this.wake();
  }

  offer(parcel: Parcel, before: Mark): void {
    if (this.#tied || this.#closed) this.#offerTied(parcel, before);
    else if (this.#outbox.fits(parcel.bytes)) this.#push(parcel, before);
    else this.#overflow(parcel, before);
  }

  /** Offers what the bus handed over late to the filters that are being spliced. */
  offerLate(envelope: Envelope): void {
    const { publication } = envelope;
    let given = this.hasLogged(publication) || this.#isGivenLive(envelope);
    given ||= this.#splices.some((splice) => splice.willGive(publication));
    for (const splice of this.#splices) {
      const filters = splice.missing(envelope);
      if (given || filters.length === 0) continue;
      this.giveLate(envelope.parcel(filters), envelope.mark);
      given = true;
    }
  }

  /** Offers the news of a gap, unless what is spliced will tell it. */
  offerGap(parcel: Parcel, before: Mark): void {
    if (this.#hasLive) this.offer(parcel, before);
  }

  hasLogged(publication: Publication): boolean {
    return wasLogged(this.#subscriptions.values(), publication);
  }

  tick(): void {
    this.#queued = false;
    if (this.#tied && this.#pumpedOut()) this.#options.onLive?.();
    if (this.#reason !== undefined) {
      const reason = this.#reason;
      this.#reason = undefined;
      this.#options.onClose(reason);
    } else if (!this.#closed && this.#outbox.count > 0 && !this.#announced) this.#announce();
  }

  get roomy(): boolean {
    return !this.#closed && this.#outbox.roomy;
  }

  get subscriptions(): Iterable<Subscription<HubFeed>> {
    return this.#subscriptions.values();
  }

  give(parcel: Parcel, before: Mark): void {
    const others = this.#splices.length > 1 || this.#resuming.size > 0 || this.#hasLive;
    if (others) this.#mixedUntil = this.#pushed + 1;
    // The log may be ahead of what live filters were handed.
    const mark = this.#hasLive ? parcel.mark.earlier(this.#host.mark()) : parcel.mark;
    this.#push(replaced(parcel, this.#floor(mark)), this.#floor(before));
    if (parcel.kind === 'publication' && parcel.value.retained) this.#retainedUntil = this.#pushed;
  }

  giveLate(parcel: Parcel, before: Mark): void {
    this.give(parcel, before);
    this.#mixedUntil = this.#pushed;
  }

  wake(): void {
    if (this.#queued) return;
    this.#queued = true;
    this.#host.ticks.add(this);
  }

  fail(error: PushfleetError): void {
    if (this.#closed) return;
    if (error.code === 'unavailable' || error.code === 'timeout') this.#host.retry(this);
    else this.closeFor({ kind: 'failed', error });
  }

  lose(error: PushfleetError): void {
    this.closeFor({ kind: 'failed', error });
  }

  #isGivenLive({ publication }: Envelope): boolean {
    if (this.#splices.some((splice) => splice.claims(publication))) return false;
    for (const one of this.#liveOnes()) {
      if (one.isOwed(publication, true) && matches(one.filter, publication.topic)) return true;
    }
    return false;
  }

  /** Takes new filters in, so that the cursor is held back from now on and no filter is added twice. */
  #register(filters: readonly TopicFilter[]): Subscription<HubFeed>[] {
    const fresh = [...new Set(filters)].filter((filter) => !this.#subscriptions.has(filter));
    const most = this.#host.options.feedFilters;
    if (this.#subscriptions.size + fresh.length > most) {
      throw new PushfleetError(
        'too_many_filters',
        `A connection holds at most ${most} topic filters; this would be its ${this.#subscriptions.size + fresh.length}th.`,
        { detail: { limit: most } },
      );
    }
    return fresh.map((filter) => {
      const subscription = new Subscription(this, filter, this.#behind);
      this.#subscriptions.set(filter, subscription);
      return subscription;
    });
  }

  /** Neither the place before the outbox nor what waits in it must let a client skip what the resume is about to bring. */
  #hold(after: Mark): void {
    this.#resuming.set(after, undefined);
    this.#tied = true;
    if (this.#outbox.count === 0) return;
    this.#behind = this.#behind.earlier(after).told(this.#behind.passed);
    this.#outbox.rewrite((parcel) => {
      const mark = parcel.mark.earlier(after);
      return replaced(parcel, mark.told(parcel.mark.passed));
    });
    this.#mixedUntil = this.#pushed;
  }

  async #acquire(subscriptions: readonly Subscription[]): Promise<void> {
    const { interests } = this.#host;
    const fences = await Promise.allSettled(subscriptions.map(({ filter }) => interests.acquire(filter)));
    const failed = fences.find((fence) => fence.status === 'rejected');
    fences.forEach(({ status }, i) => {
      const { filter, removed } = subscriptions[i] as Subscription;
      if (status === 'fulfilled' && (failed !== undefined || removed)) interests.release(filter);
    });
    if (failed !== undefined) throw failed.reason;
    for (const subscription of subscriptions) subscription.held = !subscription.removed;
  }

  async #begin(after: Mark | undefined): Promise<Mark> {
    const settled = this.#host.settled();
    if (after === undefined) return settled;
    const at = after.within(settled.reaches(after) ? settled : await this.#host.head());
    this.#host.raise(at);
    return at;
  }

  /**
   * Begins the resumes once all that were asked for have their fences: those of one place are one supply, whose cursor
   * gets on with each item. One after the other, the cursor would stay until the last is at work.
   */
  #resumeTogether(): void {
    const resumes = [...this.#resuming.values()];
    if (!resumes.includes(undefined)) {
      this.#resuming.clear();
      const places = Map.groupBy(resumes as Supply[], ({ at }) => at.cursor);
      if (!this.#closed) for (const supplies of places.values()) this.#start(together(supplies), true);
    }
    this.#retie();
  }

  #start(supply: Supply, resumed: boolean): void {
    const { subscriptions, retained } = supply;
    const at = resumed ? this.#host.ring.beforeLosses(supply.at) : supply.at;
    const held = subscriptions.filter(({ removed }) => !removed);
    for (const one of held) {
      one.from = at;
      one.resumed = resumed;
    }
    if (!resumed && retained.length === 0) this.#goLive(held, at);
    else {
      this.#splice({ subscriptions: held, beginning: { at, resumed }, retained });
      this.wake();
    }
  }

  #splice(o: {
    subscriptions: Subscription<HubFeed>[];
    beginning: Beginning;
    retained: readonly TopicFilter[];
  }): Splice<HubFeed> {
    const splice = new Splice<HubFeed>({
      host: this.#host as Host<unknown>,
      feed: this,
      turn: ++this.#turn,
      ...o,
    });
    this.#splices.push(splice);
    this.#retie();
    return splice;
  }

  #goLive(subscriptions: readonly Subscription<HubFeed>[], at: Mark): void {
    // With others, something they are owed may still be under way before `at`.
    if (subscriptions.length === this.#subscriptions.size) this.#origin = at;
    for (const one of subscriptions) this.#host.fanout.add(one);
  }

  #drop(subscription: Subscription<HubFeed>): void {
    if (subscription.removed) return;
    this.#subscriptions.delete(subscription.filter);
    this.#detach(subscription);
  }

  #detach(subscription: Subscription<HubFeed>): void {
    subscription.removed = true;
    if (subscription.live) this.#host.fanout.remove(subscription);
    if (subscription.held) this.#host.interests.release(subscription.filter);
    subscription.held = false;
  }

  #retie(): void {
    this.#tied = this.#splices.length > 0 || this.#resuming.size > 0;
    if (this.#splices.length > 0) this.#host.splicing.add(this);
    else this.#host.splicing.delete(this);
  }

  /** Whether the last splice came to its end. */
  #pumpedOut(): boolean {
    this.#pump();
    return !this.#tied && !this.#closed;
  }

  #pump(): void {
    for (let splice = this.#splices[0]; splice !== undefined; splice = this.#splices[0]) {
      if (splice.parked) return;
      if (!splice.pump()) return;
      this.#splices.shift();
      this.#finish(splice);
      this.#goLive(splice.subscriptions, splice.progress);
      this.#retie();
    }
  }

  #finish(splice: Splice<HubFeed>): void {
    this.#settleTaken();
    const to = this.#host.handed().later(splice.progress);
    for (const one of splice.subscriptions) {
      one.spliced = { to, turn: splice.turn };
      const logged = one.logged.at(-1);
      if (logged?.turn === splice.turn) this.#given.push({ one, to: logged.to, pushed: this.#pushed });
    }
  }

  /** Notes what of the log has been taken by now. */
  #settleTaken(): void {
    this.#given = this.#given.filter(({ one, to, pushed }) => {
      if (pushed > this.#taken) return true;
      one.taken = one.taken === undefined ? to : one.taken.later(to);
      return false;
    });
  }

  #unpark(): void {
    for (const splice of this.#splices) splice.parked = false;
    if (this.#outbox.roomy) this.wake();
  }

  #place(): Mark {
    if (this.#outbox.count > 0 || this.#closed) return this.#behind;
    // Where nothing is live, how far the hub has got says nothing of this feed: a new one lies before any client's place.
    const resumed = this.#tied && !this.#hasLive ? this.#progress() : undefined;
    if (resumed !== undefined) return resumed;
    return this.#floor(this.#atLeastOrigin(this.#host.mark()));
  }

  #atLeastOrigin(mark: Mark): Mark {
    const origin = this.#origin;
    if (origin === undefined) return mark;
    // As far as the live supply has come no further, a place that was read says more; its time goes on.
    if (origin.read && origin.reaches(mark)) return origin.aged(mark.time);
    return mark.reaches(origin) ? mark : mark.later(origin);
  }

  /** The place from which nothing is lost, whatever the splices and resumes have still to give. */
  #floor(mark: Mark): Mark {
    return this.#progress(mark) ?? mark;
  }

  #progress(mark?: Mark): Mark | undefined {
    let floor = mark;
    for (const { progress } of this.#splices)
      floor = floor === undefined ? progress : progress.earlier(floor);
    for (const after of this.#resuming.keys()) floor = floor === undefined ? after : floor.earlier(after);
    return floor;
  }

  #offerTied(parcel: Parcel, before: Mark): void {
    if (this.#closed || this.#isClaimed(parcel)) return;
    if (!this.#outbox.fits(parcel.bytes)) {
      this.#overflow(parcel, before);
      return;
    }
    this.#mixedUntil = this.#pushed + 1;
    const mark = this.#floor(parcel.mark);
    this.#push(replaced(parcel, mark.told(parcel.mark.passed)), this.#floor(before));
  }

  #isClaimed(parcel: Parcel): boolean {
    if (parcel.kind === 'gap') return false;
    const { publication } = parcel.value;
    return this.#splices.some((splice) => splice.claims(publication));
  }

  #push(parcel: Parcel, before: Mark): void {
    if (this.#outbox.count === 0) {
      this.#behind = this.#tied ? before : this.#atLeastOrigin(before);
      this.wake();
    }
    this.#outbox.push(parcel);
    this.#pushed++;
    if (parcel.mark.passed !== parcel.mark) this.#mixedUntil = this.#pushed; // it came late
  }

  #overflow(parcel: Parcel, before: Mark): void {
    if (!this.#announced) {
      this.#announce();
      if (this.#closed) return;
      if (this.#outbox.fits(parcel.bytes)) {
        this.offer(parcel, before);
        return;
      }
    }
    if (parcel.kind === 'publication' && this.#options.overflow !== 'latest') parcel.tally.dropped++;
    if (this.#options.overflow === 'close') this.closeFor({ kind: 'slow_consumer' });
    else if (this.#options.overflow === 'rewind') this.#rewind(before);
    else this.#conflate(parcel, before);
  }

  #conflate(parcel: Parcel, before: Mark): void {
    this.#outbox.conflate();
    this.#push(this.#tied ? replaced(parcel, this.#floor(parcel.mark)) : parcel, this.#floor(before));
    if (this.#outbox.exceeds) this.closeFor({ kind: 'slow_consumer' });
  }

  /**
   * Drops the outbox, to be read again from what was taken last. While it holds retained publications, or items whose
   * places do not tell how far each filter is, it stays, and what comes after it is read from the log.
   */
  #rewind(before: Mark): void {
    const mixed = this.#taken < this.#mixedUntil || this.#tied || this.retaining;
    this.#settleTaken();
    const taken = this.#behind.passed;
    const at = mixed ? before.passed : taken.later(this.#reached ?? taken);
    const subscriptions = [...this.#liveOnes()];
    for (const one of subscriptions) {
      this.#host.fanout.remove(one);
      one.given = one.from.later(at).later(one.taken ?? at);
      if (!mixed) one.spliced = undefined;
    }
    if (!mixed) {
      this.#empty();
      this.#taken = this.#pushed;
      this.#given = [];
    }
    const splice = this.#splice({ subscriptions, beginning: { at, resumed: false }, retained: [] });
    splice.parked = !mixed;
  }

  #announce(): void {
    this.#announced = true;
    try {
      this.#options.onReadable();
    } catch (error) {
      this.closeFor({ kind: 'failed', error: PushfleetError.from(error) });
    }
  }

  #reach(place: Mark): void {
    this.#reached = this.#reached === undefined ? place : this.#reached.later(place);
  }

  /** Whether it expired or was deleted while it waited. */
  #isGone(parcel: Parcel): boolean {
    if (parcel.kind === 'gap') return false;
    const { publication } = parcel.value;
    const { expiresAt } = publication;
    if (expiresAt !== undefined && expiresAt <= this.#host.options.clock.now()) return true;
    return this.#host.forgotten.has(publication);
  }

  #empty(): void {
    if (this.#outbox.count === 0) return;
    for (const parcel of this.#outbox.parcels()) if (parcel.kind === 'publication') parcel.tally.dropped++;
    this.#outbox.clear();
  }

  get #hasLive(): boolean {
    return !this.#liveOnes()[Symbol.iterator]().next().done;
  }

  *#liveOnes(): Iterable<Subscription<HubFeed>> {
    for (const one of this.#subscriptions.values()) if (one.live) yield one;
  }
}
