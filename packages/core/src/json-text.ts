import { PushfleetError } from './error.ts';

// Reads JSON where it stands: `JSON.parse` gives values, but loses the digits of long numbers, the order of members
// such as "1", and that a name came twice. What is given to these functions has been parsed once: it is valid JSON.

/** The members of an object's text: each name with the text of its value. Nothing is looked at inside values. */
export function* members(text: string): Generator<readonly [name: string, value: string]> {
  for (let at = skip(text, text.indexOf('{') + 1); text[at] !== '}'; ) {
    const nameEnd = stringEnd(text, at);
    const start = skip(text, skip(text, nameEnd) + 1);
    const end = valueEnd(text, start);
    yield [JSON.parse(text.slice(at, nameEnd)) as string, text.slice(start, end)];
    at = next(text, end);
  }
}

/** The elements of an array's text, each as text. */
export function* elements(text: string): Generator<string> {
  for (let at = skip(text, text.indexOf('[') + 1); text[at] !== ']'; ) {
    const end = valueEnd(text, at);
    yield text.slice(at, end);
    at = next(text, end);
  }
}

/**
 * A value that was read from JSON as JSON again. `JSON.parse` reads whatever depth there is; `JSON.stringify` walks down by
 * calls, and so comes to the end of the stack.
 *
 * @throws PushfleetError `request_invalid` where it is nested too deeply
 */
export function writeJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new PushfleetError(
      'request_invalid',
      'The JSON is nested too deeply; a few thousand levels are read.',
    );
  }
}

/** Behind white space (RFC 8259 section 2). */
function skip(text: string, at: number): number {
  let end = at;
  while (' \t\r\n'.includes(text[end] ?? '"')) end++;
  return end;
}

/** Behind a value and the comma that may follow it. */
function next(text: string, valueEnd: number): number {
  const at = skip(text, valueEnd);
  return text[at] === ',' ? skip(text, at + 1) : at;
}

function stringEnd(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    if (text[at] === '"') return at + 1;
    if (text[at] === '\\') at++;
  }
}

function valueEnd(text: string, start: number): number {
  if (text[start] === '"') return stringEnd(text, start);
  let depth = 0;
  for (let at = start; at < text.length; ) {
    const character = text[at] as string;
    if (depth === 0 && ',]} \t\r\n'.includes(character)) return at;
    if (character === '"') {
      at = stringEnd(text, at);
      continue;
    }
    if (character === '{' || character === '[') depth++;
    else if ((character === '}' || character === ']') && --depth === 0) return at + 1;
    at++;
  }
  return text.length;
}
