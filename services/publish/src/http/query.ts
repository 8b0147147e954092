import { PushfleetError, percentDecode, quote } from '@pushfleet/core';
import { decodeParameter } from '@pushfleet/runtime';

/** Parameters by name, in order of appearance. */
export type Query = ReadonlyMap<string, readonly string[]>;

/**
 * Reads a query that knows these names; a misspelt one that is passed over would ask for something else.
 *
 * @throws PushfleetError `request_invalid`
 */
export function readQuery(text: string, known: readonly string[]): Query {
  const query = new Map<string, string[]>();
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const mark = pair.indexOf('=');
    const name = decode(mark < 0 ? pair : pair.slice(0, mark));
    const value = mark < 0 ? '' : pair.slice(mark + 1);
    if (!known.includes(name)) {
      throw new PushfleetError(
        'request_invalid',
        `${quote(name)} is no parameter here; there are ${known.join(', ')}.`,
      );
    }
    const values = query.get(name) ?? [];
    // The offset of a time is written as it is, too: 2026-01-31T12:00:00+01:00.
    query.set(name, [...values, name === 'since' ? percentDecode(value, ...broken) : decode(value)]);
  }
  return query;
}

/** The value of a parameter that may be given once; an empty one counts as absent. @throws PushfleetError `request_invalid` */
export function single(query: Query, name: string): string | undefined {
  const values = query.get(name) ?? [];
  if (values.length > 1) {
    throw new PushfleetError(
      'request_invalid',
      `The parameter "${name}" is given ${values.length} times; give it once.`,
    );
  }
  return values[0] || undefined;
}

const broken = ['request_invalid', 'parameter'] as const;

const decode = (text: string): string => decodeParameter(text, ...broken);

/**
 * A time as RFC 3339 writes it, such as `2026-01-31T12:00:00Z`, in Unix milliseconds.
 *
 * @throws PushfleetError `request_invalid`
 */
export function readTime(text: string, name: string): number {
  const time = rfc3339.test(text) ? Date.parse(text.toUpperCase()) : Number.NaN;
  // Dates reach further back than the log's times, which are counted from 1970.
  if (time >= 0) return time;
  throw new PushfleetError(
    'request_invalid',
    `"${name}" is a time as RFC 3339 writes it, such as 2026-01-31T12:00:00Z, not ${quote(text)}.`,
  );
}

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
