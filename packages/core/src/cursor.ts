import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';
import { quote } from './topic.ts';

/**
 * An opaque, URL-safe name for a place in the log. Its text is free of anything that an HTTP header,
 * an SSE id, a query string or an ETag would have to escape.
 */
export type Cursor = string & { readonly __brand: 'Cursor' };

/**
 * What a cursor says. `positions[shard]` is the last sequence that is behind the reader; a shard that is
 * absent (undefined) resumes by `time`.
 */
export interface Place {
  /** Names the shard layout the positions belong to: lower-case letters and digits. */
  readonly generation: string;
  readonly positions: readonly (number | undefined)[];
  /** Unix time in milliseconds of the newest publication that is behind the reader. */
  readonly time: number;
  /**
   * The positions were read from the log itself. A live reader's may lie beyond what was lost on the way to it,
   * so around a change of leader the log goes back behind them; behind these it never has to.
   */
  readonly read?: boolean;
  /**
   * Names the leaders of the log of whom the giver of this place knew when all behind it had been handed over; absent
   * where it does not say. Lower-case letters and digits.
   */
  readonly leaders?: string | undefined;
}

const radix = 36;
const shape = /^([0-9a-z]{1,16})-([0-9a-z]{1,11})-([0-9a-z_.]{1,900})(?:(~)([0-9a-z]{1,8})?)?$/;

/**
 * Text of a place: generation, time and one position per shard, in base 36, `_` for an absent shard. Behind a `~` stand
 * the leaders, or nothing for `read`: a proxy that lengthens an ETag by a `-` and a word makes no other place of it.
 */
export function formatCursor(place: Place): Cursor {
  const positions = place.positions.map((position) => position?.toString(radix) ?? '_').join('.');
  const word = place.read ? '~' : place.leaders === undefined ? '' : `~${place.leaders}`;
  return `${place.generation}-${place.time.toString(radix)}-${positions}${word}` as Cursor;
}

/** @throws PushfleetError `cursor_invalid` where the text is not of `formatCursor`'s making. */
export function parseCursor(text: string): Place {
  const parts = text.length > limits.cursorLength ? null : shape.exec(text);
  if (parts === null) throw invalid(text);
  const [, generation = '', time = '', positions = '', word, leaders] = parts;
  const place = {
    generation,
    time: parseNumber(time, text),
    positions: positions.split('.').map((part) => (part === '_' ? undefined : parseNumber(part, text))),
    ...(word !== undefined && (leaders === undefined ? { read: true } : { leaders })),
  };
  if (place.positions.length > limits.shards) throw invalid(text);
  return place;
}

function parseNumber(part: string, text: string): number {
  const value = Number.parseInt(part, radix);
  if (!Number.isSafeInteger(value) || value.toString(radix) !== part) throw invalid(text);
  return value;
}

function invalid(text: string): PushfleetError {
  return new PushfleetError(
    'cursor_invalid',
    `${quote(text)} is not a cursor of this fleet. Use one exactly as it was received, or leave it out to start now.`,
  );
}
