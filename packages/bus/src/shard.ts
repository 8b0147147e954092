import type { Topic } from '@pushfleet/core';

const utf8 = new TextEncoder();

/**
 * The shard that keeps a topic: FNV-1a over its UTF-8 bytes, modulo the number of shards. Stored streams depend
 * on it, so it never changes within a generation.
 */
export function shardOf(topic: Topic, shards: number): number {
  if (shards === 1) return 0;
  let hash = 0x811c9dc5;
  for (const byte of utf8.encode(topic)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % shards;
}
