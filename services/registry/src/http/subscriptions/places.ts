import { type Cursor, formatCursor, parseCursor } from '@pushfleet/core';

/**
 * The place before everything that was published at a time or later.
 *
 * @param head any cursor of the same log
 * @param time Unix time in milliseconds
 */
export function placeAt(head: Cursor, time: number): Cursor {
  const { generation, positions } = parseCursor(head);
  return formatCursor({ generation, positions: positions.map(() => undefined), time });
}
