import { matches, type Publication, type TopicFilter } from '@pushfleet/core';
import type { Parcel } from './delivery.ts';
import type { Mark } from './mark.ts';

/** Who is offered live publications. */
export interface Receiver {
  /** `before`: the place that is behind the reader without this one. */
  offer(parcel: Parcel, before: Mark): void;
}

/** A stretch that was given from the log: what lies in it does not come live as well. */
export interface LoggedStretch {
  from: Mark;
  to: Mark;
  /** What lies at or before this place was left to the feed's other filters where they match. */
  readonly claimed: Mark;
  /** Of the splice: it left to earlier ones what they may have given. */
  readonly turn: number;
}

// Only a publication that the bus hands over late asks for these, and it is late by seconds.
const remembered = 8;

/** One filter of one feed. */
export class Subscription<R extends Receiver = Receiver> {
  readonly receiver: R;
  readonly filter: TopicFilter;
  /** What matches and lies at or before this place is not owed. */
  from: Mark;
  /** Up to where it was given before it was taken off the live supply; the rest is its splice's. */
  given: Mark | undefined;
  /** Up to where a splice gave it, when it went live, and how many items its feed had been given by then. */
  spliced: { readonly to: Mark; readonly turn: number } | undefined;
  /** Up to where it was taken of the log, which may be ahead of what the bus has handed over. */
  taken: Mark | undefined;
  /** The reader was there before `from`, so that what comes late is new to it. */
  resumed = false;
  readonly logged: LoggedStretch[] = [];
  /** Where it stands among the holders of its filter while it is live; -1 else. */
  index = -1;
  /** The hub's interest in the filter is held for it. */
  held = false;
  /** The feed gave it back. */
  removed = false;

  constructor(receiver: R, filter: TopicFilter, from: Mark) {
    this.receiver = receiver;
    this.filter = filter;
    this.from = from;
  }

  get live(): boolean {
    return this.index >= 0;
  }

  /** Whether a matching publication is its feed's due. `late`: the bus gave later ones of its shard before. */
  isOwed({ shard, sequence }: Publication, late: boolean): boolean {
    return sequence > this.from.at(shard) || (late && this.resumed);
  }

  /** The stretch of the log that a publication was in. */
  stretchOf({ shard, sequence }: Publication): LoggedStretch | undefined {
    return this.logged.find(({ from, to }) => sequence > from.at(shard) && sequence <= to.at(shard));
  }

  remember(stretch: LoggedStretch): void {
    if (this.logged.push(stretch) > remembered) this.logged.shift();
  }
}

/** Whether a feed was given a publication from the log, by any of its subscriptions. */
export function wasLogged(all: Iterable<Subscription>, publication: Publication): boolean {
  const subscriptions = [...all];
  return subscriptions.some((one) => {
    const stretch = one.stretchOf(publication);
    if (stretch === undefined || !matches(one.filter, publication.topic)) return false;
    return !subscriptions.some((other) => wasLeft(other, publication, stretch));
  });
}

/** Whether a splice left what it found in the log to this subscription, which had yet to be handed it live. */
function wasLeft(to: Subscription, publication: Publication, stretch: LoggedStretch): boolean {
  const { topic, shard, sequence } = publication;
  const { spliced, given, live, filter } = to;
  if (to.logged.includes(stretch) || !to.isOwed(publication, false)) return false;
  const before = spliced !== undefined && spliced.turn < stretch.turn && sequence <= spliced.to.at(shard);
  const supplied = sequence <= stretch.claimed.at(shard) && (live || given !== undefined);
  return (before || supplied) && matches(filter, topic);
}
