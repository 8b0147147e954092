import { type Member, type Namespace, PushfleetError, type Topic } from '@pushfleet/core';
import type { Store } from '../redis.ts';
import type { MemberEntry, MemberKey } from './check-entry.ts';
import { metaOf, prefixOf } from './keys.ts';
import { type Ending, type Leases, lapsed } from './leases.ts';
import { presenceLimits } from './limits.ts';
import { encodeBody, readMember, refOf, refOfToken, subjectRefs, tokenOf } from './record.ts';
import { leaveScript, listScript, putScript, releaseScript, tendScript, topicsScript } from './scripts.ts';

/** Why an entry was refused, and the limit. */
export interface Refused {
  readonly refused: 'topic' | 'namespace' | 'wait';
  readonly limit: number;
}

export interface MemberLimits {
  /** Most members of one topic, and of one namespace. */
  readonly topic: number;
  readonly namespace: number;
  /** Most changes of one namespace that wait to be published; beyond it only leaves are taken. */
  readonly waiting: number;
}

export interface ListQuestion {
  readonly namespace: Namespace;
  readonly topic: Topic;
  /** Empty: everybody. */
  readonly subject: string;
  /** From the page before; empty: from the beginning. */
  readonly after: string;
  /** Most members; a page has fewer where they are large. */
  readonly limit: number;
}

export interface MemberList {
  readonly members: readonly Member[];
  /** Empty: this was the last page. */
  readonly next: string;
  readonly total: number;
}

/** How a namespace was found. */
export interface Tended {
  readonly epoch: string;
  readonly waiting: number;
  readonly holders: readonly string[];
  /** How many left because their time had run out. */
  readonly expired: number;
}

/** Members that one script touches: Redis does nothing else meanwhile. */
const stepCount = 250;
/** How long nothing can be entered under a lease that has ended, in seconds. */
const tombstoneSeconds = 3_600;

/** The members in Redis. All reject with `unavailable` without it. */
export class Members {
  readonly #store: Store;
  readonly #leases: Leases;
  readonly #limits: MemberLimits;

  constructor(store: Store, leases: Leases, limits: MemberLimits) {
    this.#store = store;
    this.#leases = leases;
    this.#limits = limits;
  }

  /**
   * Enters or updates members of one namespace; answers stand in the order of the entries.
   *
   * @throws PushfleetError `precondition_failed` where the lease is not held
   */
  async put(
    lease: string,
    namespace: Namespace,
    entries: readonly MemberEntry[],
  ): Promise<(Member | Refused)[]> {
    const answers: (Member | Refused)[] = [];
    for (let from = 0; from < entries.length; from += stepCount) {
      const some = entries.slice(from, from + stepCount);
      const replies = await this.#put(lease, namespace, some);
      for (const [index, reply] of replies.entries())
        answers.push(this.#answer(some[index] as MemberEntry, reply));
    }
    return answers;
  }

  async #put(lease: string, namespace: Namespace, entries: readonly MemberEntry[]): Promise<string[][]> {
    const { topic, namespace: all, waiting } = this.#limits;
    const args = entries.flatMap((entry) => [
      ...[entry.topic, refOf(entry.subject, entry.client), encodeBody(entry), entry.ttlMs, entry.since],
    ]);
    for (const registered of [0, 1]) {
      const head = [prefixOf(namespace), lease, registered, topic, all, waiting];
      const reply = await this.#store.run(putScript, metaOf(namespace), ...head, ...args);
      if (Array.isArray(reply)) return reply as string[][];
      if (reply === 'ended') throw lapsed();
      await this.#leases.register(lease, namespace);
    }
    throw new PushfleetError('internal', 'A lease was registered, and is not.');
  }

  #answer(entry: MemberEntry, reply: string[]): Member | Refused {
    const [first = '', changed, revision, expires] = reply;
    if (reply.length === 1) return { refused: first as Refused['refused'], limit: this.#limitOf(first) };
    const { subject, client, status, state, stateContentType } = entry;
    return {
      ...{ subject, client, status, state, stateContentType },
      ...{ since: Number(first), changed: Number(changed), revision: Number(revision) },
      ...(expires !== '' && { expiresAt: Number(expires) }),
    };
  }

  #limitOf(refused: string): number {
    if (refused === 'wait') return this.#limits.waiting;
    return refused === 'topic' ? this.#limits.topic : this.#limits.namespace;
  }

  /**
   * Takes members of one namespace off, or lets them linger. Says how many.
   *
   * @throws PushfleetError `precondition_failed` where the lease is not held
   */
  async leave(
    lease: string,
    namespace: Namespace,
    keys: readonly MemberKey[],
    lingerMs: number,
  ): Promise<number> {
    let count = 0;
    for (let from = 0; from < keys.length; from += stepCount) {
      const args = keys
        .slice(from, from + stepCount)
        .flatMap(({ topic, subject, client }) => [topic, refOf(subject, client)]);
      const head = [prefixOf(namespace), lease, lingerMs];
      const left = Number(await this.#store.run(leaveScript, metaOf(namespace), ...head, ...args));
      // Redis may have lost what is to leave: who entered it enters it again then, so that its leave is heard of.
      if (left < 0) await this.#leases.register(lease, namespace);
      count += Math.max(0, left);
    }
    return count;
  }

  /** @throws PushfleetError `request_invalid` for `after` */
  async list({ namespace, topic, subject, after, limit }: ListQuestion): Promise<MemberList> {
    const last = after === '' ? undefined : refOfToken(after);
    if (after !== '' && last === undefined) {
      throw new PushfleetError(
        'request_invalid',
        'The place in the list is not one that this fleet gave. Use one exactly as it was received, or leave it out to begin.',
      );
    }
    const first = subject === '' ? '-' : `[${subjectRefs(subject)}\0`;
    const high = subject === '' ? '+' : `(${subjectRefs(subject)}\u0001`;
    const low = last === undefined ? first : `(${last}\u0001`;
    const args = [prefixOf(namespace), topic, low, high, limit, presenceLimits.pageBytes];
    const reply = await this.#store.run(listScript, metaOf(namespace), ...args);
    const [total, more, ...found] = reply as [number, number, ...string[]];
    const members: Member[] = [];
    for (let i = 0; i < found.length; i += 2) {
      members.push(readMember(found[i] as string, found[i + 1] === '' ? null : (found[i + 1] as string)));
    }
    return { members, next: more === 1 ? tokenOf(members.at(-1) as Member) : '', total };
  }

  /** The topics that have members, in the order of their bytes, from behind `after`; the last revision, and how many members there are. */
  async topics(
    namespace: Namespace,
    after: string,
    limit: number,
  ): Promise<{ readonly revision: number; readonly members: number; readonly topics: readonly Topic[] }> {
    const low = after === '' ? '-' : `(${after}`;
    const reply = await this.#store.run(topicsScript, metaOf(namespace), prefixOf(namespace), low, limit);
    const [revision, members, topics] = reply as [string, string, Topic[]];
    return { revision: Number(revision), members: Number(members), topics };
  }

  /** Lets those leave whose time has run out. */
  async tend(namespace: Namespace): Promise<Tended> {
    let expired = 0;
    for (;;) {
      const reply = await this.#store.run(tendScript, metaOf(namespace), prefixOf(namespace), stepCount);
      const [epoch, waiting, due, holders] = reply as [string, number, number, string[]];
      expired += due;
      if (due < stepCount) return { epoch, waiting, holders, expired };
    }
  }

  /** Lets all leave that hang on a lease that has ended. Says how many. */
  async release(namespace: Namespace, lease: string, ending: Ending): Promise<number> {
    const kind = ending === 'left' ? 'l' : 'x';
    for (let count = 0; ; ) {
      const args = [prefixOf(namespace), lease, kind, stepCount, tombstoneSeconds];
      const left = Number(await this.#store.run(releaseScript, metaOf(namespace), ...args));
      count += left;
      if (left < stepCount) return count;
    }
  }
}
