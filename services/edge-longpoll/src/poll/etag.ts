import { type Cursor, PushfleetError, parseCursor, quote } from '@pushfleet/core';

/** A cursor as an entity tag (RFC 9110 section 8.8.3), strong: the same tag is the same place in the log. */
export const tagOf = (cursor: Cursor): string => `"${cursor}"`;

// A list of entity tags (RFC 9110 sections 5.6.1 and 8.8.3); empty elements are legal.
const element = /[ \t]*(?:(?:W\/)?"([^"]*)")?[ \t]*(?:,|$)/y;

/**
 * The cursor in `If-None-Match`, undefined where it names none.
 *
 * Comparison for this header is weak (RFC 9110 section 13.1.2), so a tag that a proxy made weak counts too. `*` says
 * that the client has something, and not where it stands: it names no place. Of several the earliest counts: from
 * there a client repeats what it has, from a later one it might miss what it has not.
 *
 * @throws PushfleetError `cursor_invalid` for what is no list of tags or holds a tag that is none of this fleet's:
 *   passed over, it would silently begin anew
 */
export function cursorOfTags(header: string | undefined): Cursor | undefined {
  if (header === undefined || header.trim() === '' || header.trim() === '*') return undefined;
  let earliest: { readonly text: string; readonly time: number } | undefined;
  for (const text of tagsOf(header)) {
    const { time } = parseCursor(text);
    if (earliest === undefined || time < earliest.time) earliest = { text, time };
  }
  return earliest?.text as Cursor | undefined;
}

function tagsOf(header: string): string[] {
  const tags: string[] = [];
  for (let at = 0; at < header.length; at = element.lastIndex) {
    element.lastIndex = at;
    const found = element.exec(header);
    if (found === null) {
      throw new PushfleetError(
        'cursor_invalid',
        `If-None-Match is ${quote(header)}. Send the ETag of the last answer exactly as it was received, quotes included.`,
      );
    }
    if (found[1] !== undefined) tags.push(found[1]);
  }
  return tags;
}
