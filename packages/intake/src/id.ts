import { randomUUID } from 'node:crypto';

/** A UUID version 7 (RFC 9562 section 5.7): ids made up later sort later. `now` is Unix time in milliseconds. */
export function newId(now: number = Date.now()): string {
  const time = now.toString(16).padStart(12, '0');
  // Of a version 4 UUID, for which the random bytes are drawn many at a time: all behind the version.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
