import {
  type Following,
  isExact,
  LevelTrie,
  type Place,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import type { Clock } from './clock.ts';
import { Linger } from './linger.ts';
import { Mark } from './mark.ts';

/** A filter that feeds of this hub hold. */
interface Want {
  readonly filter: TopicFilter;
  holders: number;
  /** What brings its publications: its own filter on the bus, or one that covers it. */
  carrier: Followed | undefined;
  /** All that matches and lies after this place was handed over, or will be. */
  since: Mark | undefined;
  fencing: Promise<void> | undefined;
}

/** A filter that is followed on the bus. */
interface Followed {
  readonly filter: TopicFilter;
  fenced: Promise<void> | undefined;
  since: Mark | undefined;
  /** Where its fence is. */
  fence: Mark | undefined;
  readonly carries: Set<Want>;
  /** Others carry in its stead, or are about to. */
  retiring: boolean;
  /** It stays until the bus has reached this place: up to here its replacements do not bring what it owes. */
  until: Mark | undefined;
}

export interface InterestsOptions {
  readonly following: Following;
  readonly clock: Clock;
  readonly lingerMs: number;
  /** How long a filter stays after others took over from it: as long as the bus may take to find a loss. */
  readonly replacedLingerMs: number;
  /** Told the fence of every filter; answers with the place behind everything handed over so far. */
  readonly onFence: (place: Place) => Mark;
}

/**
 * Which filters the hub follows on the bus: the distinct ones that no other covers. A filter outlives its last
 * holder by a linger; one that covers others goes only once what it carried is fenced without it.
 */
export class Interests {
  readonly #following: Following;
  readonly #onFence: (place: Place) => Mark;
  readonly #wants = new Map<TopicFilter, Want>();
  readonly #followed = new LevelTrie<Followed>();
  readonly #idle: Linger<Want>;
  readonly #replaced: Linger<Followed>;

  constructor(options: InterestsOptions) {
    this.#following = options.following;
    this.#onFence = options.onFence;
    this.#idle = new Linger(options.clock, options.lingerMs, (want) => this.#expire(want));
    this.#replaced = new Linger(options.clock, options.replacedLingerMs, (followed) => this.#leave(followed));
  }

  /** Filters that feeds hold or held a moment ago. */
  get wanted(): number {
    return this.#wants.size;
  }

  /** Filters followed on the bus. */
  get followed(): number {
    return this.#followed.size;
  }

  /**
   * Holds a filter; resolves once it is fenced. A hold that fails is let go.
   *
   * @throws PushfleetError `unavailable` when the log is out of reach
   */
  async acquire(filter: TopicFilter): Promise<void> {
    const want = this.#want(filter);
    want.holders++;
    this.#idle.delete(want);
    try {
      if (want.carrier === undefined) await this.#fence(want);
    } catch (error) {
      this.release(filter);
      throw error;
    }
  }

  release(filter: TopicFilter): void {
    const want = this.#wants.get(filter);
    if (want !== undefined && --want.holders === 0) this.#idle.add(want);
  }

  /** The place after which everything that matches a held filter is handed over, once it is fenced. */
  since(filter: TopicFilter): Mark | undefined {
    return this.#wants.get(filter)?.since;
  }

  /** Whether a publication handed over now was already owed by a fenced filter when it was stored. */
  owes(topic: Topic, shard: number, sequence: number): boolean {
    const matching: Followed[] = [];
    this.#followed.match(topic, matching);
    return matching.some(({ since }) => since !== undefined && since.at(shard) < sequence);
  }

  close(): void {
    this.#idle.clear();
    this.#replaced.clear();
  }

  #want(filter: TopicFilter): Want {
    let want = this.#wants.get(filter);
    if (want === undefined) {
      want = { filter, holders: 0, carrier: undefined, since: undefined, fencing: undefined };
      this.#wants.set(filter, want);
    }
    return want;
  }

  #fence(want: Want): Promise<void> {
    want.fencing ??= this.#carry(want).finally(() => {
      want.fencing = undefined;
    });
    return want.fencing;
  }

  /** Finds what can carry the filter; follows the filter itself where nothing does. */
  async #carry(want: Want): Promise<void> {
    const carrier = this.#carrier(want) ?? this.#follow(want.filter);
    await carrier.fenced;
    // One that covers what was fenced may have come while this waited.
    if (this.#carrier(want) === carrier) this.#attach(want, carrier);
    else await this.#carry(want);
  }

  #carrier(want: Want): Followed | undefined {
    return this.#followed.covering(want.filter, (one) => !one.retiring || one.filter === want.filter);
  }

  #attach(want: Want, carrier: Followed): void {
    const former = want.carrier;
    former?.carries.delete(want);
    want.carrier = carrier;
    want.since ??= carrier.since;
    carrier.carries.add(want);
    if (want.filter !== carrier.filter) return;
    carrier.retiring = false;
    this.#replaced.delete(carrier);
    this.#absorb(carrier);
  }

  #follow(filter: TopicFilter): Followed {
    const followed: Followed = {
      filter,
      fenced: undefined,
      since: undefined,
      fence: undefined,
      carries: new Set(),
      retiring: false,
      until: undefined,
    };
    this.#followed.set(filter, followed);
    followed.fenced = this.#following.add(filter).then(
      (place) => {
        followed.fence = Mark.of(place);
        followed.since = this.#onFence(place);
        followed.fenced = undefined;
        const fenced = (one: Followed) => one !== followed && one.since !== undefined && !one.retiring;
        this.#absorb(this.#followed.covering(filter, fenced) ?? followed);
      },
      (error) => {
        this.#followed.delete(filter);
        throw error;
      },
    );
    return followed;
  }

  /** Takes over from every followed filter that this one covers. */
  #absorb(followed: Followed): void {
    if (isExact(followed.filter) || followed.fence === undefined) return;
    const covered: Followed[] = [];
    this.#followed.covered(followed.filter, covered);
    for (const other of covered) {
      if (other === followed || other.since === undefined) continue;
      for (const want of other.carries) {
        want.carrier = followed;
        followed.carries.add(want);
      }
      other.carries.clear();
      this.#replace(other, followed.fence);
    }
  }

  /** What was stored before the fence of its replacements may still be under way to this one alone. */
  #replace(followed: Followed, fence: Mark): void {
    followed.retiring = true;
    followed.until = followed.until === undefined ? fence : followed.until.later(fence);
    this.#replaced.add(followed);
  }

  #leave(followed: Followed): void {
    const { retiring, carries, until, filter } = followed;
    if (!retiring || carries.size > 0 || until === undefined || this.#followed.get(filter) !== followed)
      return;
    if (Mark.of(this.#following.place).reaches(until)) this.#unfollow(followed);
    else this.#replaced.add(followed);
  }

  #unfollow(followed: Followed): void {
    this.#followed.delete(followed.filter);
    this.#following.remove(followed.filter);
  }

  #expire(want: Want): void {
    if (want.fencing !== undefined) {
      this.#idle.add(want);
      return;
    }
    this.#wants.delete(want.filter);
    const { carrier } = want;
    if (carrier === undefined) return;
    carrier.carries.delete(want);
    this.#review(carrier);
  }

  /** Lets go of a filter that carries nothing, and starts to replace one that nobody holds for its own sake. */
  #review(followed: Followed): void {
    if (followed.carries.size === 0) this.#unfollow(followed);
    else if (!this.#wants.has(followed.filter) && !followed.retiring) void this.#retire(followed);
  }

  async #retire(followed: Followed): Promise<void> {
    followed.retiring = true;
    // Wildcards first: they carry some of the others.
    const carried = [...followed.carries].sort(
      (a, b) => Number(isExact(a.filter)) - Number(isExact(b.filter)),
    );
    const moves = await Promise.allSettled(carried.map((want) => this.#fence(want)));
    if (!followed.retiring || this.#followed.get(followed.filter) !== followed) return;
    // The log may have been out of reach: the filter stays, and is looked at again when its next holder leaves.
    followed.retiring = moves.every(({ status }) => status === 'fulfilled');
    if (!followed.retiring) return;
    for (const { carrier } of carried) {
      if (carrier?.fence !== undefined) this.#replace(followed, carrier.fence);
    }
  }
}
