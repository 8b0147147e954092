import {
  type Draft,
  isExact,
  matches,
  type Namespace,
  type Publication,
  PushfleetError,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import { filterOf, keptScope, subjectOf, topicOf } from '../subject.ts';
import {
  type ApiFailure,
  apiError,
  deleteMessage,
  leaderMessage,
  refusal,
  type StoredMessage,
  streamInfo,
} from './api.ts';
import type { Broker } from './broker.ts';
import { Block, BrokerLines, decodePublication, draftLines, headerLine, ttlLine } from './headers.ts';
import { unavailable } from './link.ts';
import { patiently } from './retry.ts';
import { StreamReader } from './stream-reader.ts';
import { keptStream } from './streams.ts';

/** A cleared topic keeps its tombstone for so long, in milliseconds: longer than any publish is retried. */
const tombstoneMs = 3_600_000;

/** A topic that so many instances change at once is not kept in step; the caller tries again. */
const mostAttempts = 50;

/** Where the log holds what a retained copy was made of. */
interface Origin {
  readonly generation: string;
  readonly shard: number;
  readonly sequence: number;
}

const formatOrigin = ({ generation, shard, sequence }: Origin): string =>
  `${generation}-${shard}-${sequence}`;

function originOf(block: Uint8Array): Origin | undefined {
  const [generation, shard, sequence] = new BrokerLines(block).get('Pf-Place')?.split('-') ?? [];
  const origin = { generation: generation ?? '', shard: Number(shard), sequence: Number(sequence) };
  return Number.isSafeInteger(origin.shard) && Number.isSafeInteger(origin.sequence) ? origin : undefined;
}

/** Generations rise with time, and a topic stays in its shard within one. */
function isNewer(one: Origin, other: Origin): boolean {
  if (one.generation !== other.generation) return one.generation > other.generation;
  return one.sequence > other.sequence;
}

const isSame = (one: Origin, other: Origin): boolean => formatOrigin(one) === formatOrigin(other);

/**
 * Makes the draft the topic's retained publication, unless a newer one is. Compare-and-set by the subject's last
 * sequence: however writes and retries overtake each other, the newest of the log wins.
 *
 * @throws PushfleetError `unavailable`, `storage_full`
 */
export async function keep(
  broker: Broker,
  namespace: Namespace,
  draft: Draft,
  sequence: number,
  shard: number,
) {
  const subject = subjectOf(keptScope(namespace), draft.topic);
  const origin = { generation: broker.layout.generation, shard, sequence };
  const lines = keptLines(draft, origin);
  await replace(broker, subject, draft.payload, lines, (held) => held === undefined || isNewer(origin, held));
}

/**
 * Clears the retained publication of a topic, if it is that one of the log or, with `older`, one before it. The
 * tombstone names that place, so that a copy which is still on its way is not kept either.
 *
 * @returns where the log held what was cleared; undefined where nothing was
 */
export async function clear(
  broker: Broker,
  namespace: Namespace,
  topic: Topic,
  { shard, sequence, older }: { shard: number; sequence: number; older: boolean },
): Promise<number | undefined> {
  const origin = { generation: broker.layout.generation, shard, sequence };
  const lines = headerLine('Pf-Place', formatOrigin(origin)) + ttlLine(tombstoneMs);
  const covered = (held: Origin | undefined) =>
    older ? held === undefined || !isNewer(held, origin) : held !== undefined && isSame(held, origin);
  const subject = subjectOf(keptScope(namespace), topic);
  try {
    return await replace(broker, subject, new Uint8Array(), lines, covered);
  } catch (error) {
    if (!(error instanceof PushfleetError) || error.code !== 'storage_full') throw error;
    return remove(broker, subject, covered);
  }
}

/** Without a tombstone, where there is no room for one: who deletes may be about to make some. */
async function remove(
  broker: Broker,
  subject: string,
  may: (held: Origin | undefined) => boolean,
): Promise<number | undefined> {
  return patiently(async () => {
    const held = await leaderMessage(broker.bulk, keptStream, { last_by_subj: subject });
    const origin = held === undefined ? undefined : originOf(held.block);
    if (held === undefined || !may(origin)) return undefined;
    await deleteMessage(broker.bulk, keptStream, held.sequence);
    return held.payload.length === 0 ? undefined : origin?.sequence;
  });
}

/**
 * Writes a topic's copy by compare-and-set, for as long as `may` says so of the one that is held.
 *
 * @returns the sequence of the publication it replaced; undefined where there was none or nothing was written
 */
async function replace(
  broker: Broker,
  subject: string,
  payload: Uint8Array,
  lines: string,
  may: (held: Origin | undefined) => boolean,
): Promise<number | undefined> {
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const outcome = await patiently(async () => {
      const held = await leaderMessage(broker.bulk, keptStream, { last_by_subj: subject });
      const origin = held === undefined ? undefined : originOf(held.block);
      if (!may(origin)) return { replaced: undefined };
      const condition = headerLine('Nats-Expected-Last-Subject-Sequence', held?.sequence ?? 0);
      if (!(await write(broker, subject, payload, lines + condition))) return undefined;
      return { replaced: held === undefined || held.payload.length === 0 ? undefined : origin?.sequence };
    });
    if (outcome !== undefined) return outcome.replaced;
  }
  throw unavailable('The retained publication of this topic changes too fast.');
}

function keptLines(draft: Draft, origin: Origin): string {
  const place = headerLine('Pf-Place', formatOrigin(origin));
  const { expiresAt, ...forGood } = draft;
  if (draft.payload.length === 0) return place + ttlLine(tombstoneMs) + draftLines(forGood);
  return place + draftLines(draft) + (expiresAt === undefined ? '' : ttlLine(expiresAt - Date.now()));
}

/** Whether it was written; not where somebody wrote first. */
async function write(broker: Broker, subject: string, payload: Uint8Array, lines: string): Promise<boolean> {
  const answer = await broker.bulk.request(subject, payload, new Block(lines));
  const { error } = answer.json<{ error?: ApiFailure }>();
  if (error === undefined) return true;
  if (error.err_code === apiError.wrongLastSequence) return false;
  if (isFull(error)) throw storageFull('retained publications');
  throw refusal(keptStream, error);
}

/** Whether a stream or the server has no room. The broker tells a full stream by its words alone. */
export function isFull({ err_code, description = '' }: ApiFailure): boolean {
  if (err_code === apiError.insufficientResources || err_code === apiError.storageExceeded) return true;
  return (
    err_code === apiError.storeFailed && /maximum (bytes|messages)|resource limit|no space/.test(description)
  );
}

export function storageFull(what: string): PushfleetError {
  return new PushfleetError(
    'storage_full',
    `The log has no room for more ${what}. Nothing was stored. An operator must raise PUSHFLEET_STREAM_MAX_BYTES or shorten PUSHFLEET_STREAM_MAX_AGE.`,
    { retryAfterMs: 30_000 },
  );
}

/** The retained publications that match, page by page; where it is those of one topic, as the leader has it. */
export async function* retained(
  broker: Broker,
  namespace: Namespace,
  filter: TopicFilter,
  signal: AbortSignal,
): AsyncIterable<readonly Publication[]> {
  const scope = keptScope(namespace);
  const pages = isExact(filter)
    ? lastOf(broker, subjectOf(scope, filter as string as Topic), signal)
    : pagesOf(broker, filterOf(scope, filter), signal);
  for await (const page of pages) {
    const found = page.flatMap((message) => publicationOf(scope, filter, message));
    if (found.length > 0) yield found;
  }
}

type Pages = AsyncIterable<readonly StoredMessage[]>;

/** A replica could still hold the one before. */
async function* lastOf(broker: Broker, subject: string, signal: AbortSignal): Pages {
  if (signal.aborted) return;
  const ask = () => broker.gate.run(() => leaderMessage(broker.bulk, keptStream, { last_by_subj: subject }));
  const last = await patiently(ask, signal);
  if (last !== undefined) yield [last];
}

async function* pagesOf(broker: Broker, filter: string, signal: AbortSignal): Pages {
  const { replicas } = await patiently(() => streamInfo(broker.bulk, keptStream), signal);
  // Each message of this stream is its subject's last; one that is replaced meanwhile moves to the end.
  const reader = new StreamReader({
    link: broker.bulk,
    gate: broker.gate,
    stream: keptStream,
    filter,
    after: 0,
    until: Number.MAX_SAFE_INTEGER,
    replicated: replicas > 1,
    count: 256,
    bytes: 1_048_576,
    signal,
  });
  for (let page = await reader.next(); page !== undefined; page = await reader.next()) yield page;
}

function publicationOf(scope: string, filter: TopicFilter, message: StoredMessage): Publication[] {
  const { block, payload, time } = message;
  const topic = topicOf(scope, message.subject);
  const origin = originOf(block);
  if (topic === undefined || origin === undefined || !matches(filter, topic)) return [];
  const { shard, sequence } = origin;
  const publication = decodePublication(block, payload, topic, { time, shard, sequence });
  const expired = publication.expiresAt !== undefined && publication.expiresAt <= Date.now();
  return expired || payload.length === 0 ? [] : [publication];
}
