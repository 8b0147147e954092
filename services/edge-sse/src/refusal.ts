import { type ErrorCode, PushfleetError } from '@pushfleet/core';
import { retryMs, type Visit } from '@pushfleet/edge';
import { closing } from './codec.ts';

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

/** Headers of an event stream. */
export const streamHeaders = {
  'content-type': 'text/event-stream',
  // A proxy that compressed or stored the stream would hold events back.
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  // No page of another origin may load the stream as a script, an image or anything else.
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  // For pages that CORS lets read the answer.
  'access-control-expose-headers': 'Pushfleet-Connection',
} as const;

/** Answers with a refusal in the form that makes this client do the right thing. */
export function refuse(visit: Visit, thrown: unknown): void {
  const error = PushfleetError.from(thrown);
  const { headers } = visit;
  const form = refusal(error, {
    eventStream: headers.accept?.includes('text/event-stream') ?? false,
    reconnecting: headers['last-event-id'] !== undefined && headers.authorization === undefined,
  });
  if (form.kind === 'come_back') {
    visit.finish(visit.streamHead(streamHeaders), closing(error.code, error.message, form.retryMs));
  } else if (form.kind === 'stop') visit.finishEmpty(204, { 'cache-control': 'no-store' });
  else visit.refuse(error, '/sse');
}
