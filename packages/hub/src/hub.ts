import {
  type Bus,
  type Deletion,
  type Following,
  type Item,
  type Place,
  type Publication,
  PushfleetError,
  type Topic,
} from '@pushfleet/core';
import { Envelope, gapParcel } from './delivery.ts';
import { Fanout } from './fanout.ts';
import type { CloseReason, Feed, FeedOptions } from './feed.ts';
import { Forgotten } from './forgotten.ts';
import type { Host } from './host.ts';
import { HubFeed } from './hub-feed.ts';
import { Interests } from './interest.ts';
import { Mark } from './mark.ts';
import type { HubOptions } from './options.ts';
import { Replays } from './replays.ts';
import { RetainedReads } from './retained.ts';
import { Ring } from './ring.ts';
import { type Explanation, explain } from './tally.ts';
import { type Ticking, Ticks } from './ticks.ts';

/** One namespace's feeds on its log. */
export interface Hub {
  /** @throws PushfleetError `draining`, or `too_many_connections` when the hub holds its most feeds */
  open(options: FeedOptions): Feed;
}

/** What a hub holds and does at this moment. */
export interface HubStats {
  readonly feeds: number;
  /** Filters that feeds hold, each once. */
  readonly filters: number;
  /** Filters followed on the bus for them. */
  readonly followed: number;
  readonly ring: { readonly count: number; readonly bytes: number };
  readonly outbox: { readonly count: number; readonly bytes: number };
  /** Reads of the log. */
  readonly replays: { readonly reading: number; readonly waiting: number };
}

export class NamespaceHub implements Hub, Host<HubFeed> {
  readonly options: HubOptions;
  readonly ring: Ring;
  readonly interests: Interests;
  readonly replays: Replays;
  readonly retained: RetainedReads;
  readonly fanout = new Fanout();
  readonly ticks = new Ticks();
  readonly forgotten = new Forgotten();
  readonly splicing = new Set<HubFeed>();
  readonly #bus: Bus;
  readonly #following: Following;
  readonly #feeds = new Set<HubFeed>();
  readonly #onEmpty: () => void;
  #mark: Mark;
  /** While an item is being offered: the place without it, which is where feeds are that were not offered it yet. */
  #offering: Mark | undefined;
  /** Newest sequence handed over per shard. */
  readonly #handed: number[];
  /** The furthest of what was handed over, the fences, and where readers said they were. */
  readonly #settled: number[];
  /** Of what was handed over, and of the fences. */
  #settledTime = 0;
  #retrying: Ticking[] = [];
  #cancelRetry: (() => void) | undefined;
  #draining = false;

  /** @param onEmpty called when the last feed left */
  constructor(bus: Bus, options: HubOptions, onEmpty: () => void) {
    this.#bus = bus;
    this.options = options;
    this.#onEmpty = onEmpty;
    this.ring = new Ring({ count: options.ringCount, bytes: options.ringBytes });
    this.replays = new Replays(bus, options);
    this.retained = new RetainedReads(bus, options);
    this.#following = bus.follow((item) => this.#receive(item));
    this.#mark = Mark.of(this.#following.place);
    this.#handed = this.#mark.positions.map(() => 0);
    this.#settled = this.#mark.positions.map(() => 0);
    this.interests = new Interests({
      following: this.#following,
      clock: options.clock,
      lingerMs: options.interestLingerMs,
      replacedLingerMs: options.replacedLingerMs,
      onFence: (place) => {
        this.raise(place);
        this.#settledTime = Math.max(this.#settledTime, place.time);
        this.#look();
        return this.settled();
      },
    });
  }

  /** Open feeds. */
  get size(): number {
    return this.#feeds.size;
  }

  get stats(): HubStats {
    const outbox = { count: 0, bytes: 0 };
    for (const { depth } of this.#feeds) {
      outbox.count += depth.count;
      outbox.bytes += depth.bytes;
    }
    return {
      feeds: this.#feeds.size,
      filters: this.interests.wanted,
      followed: this.interests.followed,
      ring: { count: this.ring.count, bytes: this.ring.bytes },
      outbox,
      replays: this.replays.stats,
    };
  }

  /** Feeds whose live filters match the topic. */
  feedsOn(topic: Topic): number {
    return this.fanout.feedsOn(topic);
  }

  /** What became of a publication that is among the recent ones. */
  explain(shard: number, sequence: number): Explanation {
    for (const { publication, tally } of this.ring.envelopes()) {
      if (publication.shard === shard && publication.sequence === sequence) return explain(tally);
    }
    return explain(undefined);
  }

  /** Gives nobody any more what the log has deleted. What a replay is giving at this moment may still arrive. */
  forget(deletion: Deletion): void {
    for (const { publication } of this.ring.envelopes()) this.forgotten.add(deletion, [publication]);
    for (const feed of this.#feeds) this.forgotten.add(deletion, feed.held());
    this.replays.forget();
  }

  /** Lets go of what it remembers for resumes: something in it may have been deleted. */
  forgetRecent(): void {
    this.ring.clear();
    this.replays.forget();
  }

  open(options: FeedOptions): Feed {
    if (this.#draining) {
      throw new PushfleetError('draining', 'This instance is shutting down; connect again to reach another.');
    }
    if (this.#feeds.size >= this.options.feeds) {
      const message = `This instance holds ${this.options.feeds} feeds of your namespace, its most; try again, or reach another.`;
      throw new PushfleetError('too_many_connections', message, { detail: { limit: this.options.feeds } });
    }
    const feed = new HubFeed(this, options);
    this.#feeds.add(feed);
    return feed;
  }

  /** Refuses new feeds from now on. */
  drain(): void {
    this.#draining = true;
  }

  close(reason: CloseReason): void {
    this.#draining = true;
    for (const feed of [...this.#feeds]) feed.closeFor(reason);
    this.#cancelRetry?.();
    this.interests.close();
    this.replays.close();
    this.retained.close();
    this.#following.stop();
  }

  mark(): Mark {
    if (this.#offering !== undefined) return this.#offering;
    const { generation, positions, leaders } = this.#following.place;
    const known = this.#mark;
    const moved =
      generation !== known.generation ||
      leaders !== known.leaders ||
      positions.some((position, i) => position !== known.positions[i]);
    if (moved) this.#look();
    return this.#mark;
  }

  handed(): Mark {
    return this.#mark.passed;
  }

  settled(): Mark {
    const { generation, leaders } = this.#following.place;
    return new Mark(generation, this.#settled.slice(), this.#settledTime, undefined, false, leaders);
  }

  raise(place: Place): void {
    for (let shard = 0; shard < place.positions.length; shard++) {
      this.#settled[shard] = Math.max(this.#settled[shard] ?? 0, place.positions[shard] ?? 0);
    }
  }

  isDoubtful(place: Mark): boolean {
    return this.ring.isDoubtful(place) || !this.#bus.trusts(place);
  }

  async head(): Promise<Mark> {
    return Mark.parse(await this.#bus.head());
  }

  retry(feed: Ticking): void {
    this.#retrying.push(feed);
    this.#cancelRetry ??= this.options.clock.after(this.options.retryMs, () => {
      const feeds = this.#retrying;
      this.#retrying = [];
      this.#cancelRetry = undefined;
      for (const one of feeds) one.tick();
    });
  }

  left(feed: HubFeed): void {
    this.#feeds.delete(feed);
    if (this.#feeds.size === 0) this.#onEmpty();
  }

  #receive(item: Item<Publication>): void {
    const before = this.#mark;
    this.#offering = before;
    if (item.kind === 'publication') this.#publish(item.value, before);
    else this.#passGap(item, before);
    this.#offering = undefined;
  }

  /** Copies the place the bus has reached. */
  #look(late = false): void {
    const { generation, positions, time, leaders } = this.#following.place;
    let behind = late;
    for (let shard = 0; shard < positions.length && !behind; shard++) {
      behind = (this.#handed[shard] ?? 0) > (positions[shard] ?? 0);
    }
    const passed = behind
      ? new Mark(generation, this.#handed.slice(), time, undefined, false, leaders).later(
          Mark.of(this.#following.place),
        )
      : undefined;
    this.#mark = new Mark(generation, positions.slice(), time, passed, false, leaders);
  }

  #publish(publication: Publication, before: Mark): void {
    const { shard, sequence, time } = publication;
    const late = sequence <= (this.#handed[shard] ?? 0);
    if (!late) this.#handed[shard] = sequence;
    this.#look(late);
    const envelope = new Envelope(publication, this.#mark);
    this.ring.add(envelope, late);
    if (sequence > (this.#settled[shard] ?? 0)) {
      this.#settled[shard] = sequence;
      if (time > this.#settledTime) this.#settledTime = time;
      this.fanout.publish(envelope, before);
    } else this.#publishBehind(envelope, before, late);
    const { matched } = envelope.tally;
    if (matched > 0) this.options.observer?.published?.(publication, matched);
  }

  /** A publication that some feeds may have from the log, or have no claim to. */
  #publishBehind(envelope: Envelope, before: Mark, late: boolean): void {
    const { publication, mark } = envelope;
    this.fanout.publishOwed(envelope, before, late);
    if (!late) return;
    // What a new filter brings with its fence may be behind what others brought; that is no loss.
    if (this.interests.owes(publication.topic, publication.shard, publication.sequence)) {
      this.ring.doubt(publication, mark);
    }
    for (const feed of this.splicing) feed.offerLate(envelope);
  }

  #passGap(gap: Item<Publication> & { kind: 'gap' }, before: Mark): void {
    this.#look();
    const parcel = gapParcel(gap.from, this.#mark.pastGap(Mark.parse(gap.to)));
    this.ring.add(parcel);
    for (const feed of [...this.#feeds]) feed.offerGap(parcel, before);
  }
}
