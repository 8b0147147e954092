import { PushfleetError } from '@pushfleet/core';

/** The members of a message; what they hold is still to be checked. */
export type Fields = Readonly<Record<string, unknown>>;

/** @throws PushfleetError `request_invalid`, as all that follow */
export function parseObject(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('A message is one JSON object.');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw invalid('A message is one JSON object.');
}

export function numberField(fields: Fields, name: string): number | undefined {
  const value = fields[name];
  if (value === undefined || typeof value === 'number') return value;
  throw invalid(`"${name}" is a number.`);
}

export function textField(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value.isWellFormed()) return value;
  throw invalid(`"${name}" is a text of valid Unicode.`);
}

export function flag(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  throw invalid(`"${name}" is true or false.`);
}

export function missing(name: string): never {
  throw invalid(`The message has no "${name}".`);
}

export const invalid = (message: string): PushfleetError => new PushfleetError('request_invalid', message);
