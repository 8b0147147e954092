import { limits, PushfleetError } from '@pushfleet/core';
import { type StreamView, streamInfo } from './api.ts';
import { JetStreamLedger } from './ledger.ts';
import type { Link } from './link.ts';
import { keptStream, type Layout, logStream } from './streams.ts';

/** Where the ledger `layout` keeps the record. */
export const layoutKey = 'log';

/** @throws PushfleetError `internal` where the record is none */
export function parseLayout(value: Uint8Array): Layout {
  try {
    const { generation, shards } = JSON.parse(Buffer.from(value).toString()) as Partial<Layout>;
    if (/^[0-9a-z]{1,16}$/.test(generation ?? '') && Number.isInteger(shards)) {
      if ((shards as number) >= 1 && (shards as number) <= limits.shards)
        return { generation, shards } as Layout;
    }
  } catch {
    // Told below.
  }
  throw new PushfleetError('internal', 'The record of the log in the ledger "layout" cannot be read.');
}

export interface VerifiedLayout extends Layout {
  readonly views: readonly StreamView[];
  readonly keptReplicas: number;
}

/**
 * The layout and the streams it names.
 *
 * @throws PushfleetError `unavailable` where a stream is missing or the log is out of reach
 */
export async function verifyLayout(link: Link): Promise<VerifiedLayout> {
  const record = await new JetStreamLedger(link, 'layout').get(layoutKey);
  if (record === undefined) {
    throw new PushfleetError('unavailable', 'The log was never set up. Run `pushfleet migrate`.', {
      retryAfterMs: 5_000,
    });
  }
  const layout = parseLayout(record.value);
  const views = [];
  for (let shard = 0; shard < layout.shards; shard++) {
    views.push(await streamInfo(link, logStream(layout.generation, shard)));
  }
  const { replicas } = await streamInfo(link, keptStream);
  return { ...layout, views, keptReplicas: replicas };
}
