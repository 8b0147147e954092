import { PushfleetError } from '@pushfleet/core';
import type { Session } from './session.ts';

/**
 * Most bytes of what a session is subscribed to and present on, as its record has it. The broker takes 1 MiB at once,
 * and what the session's token granted stands in the record, too.
 */
export const roomBytes = 524_288;

type Holder = Pick<Session, 'subscriptions' | 'presences'>;

const sizes = new WeakMap<object, number>();
/** What is about to be a part of a session. */
const coming = new WeakMap<Holder, Set<object>>();

/** A part of a record never changes: another takes its place. */
function sizeOf(part: object): number {
  const known = sizes.get(part);
  if (known !== undefined) return known;
  const size = Buffer.byteLength(JSON.stringify(part)) + 1;
  sizes.set(part, size);
  return size;
}

/**
 * @param instead what goes when `part` comes
 * @throws PushfleetError `payload_too_large` where the session's record has no room for another part
 */
export function requireRoom(session: Holder, part: object, instead?: object): void {
  let bytes = sizeOf(part) - (instead === undefined ? 0 : sizeOf(instead));
  for (const parts of [session.subscriptions.values(), session.presences.values(), coming.get(session) ?? []])
    for (const one of parts) bytes += sizeOf(one);
  if (bytes <= roomBytes) return;
  throw new PushfleetError(
    'payload_too_large',
    `Subscriptions and members of a session have at most ${roomBytes} bytes together, as JSON; with this one they would have ${bytes}. Leave or unsubscribe something.`,
    { detail: { limit: roomBytes } },
  );
}

/** Keeps the room until the part has come, or not: to be called then. @throws PushfleetError as `requireRoom` */
export function holdRoom(session: Holder, part: object, instead?: object): () => void {
  requireRoom(session, part, instead);
  const parts = coming.get(session) ?? new Set();
  coming.set(session, parts.add(part));
  return () => void parts.delete(part);
}
