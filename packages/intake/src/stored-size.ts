import { byteLength, type Draft } from '@pushfleet/core';

/** What the log needs for a publication beside its own bytes: names of headers, the deduplication id, its record. */
const envelopeBytes = 150;

/** About what a publication takes in the log, in bytes: its payload, its texts, and what surrounds them. */
export function storedSize(draft: Draft): number {
  const { payload, topic, id, source, contentType, type = '', attributes = [] } = draft;
  let bytes = envelopeBytes + payload.length + byteLength(topic + id + source + contentType + type);
  for (const [name, value] of attributes) bytes += byteLength(name) + byteLength(value) + 16;
  return bytes;
}
