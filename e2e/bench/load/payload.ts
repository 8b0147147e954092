/** What every message of the benchmark carries unless a scenario says otherwise: 128 bytes that name themselves. */
const payloadBytes = 128;

/**
 * `!` stands once in every payload and nowhere else in what a server sends: one byte, so that no chunk border can
 * split it, outside the alphabets of HTTP headers, chunk sizes, JSON member names and event ids that the targets
 * send. A WebSocket frame's length could be it by chance; the lengths that occur are not, and a run that counts one
 * too many is void.
 */
export const marker = 0x21;

const stampDigits = 16;
const alphabet = 'abcdefghijklmnopqrstuvwxyz';

/** Microseconds of the machine's monotonic clock: the same in every process. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** `!`, the time it was made, its number, and letters up to the full length. */
export function makePayload(sequence: number, bytes = payloadBytes): string {
  const head = `!${String(now()).padStart(stampDigits, '0')} ${sequence} `;
  return head + fillerOf(bytes).slice(0, bytes - head.length);
}

const fillers = new Map<number, string>();

function fillerOf(bytes: number): string {
  const known = fillers.get(bytes) ?? alphabet.repeat(Math.ceil(bytes / alphabet.length));
  fillers.set(bytes, known);
  return known;
}

/** Every payload that stands in a text, whatever stands around it. */
export function payloadsIn(text: string): string[] {
  return Array.from(text.matchAll(/!\d{16} \d+ [a-z]*/g), ([payload]) => payload);
}

/** The time behind a marker at `at`, or undefined where the chunk ends before it. */
export function stampAt(chunk: Buffer, at: number): number | undefined {
  if (at + 1 + stampDigits > chunk.length) return undefined;
  return Number(chunk.toString('latin1', at + 1, at + 1 + stampDigits));
}
