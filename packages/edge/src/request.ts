import {
  type Cursor,
  PushfleetError,
  parseCursor,
  parseTopicFilter,
  quote,
  type TopicFilter,
} from '@pushfleet/core';

/** Parameters by name, in order of appearance. */
export type Parameters = ReadonlyMap<string, readonly string[]>;

/** The part of a request target before `?`, and the part behind it. */
export function splitTarget(target: string): { path: string; query: string } {
  const mark = target.indexOf('?');
  return mark < 0
    ? { path: target, query: '' }
    : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

/** Why a request target of more bytes than are read is refused; undefined for one that is not. */
export function tooLong({ length }: string, limit: number): PushfleetError | undefined {
  if (length <= limit) return undefined;
  return new PushfleetError(
    'request_invalid',
    `The request target has ${length} bytes; at most ${limit} are read. Send the topics in the body of a POST.`,
    { detail: { limit } },
  );
}

/**
 * Reads a query or a form. Forms write a space as `+`, while people write the wildcard `+` into a URL as it is;
 * since a wildcard is a whole level, a `+` that is a whole level stays and any other is a space.
 *
 * @throws PushfleetError `request_invalid`
 */
export function parseForm(text: string): Parameters {
  const parameters = new Map<string, string[]>();
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const mark = pair.indexOf('=');
    const name = decode(mark < 0 ? pair : pair.slice(0, mark));
    append(parameters, name, decode(mark < 0 ? '' : pair.slice(mark + 1)));
  }
  return parameters;
}

function decode(text: string): string {
  const levels = text.split(/(\/|%2f)/i);
  const spaced = levels.map((level) => (level === '+' ? level : level.replaceAll('+', ' '))).join('');
  try {
    return decodeURIComponent(spaced);
  } catch {
    throw new PushfleetError(
      'request_invalid',
      `${quote(text)} is not percent-encoded UTF-8. Encode each parameter, as encodeURIComponent does.`,
    );
  }
}

function append(parameters: Map<string, string[]>, name: string, value: string): void {
  const values = parameters.get(name);
  if (values === undefined) parameters.set(name, [value]);
  else values.push(value);
}

/**
 * Reads a body of POST or QUERY: a form, or JSON such as `{"topic": ["a/#", "b"], "last_event_id": "…"}` with
 * the same names.
 *
 * @throws PushfleetError `request_invalid` or `unsupported_media_type`
 */
export function parseBody(contentType: string | undefined, body: Buffer): Parameters {
  const type = contentType?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (body.length === 0) return new Map();
  if (type === 'application/x-www-form-urlencoded') return parseForm(requireForm(body.toString('utf8')));
  if (type === 'application/json') return parseJson(body.toString('utf8'));
  throw new PushfleetError(
    'unsupported_media_type',
    `The body is ${quote(type || 'of no content type')}; send application/json or application/x-www-form-urlencoded.`,
  );
}

/** curl says that a body is a form where it is told nothing. */
function requireForm(text: string): string {
  if (!/^\s*[{[]/.test(text)) return text;
  throw new PushfleetError(
    'request_invalid',
    'The body looks like JSON and was sent as a form. Send it with "Content-Type: application/json".',
  );
}

function parseJson(text: string): Parameters {
  const value = readJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badJson();
  const parameters = new Map<string, string[]>();
  for (const [name, given] of Object.entries(value)) {
    for (const item of Array.isArray(given) ? given : [given]) {
      if (!['string', 'boolean', 'number'].includes(typeof item)) throw badJson();
      append(parameters, name, item === true ? '1' : String(item));
    }
  }
  return parameters;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badJson();
  }
}

function badJson(): PushfleetError {
  return new PushfleetError(
    'request_invalid',
    'The JSON body must be an object of texts, numbers and lists of them, for example {"topic": ["orders/#"]}.',
  );
}

/**
 * Refuses a parameter that would be passed over, such as a misspelt one. `_` may be there: it keeps caches away.
 *
 * @throws PushfleetError `request_invalid`
 */
export function requireKnown(sources: readonly Parameters[], known: readonly string[]): void {
  const names = sources.flatMap((source) => [...source.keys()]);
  const unknown = names.find((name) => name !== '_' && !known.includes(name));
  if (unknown === undefined) return;
  throw new PushfleetError(
    'request_invalid',
    `There is no parameter ${quote(unknown)} here; there are ${known.join(', ')}.`,
    { detail: { parameter: unknown.slice(0, 100) } },
  );
}

/** The values of a parameter, of all sources in their order. */
export const valuesOf = (sources: readonly Parameters[], name: string): readonly string[] =>
  sources.flatMap((source) => source.get(name) ?? []);

/** The first value that is not empty. */
export const firstOf = (sources: readonly Parameters[], name: string): string | undefined =>
  valuesOf(sources, name).find((value) => value !== '');

/** @throws PushfleetError `request_invalid` without one, `filter_invalid` or `too_many_filters` */
export function parseFilters(texts: readonly string[], most: number): readonly TopicFilter[] {
  const filters = [...new Set(texts)].map(parseTopicFilter);
  if (filters.length === 0) {
    throw new PushfleetError(
      'request_invalid',
      'Name at least one topic filter, for example ?topic=orders/%23.',
    );
  }
  if (filters.length > most) {
    throw new PushfleetError(
      'too_many_filters',
      `The request names ${filters.length} topic filters; one connection holds at most ${most}. Use a wildcard, or several connections.`,
      { detail: { limit: most } },
    );
  }
  return filters;
}

/**
 * The first cursor given. A header stands before a parameter: it is newer than what a page wrote into its URL, and a
 * browser sends it without being asked.
 *
 * @throws PushfleetError `cursor_invalid`
 */
export function parseAfter(given: readonly (string | string[] | undefined)[]): Cursor | undefined {
  const text = given.find((value) => value !== undefined && value !== '')?.toString();
  if (text === undefined) return undefined;
  parseCursor(text);
  return text as Cursor;
}

/** The one of the legal values that it is. @throws PushfleetError `request_invalid` */
export function oneOf<const T extends string>(name: string, text: string, legal: readonly T[]): T {
  const found = legal.find((value) => value === text);
  if (found !== undefined) return found;
  throw new PushfleetError(
    'request_invalid',
    `The parameter "${name}" is ${quote(text)}; it must be one of ${legal.join(', ')}.`,
  );
}

/** Whether a parameter says yes. @throws PushfleetError `request_invalid` where it is neither 0, 1, false nor true */
export const yes = (name: string, text = '0'): boolean =>
  /1|true/.test(oneOf(name, text, ['0', '1', 'false', 'true']));
