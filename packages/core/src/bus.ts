import type { Cursor, Place } from './cursor.ts';
import type { PushfleetError } from './error.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Namespace } from './namespace.ts';
import type { Draft, Publication } from './publication.ts';
import type { Succession } from './succession.ts';
import type { Topic, TopicFilter } from './topic.ts';

/** The answer to a draft that the log holds. */
export interface Stored {
  readonly id: string;
  readonly topic: Topic;
  /** The place right behind this publication: its own shard's position and its time. */
  readonly cursor: Cursor;
  /** The log held it before: the same source, topic and id within the duplicate window. */
  readonly duplicate: boolean;
}

/** A publication, or the news that some can no longer be given. */
export type Item<T> =
  | { readonly kind: 'publication'; readonly value: T }
  | { readonly kind: 'gap'; readonly from: Cursor; readonly to: Cursor };

/** What a deletion took out of the log: of one topic, with sequences from `first` to `last`, both included. */
export interface Deletion {
  readonly topic: Topic;
  readonly shard: number;
  readonly first: number;
  readonly last: number;
  /** How many publications were there. */
  readonly count: number;
}

/** What a worker says of a publication it was given. */
export type Verdict = 'done' | { readonly retryMs: number } | { readonly dead: string };

/**
 * Live publications of a set of filters: each handed over once however many of the filters match, in order
 * per topic, healed after a loss.
 */
export interface Following {
  /**
   * Resolves once the interest is fenced: everything matching that is stored after the returned place reaches
   * `on`. Adding a filter twice is an error of the caller.
   *
   * @throws PushfleetError `unavailable` when the log is out of reach
   */
  add(filter: TopicFilter): Promise<Place>;
  /** Matching publications stop, unless another filter of this following matches them. */
  remove(filter: TopicFilter): void;
  /**
   * Everything at or before this place that matches a filter added by then has been handed to `on`. The array
   * inside is reused: read it before the next publication, or copy it.
   */
  readonly place: Place;
  stop(): void;
}

export interface WorkOptions {
  /** Most publications handed out at once. */
  readonly concurrency: number;
  /** Hand out the publications of one topic one after the other. */
  readonly orderedByTopic: boolean;
}

/** What a member of a group was handed: others have it once the member gives it back, or is gone. */
export interface Lent {
  readonly publication: Publication;
  /** It is never handed out again. Harmless to call twice. */
  done(): void;
  /** It is handed out again at once, to whoever asks for something. Nothing once it is done. */
  back(): void;
}

/** A member of a group. */
export interface Share {
  /** How many more it takes at this moment; replaces what was said before. What is handed over counts against it. */
  want(count: number): void;
  /** Gives back what is in hand, and takes nothing more. */
  stop(): void;
}

/** One namespace's view of the log. */
export interface Bus {
  /**
   * Settles once every draft is stored or refused; answers stand in the order of the drafts. Never rejects.
   *
   * @param succession what these drafts go on; without it they are one of their own
   */
  publish(drafts: readonly Draft[], succession?: Succession): Promise<readonly (Stored | PushfleetError)[]>;

  /**
   * Whether a place may be taken at its word: what was live may lie behind what was lost on the way to its giver around
   * a change of leader that it had not heard of. `replay` goes back behind one that is not trusted.
   */
  trusts(place: Place): boolean;

  /** Opens a live supply without filters. `on` must not throw and is not called after `stop`. */
  follow(on: (item: Item<Publication>) => void): Following;

  /**
   * Reads what is stored after `after` up to and including `until` and matches any of the filters: each
   * publication once, shard after shard, sequences ascending within each. What can no longer be given comes as a gap; what was
   * deleted, or outlived the time its publisher gave it, does not. A shard whose `until` lies before `after` has
   * nothing to read.
   *
   * @param after undefined: from the oldest that is stored, without a gap before it
   * @param onStart told before anything is given where the reading begins: at `after`, or behind it in the shards
   *   whose part of it the log does not trust, with an earlier time even where nothing lies in between. The place is
   *   `read`, and so is every place further on in this reading
   * @throws PushfleetError `cursor_invalid`, or `unavailable` when the log is out of reach
   */
  replay(
    filters: readonly TopicFilter[],
    after: Cursor | undefined,
    until: Cursor,
    signal: AbortSignal,
    onStart?: (start: Cursor) => void,
  ): AsyncIterable<readonly Item<Publication>[]>;

  /**
   * The publication of this topic right before the cursor: the one whose receipt or delivery named it. Undefined
   * where it is not stored (any more).
   *
   * @throws PushfleetError `cursor_invalid`, or `unavailable` when the log is out of reach
   */
  find(topic: Topic, at: Cursor): Promise<Publication | undefined>;

  /**
   * Deletes what is stored on a topic: all of it, or the one publication that `find` gives. The retained
   * publication goes with it. Whoever resumes later is not told of a gap for it. What is on its way to
   * receivers at this moment may still arrive.
   *
   * @throws PushfleetError `cursor_invalid`, or `unavailable` when the log is out of reach
   */
  delete(topic: Topic, at?: Cursor): Promise<Deletion>;

  /**
   * The publications at these places of this namespace, in their order; undefined where one is not stored (any more).
   *
   * @throws PushfleetError `unavailable` when the log is out of reach
   */
  at(
    places: readonly Pick<Publication, 'shard' | 'sequence'>[],
  ): Promise<readonly (Publication | undefined)[]>;

  /** The place of the newest stored publication: everything acknowledged before the call is at or before it. */
  head(): Promise<Cursor>;

  /**
   * The retained publications that match, in no particular order, in batches. Of one topic, what the last publish or
   * deletion that was acknowledged made it; under a wildcard one that was replaced or cleared a moment ago may come,
   * too, before what replaced it.
   */
  retained(filter: TopicFilter, signal: AbortSignal): AsyncIterable<readonly Publication[]>;

  /**
   * Takes part in a durable group that shares the matching publications out: each goes to one member and
   * comes back when its lease ends without a verdict.
   */
  work(
    group: string,
    filter: TopicFilter,
    options: WorkOptions,
    on: (publication: Publication, lease: { extend(): void }) => Promise<Verdict>,
  ): Promise<{ stop(): Promise<void> }>;

  /**
   * Makes a group, whose members share out what matches: what is stored after this resolves is kept for them until
   * one has done it. A group that is there already stays as it is.
   *
   * @param group 1 to 64 letters, digits, `_` or `-`
   */
  openGroup(group: string, filter: TopicFilter): Promise<void>;

  /** Forgets a group, and what it still owed. One that is not there is no error. */
  closeGroup(group: string): Promise<void>;

  /**
   * Takes part in a group that was opened. Nothing is handed over that was not wanted; of what a member left undone
   * when it died others have it some seconds later. `on` must not throw.
   *
   * @param onGone the group is not there (any more); nothing comes from it
   */
  share(group: string, on: (lent: Lent) => void, onGone: () => void): Share;
}

/**
 * Short messages between the instances of the fleet, past the log: not stored, and lost for who is away. Values
 * are JSON of at most 64 KiB; what others send is to be checked like any input.
 */
export interface Signals {
  /**
   * Tells every instance that listens, this one included. Never throws: without a connection, or where it is too
   * large, nobody hears it.
   */
  tell(name: string, value: unknown): void;
  /** Calls `on` for what is told under this name; returns how to stop. */
  hear(name: string, on: (value: unknown) => void): () => void;
  /**
   * Asks every instance that answers under this name, this one included. Hands over each answer until `on`
   * returns true (enough) or the time is up; where nobody can answer, it ends at once. Rejects with what `on`
   * throws, and where the question is too large.
   */
  ask(name: string, question: unknown, waitMs: number, on: (answer: unknown) => boolean): Promise<void>;
  /** Answers questions of this name, now or by a promise; undefined answers nothing. Returns how to stop. */
  answer(name: string, on: (question: unknown) => unknown): () => void;
  /** Calls `on` when the connection is back after a loss: what was told or asked meanwhile was missed. */
  onReturn(on: () => void): () => void;
}

/** The fleet's connection to its log. */
export interface Backbone extends Lifecycle {
  readonly signals: Signals;
  /** Whether the log answers at this moment; a service that needs it is not ready while it does not. */
  readonly ready: boolean;
  /** The view of one namespace; cheap, the same object for the same namespace. */
  bus(namespace: Namespace): Bus;
}
