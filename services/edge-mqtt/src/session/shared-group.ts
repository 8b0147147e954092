import type { Bus, Share, TopicFilter } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';
import { SharedWork, type Work } from './shared-work.ts';

/** A connection whose session is subscribed, as its group sees it. */
export interface SharedMember {
  /** How many publications it takes at this moment. */
  readonly credit: number;
  /** Whether the publication is not too large for its client. */
  fits(share: string, work: Work): boolean;
  /** Sends them: at most `credit` of them, which all fit. */
  give(share: string, work: readonly Work[]): void;
  /** What it left room for does not come. */
  dry(): void;
}

export type GroupBus = Pick<Bus, 'openGroup' | 'share'>;

export interface SharedGroupOptions {
  /** `$share/`, the ShareName and the filter. */
  readonly name: string;
  readonly filter: TopicFilter;
  /** The group's name in the log. */
  readonly id: string;
  readonly bus: GroupBus;
  /** Unix time in milliseconds. */
  readonly now: () => number;
  /** Calls `run` once after `ms` milliseconds; returns how to cancel it. */
  readonly after: (ms: number, run: () => void) => () => void;
  readonly log: Pick<Log, 'warn'>;
  /** No member is here, and nothing that one has in hand. */
  readonly onEmpty: () => void;
}

/** What one member is given in one go. */
interface Dealt {
  readonly work: Work[];
  bytes: number;
}

// What one write carries at most: see `Outflow`.
const dealtBytes = 64 * 1_024;
/** More than so much in one go brings nothing; counting who takes it would. */
const wantedMost = 256;
/** The log answers sooner than this where it has something. */
const patienceMs = 50;
/** A group that had nothing is not waited for again before this. */
const quietMs = 1_000;
/** A group that the log has no more is made again after this: by then, members whose sessions are over know it. */
const againMs = 1_000;

/**
 * This instance's part in a shared subscription (MQTT 5 section 4.8.2), for as long as a member is connected here.
 *
 * The log is asked for as much as the members take at this moment. What comes and finds none of them ready after all
 * goes back at once: nothing waits here.
 */
export class SharedGroup {
  readonly #o: SharedGroupOptions;
  #share: Share | undefined;
  readonly #members = new Set<SharedMember>();
  /** Members that may have credit, whose turn comes first in front. Who is found without comes back by `offer`. */
  readonly #ready = new Set<SharedMember>();
  /** Those that left room for what is about to come. */
  readonly #waiting = new Set<SharedMember>();
  /** Came in this turn of the event loop. */
  readonly #came: SharedWork[] = [];
  /** What came and is not settled. */
  #open = 0;
  #soon = false;
  /** Since when the log has had nothing for what is wanted; undefined: nothing is wanted. */
  #askedAt: number | undefined;
  #cameAt = 0;
  #quietUntil = 0;
  #cancelWait: (() => void) | undefined;

  constructor(options: SharedGroupOptions) {
    this.#o = options;
    this.#take();
  }

  /** A member is connected. */
  attach(member: SharedMember): void {
    this.#members.add(member);
    this.offer(member, false);
  }

  detach(member: SharedMember): void {
    if (!this.#members.delete(member)) return;
    this.#ready.delete(member);
    this.#served(member);
    this.#deal();
    this.#ifEmpty();
  }

  /**
   * The member may have credit again.
   *
   * @param waits it leaves room where something is likely to come within moments, until `give` or `dry`
   * @returns whether it is
   */
  offer(member: SharedMember, waits: boolean): boolean {
    if (!this.#members.has(member)) return false;
    this.#ready.add(member);
    this.#dealSoon();
    if (!waits || !this.#expects) return false;
    this.#waiting.add(member);
    this.#cancelWait ??= this.#o.after(patienceMs, () => this.#waited());
    return true;
  }

  /** As the end of the process: what is in hand goes to others. */
  close(): void {
    for (const member of [...this.#members]) this.detach(member);
    this.#share?.stop();
  }

  #take(): void {
    const { bus, id } = this.#o;
    this.#share = bus.share(
      id,
      (lent) => {
        this.#open++;
        this.#came.push(new SharedWork(lent, () => this.#settled()));
        this.#cameAt = this.#o.now();
        this.#askedAt = this.#cameAt;
        this.#quietUntil = 0;
        this.#dealSoon();
      },
      () => this.#gone(),
    );
  }

  /** Its last session has left, and members that are still here are about to hear it; or somebody removed it. */
  #gone(): void {
    this.#share = undefined;
    this.#o.after(againMs, () => void this.#again());
  }

  async #again(): Promise<void> {
    if (this.#members.size === 0) return;
    const { bus, id, filter, name, log } = this.#o;
    try {
      await bus.openGroup(id, filter);
      log.warn({ share: name }, 'the log had no such group any more; it is made again and begins anew');
      this.#take();
      this.#deal();
    } catch (error) {
      log.warn({ err: error, share: name }, 'a shared subscription cannot be made again; trying on');
      this.#gone();
    }
  }

  #settled(): void {
    this.#open--;
    this.#ifEmpty();
  }

  /** What members have in hand that unsubscribed is theirs until they have done it ([MQTT-3.10.4-3]). */
  #ifEmpty(): void {
    if (this.#members.size > 0 || this.#open > 0) return;
    this.#cancelWait?.();
    this.#share?.stop();
    this.#o.onEmpty();
  }

  #dealSoon(): void {
    if (this.#soon) return;
    this.#soon = true;
    queueMicrotask(() => {
      this.#soon = false;
      this.#deal();
    });
  }

  #deal(): void {
    for (let dealt = this.#hands(); dealt.size > 0; dealt = this.#hands()) {
      for (const [member, { work }] of dealt) {
        this.#served(member);
        member.give(this.#o.name, work);
        if (this.#members.has(member)) this.#ready.add(member);
      }
    }
    for (const work of this.#came.splice(0)) work.back();
    this.#ask();
  }

  /** Asks the log for what the members take at this moment. */
  #ask(): void {
    let wanted = 0;
    for (const member of this.#ready) {
      if (wanted >= wantedMost) break;
      if (member.credit === 0) this.#ready.delete(member);
      wanted += member.credit;
    }
    this.#share?.want(wanted);
    if (wanted === 0) this.#askedAt = undefined;
    else this.#askedAt ??= this.#o.now();
  }

  /** Something is likely to come within moments. */
  get #expects(): boolean {
    const now = this.#o.now();
    if (now < this.#quietUntil || this.#share === undefined) return false;
    return this.#askedAt === undefined || now - this.#askedAt < patienceMs;
  }

  #served(member: SharedMember): void {
    this.#waiting.delete(member);
    if (this.#waiting.size > 0) return;
    this.#cancelWait?.();
    this.#cancelWait = undefined;
  }

  #waited(): void {
    this.#cancelWait = undefined;
    const now = this.#o.now();
    if (now - this.#cameAt >= patienceMs) this.#quietUntil = now + quietMs;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const member of waiting) member.dry();
  }

  /** One to each in turn, while there is credit and something to give. */
  #hands(): Map<SharedMember, Dealt> {
    const hands = new Map<SharedMember, Dealt>();
    const hasRoom = (member: SharedMember): boolean => {
      const { work, bytes } = hands.get(member) ?? nothing;
      return bytes < dealtBytes && work.length < member.credit;
    };
    while (this.#came.length > 0 && this.#anyReady(hasRoom)) {
      const work = this.#came.shift() as SharedWork;
      const member = this.#taker(work, hasRoom);
      if (member === undefined) {
        // [MQTT-3.1.2-25] and what follows it: what none of those who could have it takes counts as delivered.
        work.done();
        continue;
      }
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
      if (!hasRoom(member) || !member.fits(this.#o.name, work)) continue;
      this.#ready.delete(member);
      this.#ready.add(member);
      return member;
    }
    return undefined;
  }
}

const nothing: Dealt = { work: [], bytes: 0 };
