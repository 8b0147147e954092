import { type Cursor, encodeCloudEvent } from '@pushfleet/core';
import type { Encode } from '@pushfleet/edge';
import type { Encoder } from '@pushfleet/hub';

const encoder: Encoder<Buffer> = ({ publication, cursor, retained }) =>
  Buffer.from(`{"event":${encodeCloudEvent(publication, cursor)}${retained ? ',"retained":true' : ''}}`);

/** One item of a batch: `{"event"}`, with `retained` where it is one, or `{"gap":{"from","to"}}`. */
export const encodeItem: Encode = (item) =>
  item.kind === 'publication'
    ? item.value.encoded(encoder)
    : Buffer.from(JSON.stringify({ gap: { from: item.from, to: item.to } }));

const comma = Buffer.from(',');
const end = Buffer.from(']}');

/** `{"cursor","items":[…]}`; the cursor is the place behind the last item. */
export function encodeBatch(cursor: Cursor, items: readonly Buffer[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`{"cursor":${JSON.stringify(cursor)},"items":[`)];
  items.forEach((item, i) => {
    if (i > 0) parts.push(comma);
    parts.push(item);
  });
  parts.push(end);
  return Buffer.concat(parts);
}
