import type { PeerInfo, StreamInfo } from '@nats-io/jetstream';
import { PushfleetError } from '@pushfleet/core';
import type { Shelf } from '../gap.ts';
import type { Term } from '../leaders.ts';
import { type Link, unavailable } from './link.ts';

/** Error codes of the JetStream API that the bus acts on (nats-server, server/errors.json). */
export const apiError = {
  noSuitablePeers: 10_005,
  clusterUnavailable: 10_008,
  consumerNotFound: 10_014,
  insufficientResources: 10_023,
  noMessage: 10_037,
  storageExceeded: 10_047,
  messageTooLarge: 10_054,
  streamNotFound: 10_059,
  wrongLastSequence: 10_071,
  storeFailed: 10_077,
  consumerExists: 10_148,
  duplicateInProcess: 10_158,
  batchHasDuplicate: 10_201,
} as const;

/** How an answer of the JetStream API says no. */
export interface ApiFailure {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** What the bus reads in STREAM.INFO. */
export interface StreamView extends Shelf {
  readonly lastSequence: number;
  /** Unix time in milliseconds. */
  readonly answeredAt: number;
  readonly leader: Term;
  readonly replicas: number;
  /** Those of them, the leader included, that have all that the leader has. */
  readonly replicasCurrent: number;
  readonly duplicateWindowMs: number;
  /** Infinity where nothing ages out. */
  readonly maxAgeMs: number;
  readonly bytes: number;
  /** Infinity where it has no bound. */
  readonly maxBytes: number;
}

/** A message as the broker gives it out of a stream. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly time: number;
  readonly block: Uint8Array;
  readonly payload: Uint8Array;
}

function parse<T>(body: string): T & { error?: ApiFailure } {
  try {
    return JSON.parse(body) as T & { error?: ApiFailure };
  } catch (error) {
    throw unavailable('The log gave an answer that is no JSON.', error);
  }
}

/** A refusal as the fleet's own error. */
export function refusal(stream: string, failure: ApiFailure): PushfleetError {
  if (failure.err_code === apiError.streamNotFound) {
    const advice = 'Run `pushfleet migrate`, which makes the streams.';
    return new PushfleetError('unavailable', `The stream ${stream} is missing. ${advice}`, {
      retryAfterMs: 5_000,
    });
  }
  return unavailable(`The log refuses: ${failure.description ?? failure.code} (stream ${stream}).`);
}

/** The broker's times are RFC 3339 with nanoseconds; its zero time is the year 1. */
export function parseTime(text: string | undefined): number {
  return Math.max(0, Date.parse(text ?? '') || 0);
}

/** A leader that lost its followers may call them current still; when it heard of them last is beyond doubt. */
const unheardNanos = 10e9;
const isCurrent = ({ current, offline, active }: PeerInfo): boolean =>
  current && !offline && active < unheardNanos;

/** STREAM.INFO: the leader's own word on the stream. */
export async function streamInfo(link: Link, stream: string): Promise<StreamView> {
  const { state, cluster, config, ts } = await askInfo(link, stream);
  const answeredAt = parseTime(ts);
  return {
    firstSequence: state.messages === 0 ? state.last_seq + 1 : state.first_seq,
    lastSequence: state.last_seq,
    answeredAt,
    leader: {
      name: `${cluster?.leader ?? ''} ${cluster?.leader_since ?? ''}`,
      since: cluster?.leader_since === undefined ? undefined : parseTime(cluster.leader_since),
    },
    replicas: config.num_replicas,
    replicasCurrent: 1 + (cluster?.replicas ?? []).filter(isCurrent).length,
    duplicateWindowMs: config.duplicate_window / 1_000_000,
    maxAgeMs: maxAgeOf(config),
    bytes: state.bytes,
    maxBytes: config.max_bytes > 0 ? config.max_bytes : Number.POSITIVE_INFINITY,
    horizon: horizonOf(config, answeredAt),
  };
}

/** The last sequence of a stream, and how many messages of one subject it holds. */
export async function subjectInfo(
  link: Link,
  stream: string,
  subject: string,
): Promise<{ readonly lastSequence: number; readonly count: number }> {
  const { state } = await askInfo(link, stream, JSON.stringify({ subjects_filter: subject }));
  return { lastSequence: state.last_seq, count: state.subjects?.[subject] ?? 0 };
}

async function askInfo(link: Link, stream: string, body = '', timeoutMs?: number): Promise<StreamInfo> {
  const message = await link.request(`$JS.API.STREAM.INFO.${stream}`, body, undefined, timeoutMs);
  const answer = parse<StreamInfo>(message.string());
  if (answer.error !== undefined) throw refusal(stream, answer.error);
  return answer;
}

/** Where a stream remembers up to when it lost what was stored, from before it was told to keep things longer. */
export const horizonKey = 'pushfleet-horizon';

/** How long a stream keeps what is stored, in milliseconds; Infinity: for good. */
function maxAgeOf({ max_age }: Pick<StreamInfo['config'], 'max_age'>): number {
  return max_age === 0 ? Number.POSITIVE_INFINITY : max_age / 1_000_000;
}

/** What was stored up to this time may have aged out: Unix milliseconds. */
export function horizonOf(config: StreamInfo['config'], now: number): number {
  const remembered = Number(config.metadata?.[horizonKey]) || 0;
  return Math.max(remembered, now - maxAgeOf(config));
}

export type LeaderQuestion =
  | { readonly seq: number }
  | { readonly last_by_subj: string }
  | { readonly seq: number; readonly next_by_subj: string }
  | { readonly start_time: string };

interface MessageAnswer {
  readonly message: { subject: string; seq: number; hdrs?: string; data?: string; time: string };
}

/** One message from the stream's leader, which no replica is ahead of; undefined where there is none. */
export async function leaderMessage(
  link: Link,
  stream: string,
  question: LeaderQuestion,
): Promise<StoredMessage | undefined> {
  const answer = await link.request(`$JS.API.STREAM.MSG.GET.${stream}`, JSON.stringify(question));
  const { error, message } = parse<MessageAnswer>(answer.string());
  if (error?.err_code === apiError.noMessage) return undefined;
  if (error !== undefined) throw refusal(stream, error);
  return {
    subject: message.subject,
    sequence: message.seq,
    time: parseTime(message.time),
    block: Buffer.from(message.hdrs ?? '', 'base64'),
    payload: Buffer.from(message.data ?? '', 'base64'),
  };
}

/** For each of its answers the broker goes through all subjects of the filter: about a second for a million. */
const countingMs = 15_000;

/** How many messages each subject of a filter holds. */
export async function subjectCounts(
  link: Link,
  stream: string,
  filter: string,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (let offset = 0, total = 1; offset < total; ) {
    const question = JSON.stringify({ subjects_filter: filter, offset });
    const answer = await askInfo(link, stream, question, countingMs);
    const found = Object.entries(answer.state.subjects ?? {});
    for (const [subject, count] of found) counts.set(subject, count);
    offset += found.length;
    // The broker tells of 100,000 subjects at once, and then how many there are.
    total = found.length === 0 ? 0 : ((answer as { total?: number }).total ?? 0);
  }
  return counts;
}

/**
 * Takes out what a filter matches, up to and including `until`; says how many there were. Asked again it finds less,
 * or nothing.
 */
export async function purge(link: Link, stream: string, filter: string, until?: number): Promise<number> {
  const body = JSON.stringify({ filter, ...(until !== undefined && { seq: until + 1 }) });
  const answer = await link.request(`$JS.API.STREAM.PURGE.${stream}`, body);
  const { error, purged } = parse<{ purged?: number }>(answer.string());
  if (error !== undefined) throw refusal(stream, error);
  return purged ?? 0;
}

/** Takes out one message; that it is gone already is as good. */
export async function deleteMessage(link: Link, stream: string, sequence: number): Promise<void> {
  const body = JSON.stringify({ seq: sequence, no_erase: true });
  const { error } = parse<object>((await link.request(`$JS.API.STREAM.MSG.DELETE.${stream}`, body)).string());
  // The broker has several errors for a sequence that holds nothing, some of them also for others' failures.
  if (error !== undefined && (await leaderMessage(link, stream, { seq: sequence })) !== undefined) {
    throw refusal(stream, error);
  }
}
