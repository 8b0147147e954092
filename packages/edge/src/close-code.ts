import { type CloseCode, type ComeBackCode, type ErrorCode, meanings } from '@pushfleet/core';

export type { CloseCode };

/** Milliseconds, from and to. */
export type Range = readonly [least: number, most: number];

/** How long each waits that comes back, spread so that a thousand clients do not come back together. */
const comeBack: Readonly<Record<ComeBackCode, Range>> = {
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
  draining: 'This instance is shutting down. Come back: another one resumes from your last cursor.',
  connection_age: 'The connection has reached its age. Come back: it resumes from your last cursor.',
  slow_consumer: 'Publications came faster than this connection took them. Come back and resume.',
  unavailable: 'The log is out of reach. Come back and resume.',
  token_expired: 'The token has expired. Connect with a new one.',
  token_revoked: 'The token was revoked. Connect with another one.',
};

/** What the last word on a connection says to a person. */
export function closeDetail(code: CloseCode): string {
  return details[code] ?? meanings[code as ErrorCode].title;
}

/** A time within the range, at random. */
export function jitter([least, most]: Range): number {
  return Math.round(least + Math.random() * (most - least));
}

/** How long to wait before coming back, in milliseconds; undefined where coming back is of no use. */
export function retryMs(code: CloseCode, retryAfterMs = 0): number | undefined {
  const range: Range | undefined = comeBack[code as ComeBackCode];
  return range === undefined ? undefined : Math.ceil(retryAfterMs) + jitter(range);
}
