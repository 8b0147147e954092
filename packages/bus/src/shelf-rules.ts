import { PushfleetError, quote } from '@pushfleet/core';
import type { ShelfDraft } from './shelf.ts';

/** Every count and size that a user of a shelf can run into. */
const shelfLimits = {
  /** Largest body of an entry, in bytes: nats-server's own max_payload less room for headers. */
  bodyBytes: 1_048_576 - 4_096,
  /** Longest key, in bytes of UTF-8: a namespace and a topic. Escaped it stays under NATS' 4,096-byte control line. */
  keyBytes: 1_152,
} as const;

const entryId = /^[A-Za-z0-9_-]{1,64}$/;
const shelfName = /^[a-z0-9_-]{1,32}$/;

const invalid = (why: string): PushfleetError => new PushfleetError('request_invalid', why);

/** @throws PushfleetError `request_invalid` */
export function checkShelfName(name: string): void {
  if (shelfName.test(name)) return;
  throw invalid(`${quote(name)} is no name of a shelf: 1 to 32 small letters, digits, "_" or "-".`);
}

/** The key. @throws PushfleetError `request_invalid` */
export function checkShelfKey(key: string): string {
  if (key !== '' && Buffer.byteLength(key) <= shelfLimits.keyBytes) return key;
  throw invalid(`A key has 1 to ${shelfLimits.keyBytes} bytes; this one ${Buffer.byteLength(key)}.`);
}

/** @throws PushfleetError `request_invalid`, `payload_too_large` */
export function checkDraft({ key, id, body }: ShelfDraft): void {
  checkShelfKey(key);
  if (id !== undefined && !entryId.test(id)) {
    throw invalid(`${quote(id)} is no id of an entry: 1 to 64 letters, digits, "_" or "-".`);
  }
  if (body.length <= shelfLimits.bodyBytes) return;
  throw new PushfleetError(
    'payload_too_large',
    `The body has ${body.length} bytes; the most is ${shelfLimits.bodyBytes}.`,
    { detail: { limit: shelfLimits.bodyBytes } },
  );
}
