import { type Cursor, formatCursor, type Place, type Publication, parseCursor } from '@pushfleet/core';

/** The newest that a reader has of one shard may be so much newer than the oldest that is to come of another. */
const skewMs = 10_000;

/** A place that never changes and whose text is made once, when somebody asks for it. */
export class Mark implements Place {
  readonly generation: string;
  readonly positions: readonly (number | undefined)[];
  readonly time: number;
  /** As a cursor says it. A place that is made of several is read only where all of them are. */
  readonly read: boolean;
  readonly leaders: string | undefined;
  #cursor: Cursor | undefined;
  /** Its text names what the log does not have. */
  #lost = false;
  #passed: Mark | undefined;

  /** @param passed see `passed`; left out where it is this place itself */
  constructor(
    generation: string,
    positions: readonly (number | undefined)[],
    time: number,
    passed?: Mark | undefined,
    read = false,
    leaders?: string | undefined,
  ) {
    this.generation = generation;
    this.positions = positions;
    this.time = time;
    this.#passed = passed;
    this.read = read;
    this.leaders = read ? undefined : leaders;
  }

  /**
   * The furthest place of what was handed over. It is beyond this place while the bus fills a hole: a client that
   * resumes goes back for the hole, but a feed that stays has what lies behind it.
   */
  get passed(): Mark {
    return this.#passed ?? this;
  }

  /** A copy of a place whose array may be reused by its owner. */
  static of(place: Place): Mark {
    const { generation, positions, time, read, leaders } = place;
    return new Mark(generation, positions.slice(), time, undefined, read, leaders);
  }

  /** @throws PushfleetError `cursor_invalid` */
  static parse(cursor: string): Mark {
    return Mark.of(parseCursor(cursor));
  }

  /** This place as a client is told it, for a reader that has got to `passed`. */
  told(passed: Mark): Mark {
    if (this === passed) return this;
    return new Mark(this.generation, this.positions, this.time, passed, false, this.leaders);
  }

  get cursor(): Cursor {
    this.#cursor ??= formatCursor(this);
    return this.#cursor;
  }

  /** The position in a shard; a shard that is absent counts as unread. */
  at(shard: number): number {
    return this.positions[shard] ?? 0;
  }

  /** Whether a publication lies at or before this place; where a shard has no position, its time tells. */
  isPast({ shard, sequence, time }: Publication): boolean {
    const position = this.positions[shard];
    return position === undefined ? time < this.time : sequence <= position;
  }

  /** Whether every shard has a position, so that the place can be compared with others. */
  get complete(): boolean {
    return !this.positions.includes(undefined);
  }

  /** Whether nothing at or before `other` lies after this place. */
  reaches(other: Mark): boolean {
    if (this.generation !== other.generation) return false;
    const shards = Math.max(this.positions.length, other.positions.length);
    for (let shard = 0; shard < shards; shard++) if (this.at(shard) < other.at(shard)) return false;
    return true;
  }

  /**
   * This place with one more publication of the log behind the reader, who reads up to `until`, shard after shard. The
   * time stays as long as a later shard is unread: what lies there is older, and may age out.
   */
  past({ shard, sequence, time }: Publication, until: Mark): Mark {
    const positions = this.positions.slice();
    positions[shard] = Math.max(this.at(shard), sequence);
    for (let later = shard + 1; later < until.positions.length; later++)
      if (this.at(later) < until.at(later)) return this.#onward(positions, this.time);
    return this.#onward(positions, time);
  }

  /**
   * This place in a log that ends at `head`: a shard in which it names what the log does not have, in another
   * generation every shard, is without a position. It keeps its text, by which the log tells that something was lost.
   */
  within(head: Mark): Mark {
    const own = this.generation === head.generation;
    const whole = own && this.positions.length === head.positions.length;
    const positions = head.positions.map((_, shard) =>
      own && this.at(shard) <= head.at(shard) ? this.positions[shard] : undefined,
    );
    if (whole && positions.every((position, shard) => position === this.positions[shard])) return this;
    const mark = new Mark(head.generation, positions, this.time);
    mark.#cursor = this.cursor;
    mark.#lost = true;
    return mark;
  }

  /**
   * This place, once the log was asked to read on from `asked` and began at `start`: moved back in every shard that
   * `start` goes back in, and as trustworthy as the log's own place. Where `start` is earlier only by its time, nothing
   * lies in between; but behind `asked` there may be what this place has skipped.
   */
  restarted(asked: Mark, start: Mark): Mark {
    if (this.generation !== start.generation) return this;
    const back = start.time < asked.time;
    const positions = start.positions.map((begun, shard) => {
      const position = this.positions[shard];
      if (position === undefined) return begun;
      return back || (begun ?? 0) < asked.at(shard) ? Math.min(position, begun ?? 0) : position;
    });
    return new Mark(this.generation, positions, this.time, undefined, true);
  }

  /** This place, at which nothing more lay at that time, Unix milliseconds. */
  aged(time: number): Mark {
    if (time <= this.time) return this;
    return new Mark(this.generation, this.positions, time, this.#passed, this.read, this.leaders);
  }

  /** This place, with the log read on from it up to `end`. */
  readTo(end: Mark): Mark {
    const reached = this.later(end);
    const { generation, positions, time, leaders } = reached;
    return new Mark(generation, positions, time, undefined, this.read, leaders);
  }

  /** This place with a gap behind the reader; a shard that `to` does not name stays where it is. */
  pastGap(to: Mark): Mark {
    if (this.generation !== to.generation) return to;
    const positions = this.positions.map((position, shard) => {
      const end = to.positions[shard];
      return end === undefined ? position : Math.max(position ?? 0, end);
    });
    return this.#onward(positions, to.time);
  }

  /** The furthest of both in every shard; across generations, `other`. */
  later(other: Mark): Mark {
    if (this === other || this.generation !== other.generation) return other;
    const further = this.#passed === undefined || other.passed.reaches(this.#passed);
    if (further && other.reaches(this)) return this.read ? other : other.plain;
    const passed =
      this.#passed === undefined && other.#passed === undefined ? undefined : this.passed.later(other.passed);
    return this.#combine(other, Math.max, Math.max(this.time, other.time), passed);
  }

  /** The nearest of both in every shard; across generations, `other`. */
  earlier(other: Mark): Mark {
    if (this === other || this.generation !== other.generation) return other;
    if (this.#lost && this.#isNoLater(other)) return this;
    if (other.#lost && other.#isNoLater(this)) return other;
    if (!this.complete || !other.complete) return this.#earlierByTime(other);
    if (other.reaches(this)) return other.read ? this : this.plain;
    return this.#combine(other, Math.min, Math.min(this.time, other.time));
  }

  #isNoLater(other: Mark): boolean {
    return other.reaches(this) && this.time <= other.time;
  }

  /** A shard of which either has no position resumes by time: before what the other has yet to be given of it. */
  #earlierByTime(other: Mark): Mark {
    const shards = Math.max(this.positions.length, other.positions.length);
    const positions = Array.from({ length: shards }, (_, shard) => {
      const [one, two] = [this.positions[shard], other.positions[shard]];
      return one === undefined || two === undefined ? undefined : Math.min(one, two);
    });
    const timeOf = (mark: Mark): number => {
      const gaveUp = positions.some(
        (position, shard) => position !== mark.positions[shard] && position === undefined,
      );
      return gaveUp ? Math.max(0, mark.time - skewMs) : mark.time;
    };
    return new Mark(this.generation, positions, Math.min(timeOf(this), timeOf(other)));
  }

  /** The time stays as long as a shard has no position: that shard resumes by it. */
  #onward(positions: readonly (number | undefined)[], time: number): Mark {
    const newest = this.complete ? Math.max(this.time, time) : this.time;
    return new Mark(this.generation, positions, newest, undefined, this.read, this.leaders);
  }

  /** This place as a live reader is told it, which says nothing of what was lost on the way. */
  get plain(): Mark {
    return this.read ? new Mark(this.generation, this.positions, this.time, this.#passed) : this;
  }

  #combine(other: Mark, choose: (a: number, b: number) => number, time: number, passed?: Mark): Mark {
    const shards = Math.max(this.positions.length, other.positions.length);
    const positions = Array.from({ length: shards }, (_, shard) => choose(this.at(shard), other.at(shard)));
    const leaders = this.leaders === other.leaders ? this.leaders : undefined;
    return new Mark(this.generation, positions, time, passed, this.read && other.read, leaders);
  }
}

/** A place from which a reader who is at both loses nothing. @throws PushfleetError `cursor_invalid` */
export const earlierOf = (one: Cursor, other: Cursor): Cursor =>
  Mark.parse(one).earlier(Mark.parse(other)).cursor;
