import type { StreamInfo } from '@nats-io/jetstream';
import { PushfleetError } from '@pushfleet/core';
import { type Link, unavailable } from './link.ts';

/** Error codes of the JetStream API that the bus acts on (nats-server, server/errors.json). */
export const apiError = {
  insufficientResources: 10_023,
  noMessage: 10_037,
  storageExceeded: 10_047,
  messageTooLarge: 10_054,
  streamNotFound: 10_059,
  wrongLastSequence: 10_071,
  storeFailed: 10_077,
  batchHasDuplicate: 10_201,
} as const;

/** How an answer of the JetStream API says no. */
export interface ApiFailure {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** What the bus reads in STREAM.INFO. */
export interface StreamView {
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Time of the oldest publication, 0 for none, and of the answer: Unix milliseconds. */
  readonly firstTime: number;
  readonly answeredAt: number;
  /** Names this term of office: it changes with the leader. */
  readonly leader: string;
  readonly leaderSince: number | undefined;
  readonly replicas: number;
  readonly duplicateWindowMs: number;
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

/** STREAM.INFO: the leader's own word on the stream. */
export async function streamInfo(link: Link, stream: string): Promise<StreamView> {
  const answer = parse<StreamInfo>((await link.request(`$JS.API.STREAM.INFO.${stream}`)).string());
  if (answer.error !== undefined) throw refusal(stream, answer.error);
  const { state, cluster, config, ts } = answer;
  return {
    firstSequence: state.messages === 0 ? state.last_seq + 1 : state.first_seq,
    lastSequence: state.last_seq,
    firstTime: parseTime(state.first_ts),
    answeredAt: parseTime(ts),
    leader: `${cluster?.leader ?? ''} ${cluster?.leader_since ?? ''}`,
    leaderSince: cluster?.leader_since === undefined ? undefined : parseTime(cluster.leader_since),
    replicas: config.num_replicas,
    duplicateWindowMs: config.duplicate_window / 1_000_000,
  };
}

export type LeaderQuestion =
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
