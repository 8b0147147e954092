import {
  type Following,
  type Item,
  isExact,
  matches,
  type Namespace,
  type Place,
  type Publication,
  PushfleetError,
  parseCursor,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import type { Clock } from './clock.ts';
import { type Interest, Interests } from './interests.ts';
import type { LiveMessage, Source } from './source.ts';

export interface FollowerOptions {
  readonly clock: Clock;
  /** How often the tail of every topic is compared with the log, in milliseconds. */
  readonly auditMs: number;
  /** Most live messages of one shard, or of one joining filter, held at a time; past it they are read from the log. */
  readonly heldMessages: number;
  /** How long to wait before the log is asked again after it failed, in milliseconds. */
  readonly retryMs: number;
  /** Told how often healing ran and why, and how many publications it found. */
  readonly onHealed?: (report: { shard: number; reason: string; found: number }) => void;
}

export const followerDefaults = { auditMs: 20_000, heldMessages: 16_384, retryMs: 250 } as const;

interface Shard {
  readonly index: number;
  /** Everything matching up to this sequence is settled: handed over, or never owed. */
  base: number;
  /** Nothing behind the base was stored before this time: Unix milliseconds. */
  since: number;
  /** The head seen by the last audit: by the next one nothing up to it can still be under way. */
  auditTarget: number;
  /** Newest sequence handed over, of the topics with any above the base. */
  readonly seen: Map<string, number>;
  /** Live messages wait here while the shard heals, so that the cursor never runs ahead of a hole. */
  held: { interest: Interest; message: LiveMessage }[] | undefined;
  /** The running heal has to go round once more: something was suspected or dropped since it began. */
  again: boolean;
}

type Gap = Item<Publication> & { readonly kind: 'gap' };

const endOf = (gap: Gap, { index }: Shard): number => parseCursor(gap.to).positions[index] ?? 0;

/**
 * Turns a lossy live supply into one that loses nothing. The log tells with each message which sequence the
 * topic had before it; a message whose predecessor was not seen proves a loss. A lost tail is found by the
 * audits, and a lost connection or a changed leader is taken for a loss at once. Whatever is suspected, the
 * remedy is one: hold the shard, read from its last settled position, hand over what is new, go on.
 */
export class Follower implements Following {
  readonly #source: Source;
  readonly #namespace: Namespace;
  readonly #on: (item: Item<Publication>) => void;
  readonly #options: FollowerOptions;
  readonly #interests = new Interests();
  readonly #shards: Shard[];
  readonly #positions: number[];
  readonly #stopping = new AbortController();
  readonly #unsuspect: () => void;
  #joinedCount = 0;
  /** Stays while a shard heals: what that one has lost is older than what others hand over meanwhile. */
  #time = 0;
  /** Of what was handed over last. */
  #newest = 0;
  /** How many shards heal. */
  #healing = 0;
  /** Of whom it knew when it was whole. Stays while a shard heals. */
  #leaders: string | undefined;
  #auditTime = 0;
  #cancelAudit: () => void = () => {};

  constructor(
    source: Source,
    namespace: Namespace,
    on: (item: Item<Publication>) => void,
    options: FollowerOptions,
  ) {
    this.#source = source;
    this.#namespace = namespace;
    this.#on = on;
    this.#options = options;
    this.#positions = Array.from({ length: source.shards }, () => 0);
    this.#shards = this.#positions.map((_, index) => ({
      index,
      base: 0,
      since: 0,
      auditTarget: 0,
      seen: new Map(),
      held: undefined,
      again: false,
    }));
    this.#unsuspect = source.onSuspicion((suspicion) => {
      for (const shard of this.#shards) {
        const concerned = suspicion.kind === 'connection_lost' || suspicion.shard === shard.index;
        if (concerned) this.#heal(shard, suspicion.kind);
      }
    });
    this.#leaders = source.leaders.name;
    this.#scheduleAudit();
  }

  get place(): Place {
    const { generation } = this.#source;
    return { generation, positions: this.#positions, time: this.#time, leaders: this.#leaders };
  }

  async add(filter: TopicFilter): Promise<Place> {
    const interest = this.#attach(filter);
    try {
      const { sequences, time } = await this.#source.heads();
      // What a heal settled since then was settled without this interest.
      const fence = this.#shards.map(({ base, index }) => Math.max(base, sequences[index] ?? 0));
      if (this.#interests.get(filter) === interest) this.#join(interest, fence, time);
      return { generation: this.#source.generation, positions: fence, time };
    } catch (error) {
      this.remove(filter);
      throw PushfleetError.from(error);
    }
  }

  remove(filter: TopicFilter): void {
    const interest = this.#interests.get(filter);
    if (interest === undefined) return;
    interest.detach();
    this.#interests.delete(interest);
    if (interest.joined !== undefined) this.#joinedCount--;
    this.#forget(filter);
  }

  stop(): void {
    this.#stopping.abort();
    this.#unsuspect();
    this.#cancelAudit();
    this.#interests.detachAll();
  }

  #attach(filter: TopicFilter): Interest {
    if (this.#interests.get(filter) !== undefined)
      throw new Error(`the filter ${filter} is followed already`);
    const on = (message: LiveMessage) => this.#receive(interest, message);
    const { detach } = this.#source.attach(this.#namespace, filter, on);
    const interest: Interest = { filter, detach, joined: undefined, early: [], overflowed: false };
    this.#interests.set(interest);
    return interest;
  }

  #join(interest: Interest, fence: readonly number[], time: number): void {
    if (this.#joinedCount++ === 0) this.#startAt(fence, time);
    interest.joined = fence;
    const early = interest.early;
    interest.early = [];
    for (const message of early) this.#receive(interest, message);
    if (!interest.overflowed) return;
    for (const shard of this.#shards) {
      this.#positions[shard.index] = Math.min(this.#positions[shard.index] ?? 0, fence[shard.index] ?? 0);
      this.#heal(shard, 'too much came while joining');
    }
  }

  /** With no other interest nothing before the fence is owed, so every shard starts there. */
  #startAt(sequences: readonly number[], time: number): void {
    this.#time = time;
    for (const shard of this.#shards) {
      shard.seen.clear();
      shard.base = shard.auditTarget = this.#positions[shard.index] = sequences[shard.index] ?? 0;
      shard.since = time;
    }
  }

  #receive(interest: Interest, message: LiveMessage): void {
    if (this.#interests.get(interest.filter) !== interest) return; // removed while the message was under way
    const shard = this.#shards[message.shard] as Shard;
    if (interest.joined === undefined) this.#keepEarly(interest, message);
    else if (shard.held !== undefined) this.#hold(shard, interest, message);
    else this.#examine(shard, interest.joined, message);
  }

  #keepEarly(interest: Interest, message: LiveMessage): void {
    if (interest.early.length < this.#options.heldMessages) interest.early.push(message);
    else interest.overflowed = true;
  }

  #hold(shard: Shard, interest: Interest, message: LiveMessage): void {
    const held = shard.held ?? [];
    if (held.length < this.#options.heldMessages) {
      held.push({ interest, message });
      return;
    }
    held.length = 0;
    shard.again = true;
  }

  #examine(shard: Shard, joined: readonly number[], message: LiveMessage): void {
    const { topic, sequence } = message;
    const settled = shard.seen.get(topic) ?? this.#owedFrom(shard, topic, joined);
    if (sequence <= settled) return; // a duplicate, or older than the interest
    if (message.lastSequence > settled) {
      this.#heal(shard, 'predecessor missing'); // which reads this message too
      return;
    }
    this.#handOver(shard, message.publication());
  }

  #handOver(shard: Shard, publication: Publication): void {
    shard.seen.set(publication.topic, publication.sequence);
    this.#positions[shard.index] = publication.sequence;
    this.#newest = publication.time;
    if (this.#healing === 0) this.#time = this.#newest;
    this.#on({ kind: 'publication', value: publication });
  }

  /** Up to where a topic not seen since the base is settled. */
  #owedFrom(shard: Shard, topic: string, joined?: readonly number[]): number {
    if (joined !== undefined && (joined[shard.index] ?? 0) <= shard.base) return shard.base;
    return Math.max(shard.base, this.#interests.earliestFence(topic, shard.index));
  }

  /** Drops what is known of topics nobody follows now: on a return they start at the new fence, without a false alarm. */
  #forget(filter: TopicFilter): void {
    for (const { seen } of this.#shards) {
      const topics = isExact(filter)
        ? [filter]
        : [...seen.keys()].filter((topic) => matches(filter, topic as Topic));
      for (const topic of topics) {
        if (this.#interests.matching(topic)[Symbol.iterator]().next().done) seen.delete(topic);
      }
    }
  }

  #heal(shard: Shard, reason: string): void {
    if (shard.held !== undefined) {
      shard.again = true;
      return;
    }
    shard.held = [];
    this.#healing++;
    void this.#healUntilWhole(shard, reason);
  }

  async #healUntilWhole(shard: Shard, reason: string): Promise<void> {
    let found = 0;
    do {
      shard.again = false;
      try {
        found += await this.#readAgain(shard);
      } catch {
        shard.again = true; // the log is out of reach; nothing is released until it answers
        await this.#pause();
      }
      if (this.#stopping.signal.aborted) return;
    } while (shard.again);
    this.#options.onHealed?.({ shard: shard.index, reason, found });
    const held = shard.held ?? [];
    shard.held = undefined;
    if (--this.#healing === 0) {
      this.#time = Math.max(this.#time, this.#newest);
      this.#leaders = this.#source.leaders.name;
    }
    for (const { interest, message } of held) this.#receive(interest, message);
  }

  /** One pass from the last settled position to the head; returns how many publications had been missed. */
  async #readAgain(shard: Shard): Promise<number> {
    if (this.#joinedCount === 0) return 0;
    const { sequences, time } = await this.#source.heads();
    const head = sequences[shard.index] ?? 0;
    let found = 0;
    for await (const batch of this.#read(shard, head)) {
      for (const item of batch) {
        if (!this.#isNews(shard, item)) continue;
        if (item.kind === 'gap') this.#passGap(shard, item);
        else {
          found++;
          this.#handOver(shard, item.value);
        }
      }
    }
    this.#settle(shard, head, time);
    return found;
  }

  #read(shard: Shard, until: number): AsyncIterable<readonly Item<Publication>[]> {
    const after = this.#shards.map(({ base }) => base);
    const bounds = after.with(shard.index, Math.max(until, shard.base));
    const range = { after, until: bounds, since: this.#shards.map(({ since }) => since) };
    return this.#source.read(this.#namespace, this.#interests.filters, range, this.#stopping.signal);
  }

  #isMissing(shard: Shard, publication: Publication): boolean {
    const settled = shard.seen.get(publication.topic) ?? this.#owedFrom(shard, publication.topic);
    return publication.sequence > settled;
  }

  /** What aged out behind the newest position handed over was handed over in its time; only what lies beyond is lost. */
  #isNews(shard: Shard, item: Item<Publication>): boolean {
    if (item.kind === 'publication') return this.#isMissing(shard, item.value);
    return endOf(item, shard) > (this.#positions[shard.index] ?? 0);
  }

  #passGap(shard: Shard, gap: Gap): void {
    this.#positions[shard.index] = endOf(gap, shard);
    this.#on(gap);
  }

  /** Everything up to a head is settled that the log told at `time`: what is behind it was stored later. */
  #settle(shard: Shard, sequence: number, time: number): void {
    shard.base = Math.max(shard.base, sequence);
    shard.since = Math.max(shard.since, time);
    shard.auditTarget = Math.max(shard.auditTarget, shard.base);
    this.#positions[shard.index] = Math.max(this.#positions[shard.index] ?? 0, shard.base);
    for (const [topic, seen] of shard.seen) if (seen <= shard.base) shard.seen.delete(topic);
  }

  #scheduleAudit(): void {
    this.#cancelAudit = this.#options.clock.after(this.#options.auditMs, () => {
      void this.#audit().finally(() => {
        if (!this.#stopping.signal.aborted) this.#scheduleAudit();
      });
    });
  }

  async #audit(): Promise<void> {
    if (this.#joinedCount === 0) return;
    try {
      const whole = [];
      for (const shard of this.#shards) whole.push(await this.#auditShard(shard));
      if (whole.every(Boolean)) this.#time = Math.max(this.#time, this.#auditTime);
      const { sequences, time } = await this.#source.heads();
      this.#auditTime = time;
      for (const shard of this.#shards) shard.auditTarget = sequences[shard.index] ?? shard.auditTarget;
    } catch {
      // The log is out of reach: the lost connection heals on its own, and the next audit looks again.
    }
  }

  /** Compares what was handed over with the log up to the last audit's head; whether nothing was missing. */
  async #auditShard(shard: Shard): Promise<boolean> {
    const until = shard.auditTarget;
    for await (const batch of this.#read(shard, until)) {
      if (shard.held !== undefined) return false; // a heal began: it settles more than this audit would
      if (batch.some((item) => this.#isNews(shard, item))) {
        this.#heal(shard, 'audit');
        return false;
      }
    }
    if (shard.held === undefined) this.#settle(shard, until, this.#auditTime);
    return shard.held === undefined;
  }

  #pause(): Promise<void> {
    const { signal } = this.#stopping;
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        signal.removeEventListener('abort', end); // pauses are many while the log is away, the signal is one
        resolve();
      };
      const cancel = this.#options.clock.after(this.#options.retryMs, end);
      signal.addEventListener('abort', end, { once: true });
    });
  }
}
