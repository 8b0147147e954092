import {
  type Lent,
  matches,
  type Namespace,
  type Publication,
  type Share,
  type TopicFilter,
} from '@pushfleet/core';
import type { Clock } from '../clock.ts';
import type { GroupTerms } from '../group-rules.ts';
import type { MemoryLog } from './log.ts';
import type { MemorySource } from './source.ts';

/** What the broker would hold of a group; each process takes part by a `MemoryShare` of its own. */
export class MemoryGroup {
  readonly #log: MemoryLog;
  readonly #clock: Clock;
  readonly #namespace: Namespace;
  readonly #fresh = new Set<Publication>();
  /** Was in hand before and goes first, as with JetStream. */
  readonly #returned = new Set<Publication>();
  /** Whose turn it is, is in front. */
  readonly #members = new Set<MemoryShare>();
  readonly #stopListening: () => void;
  #soon = false;

  constructor(log: MemoryLog, clock: Clock, namespace: Namespace, filter: TopicFilter) {
    this.#log = log;
    this.#clock = clock;
    this.#namespace = namespace;
    this.#stopListening = log.listen((entry) => {
      if (entry.namespace !== namespace || !matches(filter, entry.publication.topic)) return;
      this.#fresh.add(entry.publication);
      this.wake();
    });
  }

  join(member: MemoryShare): void {
    this.#members.add(member);
    this.wake();
  }

  leave(member: MemoryShare): void {
    this.#members.delete(member);
  }

  return(publication: Publication): void {
    this.#returned.add(publication);
    this.wake();
  }

  close(): void {
    this.#stopListening();
    for (const member of this.#members) member.gone();
    this.#members.clear();
  }

  /** Hands out in a turn of its own, so that no `on` runs inside a call of its member's. */
  wake(): void {
    if (this.#soon) return;
    this.#soon = true;
    this.#clock.after(0, () => {
      this.#soon = false;
      this.#deal();
    });
  }

  /** One to each in turn. */
  #deal(): void {
    for (let member = this.#next(); member !== undefined; member = this.#next()) {
      const publication = this.#take();
      if (publication === undefined) return;
      this.#members.delete(member);
      this.#members.add(member);
      member.give(publication);
    }
  }

  #next(): MemoryShare | undefined {
    for (const member of this.#members) if (member.wants) return member;
    return undefined;
  }

  #take(): Publication | undefined {
    for (const waiting of [this.#returned, this.#fresh]) {
      for (const publication of waiting) {
        waiting.delete(publication);
        const { shard, sequence, expiresAt } = publication;
        const isOver = expiresAt !== undefined && expiresAt <= this.#clock.now();
        // What was deleted or aged out while it waited is nobody's.
        if (!isOver && this.#log.at(this.#namespace, shard, sequence) !== undefined) return publication;
      }
    }
    return undefined;
  }
}

/** One process's part in a group, through a connection that can be cut. */
export class MemoryShare implements Share {
  readonly #source: MemorySource;
  readonly #clock: Clock;
  readonly #terms: GroupTerms;
  readonly #on: (lent: Lent) => void;
  readonly #onGone: () => void;
  readonly #held = new Set<Publication>();
  /** What was said while the connection was away. */
  readonly #unsaid: (() => void)[] = [];
  #group: MemoryGroup | undefined;
  #wanted = 0;
  #died = false;

  constructor(
    group: MemoryGroup | undefined,
    source: MemorySource,
    clock: Clock,
    terms: GroupTerms,
    on: (lent: Lent) => void,
    onGone: () => void,
  ) {
    this.#group = group;
    this.#source = source;
    this.#clock = clock;
    this.#terms = terms;
    this.#on = on;
    this.#onGone = onGone;
    if (group === undefined) clock.after(0, onGone);
    else group.join(this);
  }

  get wants(): boolean {
    return this.#wanted > 0 && this.#source.reachable;
  }

  want(count: number): void {
    this.#wanted = count;
    this.#group?.wake();
  }

  stop(): void {
    for (const publication of [...this.#held]) this.#say(() => this.#back(publication));
    this.#wanted = 0;
    this.#group?.leave(this);
  }

  give(publication: Publication): void {
    this.#wanted--;
    this.#held.add(publication);
    this.#on({
      publication,
      done: () => this.#say(() => this.#held.delete(publication)),
      back: () => this.#say(() => this.#back(publication)),
    });
  }

  gone(): void {
    this.#group = undefined;
    this.#held.clear();
    this.#clock.after(0, this.#onGone);
  }

  /** The process ended: others have what it held when its lease is over. */
  die(): void {
    this.#died = true;
    this.#group?.leave(this);
    this.miss();
  }

  /** The connection was cut: unless it is back in time, others have what it holds. */
  miss(): void {
    this.#clock.after(this.#terms.leaseMs, () => {
      if (!this.#died && this.#source.reachable) return;
      for (const publication of [...this.#held]) this.#back(publication);
    });
  }

  back(): void {
    for (const verdict of this.#unsaid.splice(0)) verdict();
    this.#group?.wake();
  }

  #say(verdict: () => void): void {
    if (this.#died) return;
    if (this.#source.reachable) verdict();
    else this.#unsaid.push(verdict);
  }

  #back(publication: Publication): void {
    if (this.#held.delete(publication)) this.#group?.return(publication);
  }
}
