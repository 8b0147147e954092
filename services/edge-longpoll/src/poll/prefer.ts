// RFC 7240 section 2: a list of preferences, each `name [= word] *(; parameter)`; a word may be quoted.
const listed = /(?:"(?:\\.|[^"\\])*"|[^,])+/g;
const named = /^\s*wait\s*(?:[=;]|$)/i;
const waiting = /^\s*wait\s*=\s*(?:"(\d{1,9})"|(\d{1,9}))\s*(?:;|$)/i;
// Where quotes do not end, the time to find that out grows with the square.
const mostLength = 1_000;

/**
 * The seconds that `Prefer: wait=N` (RFC 7240 section 4.3) names; undefined without one. Of several only the first
 * counts, and one that cannot be read is passed over, for a preference is never an error (section 2).
 */
export function preferredWait(header: string | undefined): number | undefined {
  if (header === undefined || header.length > mostLength) return undefined;
  const first = header.match(listed)?.find((preference) => named.test(preference));
  const found = first === undefined ? null : waiting.exec(first);
  return found === null ? undefined : Number(found[1] ?? found[2]);
}
