/** What every message of the benchmark carries: 128 bytes that name themselves. */
const payloadBytes = 128;

/**
 * Stands once in every payload and nowhere else in a response: one byte, so that no chunk border can split it,
 * outside the alphabets of HTTP headers, chunk sizes and event ids that the targets send.
 */
export const marker = 0x7e;

const stampDigits = 16;
const filler = 'abcdefghijklmnopqrstuvwxyz'.repeat(5);

/** Microseconds of the machine's monotonic clock: the same in every process. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

/** `~`, the time it was made, its number, and letters up to the full length. */
export function makePayload(sequence: number): string {
  const head = `~${String(now()).padStart(stampDigits, '0')} ${sequence} `;
  return head + filler.slice(0, payloadBytes - head.length);
}

/** The time behind a marker at `at`, or undefined where the chunk ends before it. */
export function stampAt(chunk: Buffer, at: number): number | undefined {
  if (at + 1 + stampDigits > chunk.length) return undefined;
  return Number(chunk.toString('latin1', at + 1, at + 1 + stampDigits));
}
