import type { Cursor, Item, PushfleetError, TopicFilter } from '@pushfleet/core';
import type { Delivery } from './delivery.ts';

/** Why a hub closed a feed by itself. */
export type CloseReason =
  | { readonly kind: 'slow_consumer' }
  | { readonly kind: 'draining' }
  | { readonly kind: 'failed'; readonly error: PushfleetError };

export interface FeedOptions {
  /**
   * What happens when the outbox is full. `close`: the feed ends, its client comes back and resumes. `latest`:
   * one publication per topic stays; where even those are too many the feed closes. `rewind`: the outbox is
   * dropped, and read from the log again once the feed is taken from.
   */
  readonly overflow: 'close' | 'latest' | 'rewind';
  /** Most items in the outbox. */
  readonly count: number;
  /** Most bytes in the outbox; one item always fits. */
  readonly bytes: number;
  /**
   * There is something to take: called once when the outbox is no longer empty, for all feeds together after a
   * turn of the event loop, and never inside `add` or `take`. Only a burst that fills the outbox within one turn
   * calls it from within, so that its taker gets a chance.
   */
  onReadable(): void;
  /** It is `live` again, after an `add` that asked for something of the past; called before `onReadable` of the same turn. */
  onLive?(): void;
  /** The hub closed the feed; not called after `close()`. */
  onClose(reason: CloseReason): void;
}

/** What filters ask for of the past. */
export interface Past {
  readonly after?: Cursor;
  readonly retained?: boolean | readonly TopicFilter[];
}

/** A live receiver's ordered supply. */
export interface Feed {
  /**
   * Adds filters; those the feed holds already stay as they are. Resolves once they are fenced: all that is
   * stored from then on comes, and before it, in order, what `after` and `retained` ask for.
   *
   * @param o.after a cursor: all that matches and was stored after it comes too
   * @param o.retained gives the retained publications first, of all these filters or of some
   * @throws PushfleetError `cursor_invalid`, `too_many_filters`, `draining` when the feed is closed, or
   * `unavailable` when the log is out of reach
   */
  add(filters: readonly TopicFilter[], o?: Past): Promise<void>;
  /** What matches no other filter stops; what waits in the outbox stays. */
  remove(filter: TopicFilter): void;
  /**
   * Takes the oldest items: at most `count` publications of together at most `bytes`, and at least one where there is
   * one. Gaps come on top: who takes one at a time behind what ages out would be given gaps alone, for ever. Never waits.
   */
  take(count: number, bytes: number): readonly Item<Delivery>[];
  /** Resuming the feed's filters from here loses nothing that was not taken. Moves on while nothing matches. */
  readonly cursor: Cursor;
  /** Nothing that a resolved `add` asked for of the past is still to come: all of it is in the outbox or was taken. */
  readonly live: boolean;
  /** Retained publications that an `add` asked for are still to come, or to be taken. */
  readonly retaining: boolean;
  close(): void;
}
