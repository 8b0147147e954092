import { byteLength, PushfleetError, quote } from '@pushfleet/core';

// Rules for single fields; each throws PushfleetError `request_invalid` and names the field as the proto does.

export const invalid = (message: string, limit?: number): PushfleetError =>
  new PushfleetError('request_invalid', message, limit === undefined ? {} : { detail: { limit } });

export function checkText(name: string, text: string, least: number, most: number): void {
  const bytes = byteLength(text);
  if (bytes < least || bytes > most || !text.isWellFormed() || text.includes('\0')) {
    throw invalid(
      `"${name}" is ${least} to ${most} bytes of UTF-8 without NUL; this one has ${bytes}.`,
      most,
    );
  }
}

const idShape = /^[A-Za-z0-9_-]+$/;

export const isId = (text: string, most = 64): boolean => text.length <= most && idShape.test(text);

export function checkId(name: string, text: string, most = 64): void {
  if (isId(text, most)) return;
  throw invalid(`"${name}" is 1 to ${most} letters, digits, "_" or "-", not ${quote(text)}.`, most);
}

export function checkCount(name: string, count: number, least: number, most: number): void {
  if (count >= least && count <= most) return;
  throw invalid(`"${name}" has ${least} to ${most} entries; here are ${count}.`, most);
}

export function checkAtMost(name: string, value: number, most: number): void {
  if (value > most) throw invalid(`"${name}" is at most ${most}, not ${value}.`, most);
}

/** An enum's value: one that the proto knows, and not its zero. */
export function checkEnum(name: string, value: number, known: Readonly<Record<string, number>>): void {
  if (value > 0 && Object.values(known).includes(value)) return;
  throw invalid(`"${name}" must be one of the values of the proto, and not the unspecified one.`);
}

/** An absolute URL that can be called: without credentials, since they would be shown, and without a fragment. */
export function checkUrl(name: string, text: string, schemes: readonly string[], most: number): void {
  checkText(name, text, 1, most);
  const url = URL.parse(text);
  if (url === null || !schemes.includes(url.protocol) || /[\s\p{Cc}]/u.test(text)) {
    const wanted = schemes.map((scheme) => `${scheme}//`).join(' or ');
    throw invalid(`"${name}" is an absolute URL that begins with ${wanted}.`);
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid(`"${name}" must hold no user and no password; send them in a header.`);
  }
  if (text.includes('#')) throw invalid(`"${name}" must not have a fragment: it is never sent.`);
}

export function checkUnique(name: string, values: readonly string[]): void {
  const twice = values.find((value, index) => values.indexOf(value) !== index);
  if (twice !== undefined) throw invalid(`"${name}" has ${quote(twice)} twice.`);
}
