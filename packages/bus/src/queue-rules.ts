import { PushfleetError, quote } from '@pushfleet/core';
import { type Appointment, type QueueEntry, queueSlots } from './queue.ts';

/** Every count and size that a user of a queue can run into. */
export const queueLimits = {
  /** Largest body of an entry or appointment, in bytes: nats-server's own max_payload less room for headers. */
  bodyBytes: 1_048_576 - 4_096,
  /** Longest key of an appointment, in bytes of UTF-8. */
  keyBytes: 1_024,
  /** Latest time of an appointment, Unix time in milliseconds: NATS counts nanoseconds in 64 bits. */
  latest: 9_223_372_036_000,
  /** Most entries of a slot in hand. */
  inHand: 10_000,
} as const;

export interface QueueTerms {
  /** How long an entry stays in hand unless it is extended, in milliseconds. */
  readonly termMs: number;
  /** How long the owner of a slot may be silent before another takes over, in milliseconds. */
  readonly silenceMs: number;
}

export const queueTerms: QueueTerms = { termMs: 10_000, silenceMs: 5_000 };

/** An owner that was not confirmed for so long counts itself as lost, in milliseconds: a pull may take most of a silence. */
export const doubtMs = ({ silenceMs }: QueueTerms): number => 1.5 * silenceMs;
/** The doubt begins before the slot passes on, and is looked for every half second. */
export const lapseMsOf = (terms: QueueTerms): number => doubtMs(terms) + 500;

const entryId = /^[A-Za-z0-9_-]{1,64}$/;
const queueName = /^[a-z0-9_-]{1,32}$/;

const invalid = (why: string): PushfleetError => new PushfleetError('request_invalid', why);

/** @throws PushfleetError `request_invalid` */
export function checkName(name: string): void {
  if (queueName.test(name)) return;
  throw invalid(`${quote(name)} is no name of a queue: 1 to 32 small letters, digits, "_" or "-".`);
}

/** @throws PushfleetError `request_invalid` */
export function checkSlot(slot: number): void {
  if (Number.isInteger(slot) && slot >= 0 && slot < queueSlots) return;
  throw invalid(`There is no slot ${slot}: 0 to ${queueSlots - 1}.`);
}

/** @throws PushfleetError `request_invalid` */
export function checkKey(key: string): void {
  if (key !== '' && Buffer.byteLength(key) <= queueLimits.keyBytes) return;
  throw invalid(`A key has 1 to ${queueLimits.keyBytes} bytes; this one ${Buffer.byteLength(key)}.`);
}

/** @throws PushfleetError `request_invalid` */
export function checkMost(most: number): void {
  if (Number.isInteger(most) && most >= 1 && most <= queueLimits.inHand) return;
  throw invalid(`An owner has 1 to ${queueLimits.inHand} entries in hand, not ${most}.`);
}

/** @throws PushfleetError `request_invalid`, `payload_too_large` */
export function checkEntry({ slot, id, body }: QueueEntry): void {
  checkSlot(slot);
  if (!entryId.test(id)) {
    throw invalid(`${quote(id)} is no id of an entry: 1 to 64 letters, digits, "_" or "-".`);
  }
  checkBody(body);
}

/** @throws PushfleetError `request_invalid`, `payload_too_large` */
export function checkAppointment({ slot, key, at, body }: Appointment): void {
  checkSlot(slot);
  checkKey(key);
  if (!(at >= 0 && at <= queueLimits.latest)) {
    throw invalid(`${at} is no time of an appointment: Unix time in milliseconds, before April 2262.`);
  }
  checkBody(body);
}

function checkBody(body: Uint8Array): void {
  if (body.length <= queueLimits.bodyBytes) return;
  throw new PushfleetError(
    'payload_too_large',
    `The body has ${body.length} bytes; the most is ${queueLimits.bodyBytes}.`,
    { detail: { limit: queueLimits.bodyBytes } },
  );
}
