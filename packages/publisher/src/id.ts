import { randomFillSync } from 'node:crypto';

// One call to the generator for many ids: a call of its own costs more than all the rest.
const pool = new Uint8Array(16 * 256);
let used = pool.length;

/** A UUID version 7 (RFC 9562 section 5.7): ids made up later sort later. `now` is Unix time in milliseconds. */
export function newId(now: number): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = Buffer.from(pool.subarray(used, used + 16));
  used += 16;
  bytes.writeUIntBE(now, 0, 6);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x70, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
