import type { Cursor, Publication, Topic, TopicFilter } from '@pushfleet/core';

/**
 * Where a client that subscribes to it is told of gaps of its own feed: publications that its subscriptions matched and
 * that can no longer be given. Nothing is ever stored under this topic, and every token may follow it.
 */
export const gapTopic = '$pushfleet/gap' as TopicFilter & Topic;

/** A gap as a publication: JSON with the cursors of its two ends. */
export const gapOf = (from: Cursor, to: Cursor, now: number): Publication => ({
  ...{ id: to, source: 'pushfleet', type: 'pushfleet.gap', topic: gapTopic },
  ...{ contentType: 'application/json', payload: Buffer.from(JSON.stringify({ from, to })) },
  ...{ attributes: [], time: now, shard: 0, sequence: 0 },
});
