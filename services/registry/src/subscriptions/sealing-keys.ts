import { createSecretKey, type KeyObject } from 'node:crypto';
import { quote } from '@pushfleet/core';

/** A key that secrets at rest are encrypted under. */
export interface SealingKey {
  readonly id: string;
  readonly key: KeyObject;
}

export const sealingKeysRule = 'keys as "id:base64" of 32 bytes each, separated by commas or line breaks';

/** Each key is tried by its id alone; more than these is a list nobody has cleaned up. */
const mostKeys = 16;

/** @throws Error that names the entry by its place or id, never by its key */
export function parseSealingKeys(text: string): readonly SealingKey[] {
  const entries = text.split(/[,\n]/).flatMap((entry) => (entry.trim() === '' ? [] : [entry.trim()]));
  if (entries.length === 0 || entries.length > mostKeys) {
    throw new Error(`it holds ${entries.length} keys; from 1 to ${mostKeys} can be given.`);
  }
  const keys = entries.map(parseKey);
  const twice = keys.find(({ id }, index) => keys.findIndex((other) => other.id === id) !== index);
  if (twice !== undefined) throw new Error(`two keys have the id ${quote(twice.id)}.`);
  return keys;
}

function parseKey(entry: string, index: number): SealingKey {
  const [, id, encoded] = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/_-]{43}=?)$/.exec(entry) ?? [];
  const bytes = Buffer.from(encoded ?? '', 'base64');
  if (id === undefined || bytes.length !== 32) {
    throw new Error(
      `key ${index + 1} is not of the form id:base64, with an id of 1 to 32 letters, digits, "_" or "-" and 32 bytes; make one with: echo "k1:$(openssl rand -base64 32)"`,
    );
  }
  return { id, key: createSecretKey(bytes) };
}
