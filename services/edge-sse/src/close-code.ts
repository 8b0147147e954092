import { type ErrorCode, meanings, type PushfleetError } from '@pushfleet/core';

/** Why a stream ends: an error of the fleet, or a reason that only a stream has. */
export type CloseCode = ErrorCode | 'slow_consumer' | 'connection_age';

/** Milliseconds, from and to. */
export type Range = readonly [least: number, most: number];

/**
 * The codes after which the client shall come back, with the time it waits, spread so that a thousand clients
 * do not come back together. Every other code is final: the same request would be refused again.
 *
 * `internal` is here because a browser that was refused once never comes back: a fault of ours must not silence
 * every page that is open.
 */
const comeBack: Partial<Record<CloseCode, Range>> = {
  draining: [500, 4_000],
  connection_age: [500, 4_000],
  slow_consumer: [1_000, 5_000],
  unavailable: [2_000, 10_000],
  timeout: [2_000, 10_000],
  rate_limited: [5_000, 15_000],
  too_many_connections: [5_000, 20_000],
  // Another instance has no more room either: it comes when streams of the namespace end.
  quota_connections: [10_000, 30_000],
  quota_subscriptions: [10_000, 30_000],
  internal: [10_000, 30_000],
};

/** How long a client waits after a connection that broke without a word, such as that of a killed process. */
export const brokenRetry: Range = [1_000, 4_000];

const details: Partial<Record<CloseCode, string>> = {
  draining: 'This instance is shutting down. Come back: another one resumes from the last event id.',
  connection_age: 'The connection has reached its age. Come back: it resumes from the last event id.',
  slow_consumer: 'Publications came faster than this connection took them. Come back and resume.',
  unavailable: 'The log is out of reach. Come back and resume.',
  token_expired: 'The token has expired. Connect with a new one.',
  token_revoked: 'The token was revoked. Connect with another one.',
};

/** What `pushfleet.close` says to a person. */
export function closeDetail(code: CloseCode): string {
  return details[code] ?? meanings[code as ErrorCode].title;
}

/** A time within the range, at random. */
export function jitter([least, most]: Range): number {
  return Math.round(least + Math.random() * (most - least));
}

/** How long to wait before coming back, in milliseconds; undefined where coming back is of no use. */
export function retryMs(code: CloseCode, retryAfterMs = 0): number | undefined {
  const range = comeBack[code];
  // `retry` is digits only: EventSource ignores a fraction.
  return range === undefined ? undefined : Math.ceil(retryAfterMs) + jitter(range);
}

/**
 * How a request is refused. EventSource gives up for good on whatever is not 200 with an event stream (HTML
 * 9.2.3), so the status is the decision:
 *
 * - `problem`: the status and problem+json. Final, and meant so: a wrong request, a missing or forbidden token.
 *   Also for clients that are no EventSource and read 503 with Retry-After.
 * - `come_back`: 200, `retry:` and the end of the stream; EventSource reconnects by itself.
 * - `stop`: 204, the standard's word for "do not reconnect". For an EventSource that returns by itself with
 *   credentials that have ended meanwhile: nobody could read a problem, and it is no error.
 */
export type Refusal = { kind: 'problem' } | { kind: 'come_back'; retryMs: number } | { kind: 'stop' };

/** What a refusal depends on beside the error. */
export interface Asker {
  /** `Accept` names text/event-stream. */
  readonly eventStream: boolean;
  /** It sent `Last-Event-ID` and no `Authorization`: a browser's own reconnect. */
  readonly reconnecting: boolean;
}

const ended: readonly ErrorCode[] = ['unauthenticated', 'token_expired', 'token_revoked'];

export function refusal(error: PushfleetError, asker: Asker): Refusal {
  if (!asker.eventStream) return { kind: 'problem' };
  const wait = retryMs(error.code, error.retryAfterMs);
  if (wait !== undefined) return { kind: 'come_back', retryMs: wait };
  if (asker.reconnecting && ended.includes(error.code)) return { kind: 'stop' };
  return { kind: 'problem' };
}
