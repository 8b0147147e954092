import { CallError, type OutboundAnswer } from '@pushfleet/outbound';
import type { CapturedResponse, Outcome, Verdict } from '../attempt.ts';
import { retryAfterMs } from './retry-after.ts';

/** What an attempt came to, apart from how long it took. */
export type Judgement = Omit<Outcome, 'durationMs'>;

/**
 * What an answer to a delivery means (Standard Webhooks 1.0, "Response"; CloudEvents HTTP 1.1 Web Hooks 2.2):
 *
 * | answer | verdict |
 * |---|---|
 * | 2xx | delivered |
 * | 410 | gone |
 * | 429, 502, 504; any other refusal with Retry-After | throttled |
 * | any other: 1xx, 3xx, 4xx, 5xx | failed |
 *
 * @param now Unix time in milliseconds
 */
export function judge(answer: OutboundAnswer, now: number): Judgement {
  const { status } = answer;
  const response = captured(answer);
  if (status >= 200 && status < 300) return { verdict: 'delivered', status, response };
  const wait = retryAfterMs(answer.headers['retry-after'], now);
  const verdict = refusal(status, wait);
  return {
    ...{ verdict, status, response, error: errorOf(status) },
    ...(wait !== undefined && verdict === 'throttled' && { retryAfterMs: wait }),
  };
}

/** 429 asks for less; 502 and 504 come of a receiver that is overwhelmed or being replaced. */
const throttling: ReadonlySet<number> = new Set([429, 502, 504]);

function refusal(status: number, wait: number | undefined): Verdict {
  if (status === 410) return 'gone';
  return throttling.has(status) || wait !== undefined ? 'throttled' : 'failed';
}

function errorOf(status: number): string {
  if (status === 410) return 'The receiver answered 410: it wants nothing any more.';
  if (status === 429) return 'The receiver answered 429: it asks for less.';
  if (status >= 300 && status < 400) {
    return `The receiver answered ${status}; redirects are not followed. Give the subscription the final URL.`;
  }
  return `The receiver answered ${status}, which is not a success (2xx).`;
}

/** What it means that no answer came. */
export function judgeFailure(thrown: unknown): Judgement {
  if (thrown instanceof CallError) return { verdict: 'failed', error: thrown.message };
  return { verdict: 'failed', error: 'The attempt failed inside the fleet; the log of the worker says why.' };
}

/** Most of a response's text, in bytes. */
const bodyBytes = 16_384;
const mostHeaders = 32;
const headerLength = 256;
// A session of the receiver's own, and the proof of a handshake, are nothing to be kept.
const left: ReadonlySet<string> = new Set(['set-cookie', 'x-hook-secret']);

/** What is kept of an answer for the owner of the subscription. */
export function captured({ headers, body, truncated }: OutboundAnswer): CapturedResponse {
  const kept: Record<string, string> = {};
  let count = 0;
  for (const name in headers) {
    if (left.has(name)) continue;
    if (++count > mostHeaders) break;
    kept[name] = (headers[name] as string).slice(0, headerLength);
  }
  const cut = truncated || body.length > bodyBytes;
  return { headers: kept, body: textOf(body.subarray(0, bodyBytes), cut), truncated: cut };
}

// In a stream the decoder waits for the rest of a character that is cut, and leaves it out.
const textOf = (body: Uint8Array, cut: boolean): string =>
  body.length === 0 ? '' : new TextDecoder('utf-8', { ignoreBOM: true }).decode(body, { stream: cut });
