// Publications for this service's tests; nothing else imports it.
import {
  type Cursor,
  formatCursor,
  type Item,
  type Publication,
  parseTopic,
  type TopicFilter,
} from '@pushfleet/core';
import type { Delivery, Encoder } from '@pushfleet/hub';

export const at = (position: number): Cursor =>
  formatCursor({ generation: 'g', time: position, positions: [position] });

/** An item of a feed, whose encodings are counted. */
export function delivery(
  sequence: number,
  o: Partial<Publication> & { retained?: boolean } = {},
): Item<Delivery> & { readonly value: Delivery; readonly made: Map<unknown, unknown> } {
  const { retained = false, ...own } = o;
  const publication: Publication = {
    ...{ id: String(sequence), source: 's', topic: parseTopic('t'), contentType: 'text/plain' },
    ...{ payload: Buffer.from(`p${sequence}`), time: sequence, shard: 0, sequence },
    ...own,
  };
  const made = new Map<unknown, unknown>();
  const value: Delivery = {
    ...{ publication, retained, cursor: at(sequence), filters: ['t' as TopicFilter] },
    encoded<T>(encoder: Encoder<T>): T {
      if (!made.has(encoder)) made.set(encoder, encoder(value));
      return made.get(encoder) as T;
    },
  };
  return { kind: 'publication', value, made };
}
