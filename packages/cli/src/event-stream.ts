import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorCode, meanings, PushfleetError } from '@pushfleet/core';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { asPushfleetError, refusal } from './front-api.ts';

/** A publication as CloudEvents JSON. */
export interface CloudEvent {
  readonly id: string;
  readonly subject: string;
  readonly time: string;
  readonly data?: unknown;
  readonly data_base64?: string;
}

/** A publication's payload, for people. */
export function textOf({ data, data_base64 }: CloudEvent): string {
  if (data_base64 !== undefined) return `base64:${data_base64}`;
  return typeof data === 'string' ? data : JSON.stringify(data ?? '');
}

export type TailEvent =
  /** `json` is the event on one line, as it came: `value` has lost the digits of long numbers. */
  | { readonly kind: 'publication'; readonly value: CloudEvent; readonly json: string }
  | { readonly kind: 'gap'; readonly from: string; readonly to: string }
  /** For people: the connection opened or was cut. */
  | { readonly kind: 'note'; readonly text: string };

export interface FollowOptions {
  readonly url: URL;
  /** A token that is good now; asked for at every connection. */
  readonly token: () => Promise<string>;
  readonly after: string | undefined;
}

/** How long the first connection may fail before the fleet counts as out of reach. */
const patienceMs = 10_000;
/** A stream that brings not even a heartbeat for so long is dead. */
const silenceMs = 90_000;

/**
 * Follows an event stream for good: what ends is opened again behind the last place seen.
 *
 * @throws PushfleetError where the fleet refuses, or is out of reach from the first
 */
export async function* follow(o: FollowOptions): AsyncGenerator<TailEvent> {
  const state: Connection = { lastEventId: o.after ?? '', retryMs: 1_000, opened: false };
  const began = Date.now();
  for (;;) {
    try {
      yield* connect(o, state);
      yield { kind: 'note', text: 'The stream ended; coming back …' };
    } catch (thrown) {
      const error = asPushfleetError(thrown, o.url);
      const hopeless = !state.opened && Date.now() - began > patienceMs;
      if (!meanings[error.code].retry || hopeless) throw error;
      if (state.opened) yield { kind: 'note', text: `The stream was cut (${error.message}); coming back …` };
      state.retryMs = Math.max(state.retryMs, error.retryAfterMs ?? 0);
    }
    await sleep(state.retryMs);
  }
}

interface Connection {
  lastEventId: string;
  retryMs: number;
  opened: boolean;
}

async function* connect(o: FollowOptions, state: Connection): AsyncGenerator<TailEvent> {
  const headers: Record<string, string> = {
    accept: 'text/event-stream',
    authorization: `Bearer ${await o.token()}`,
    ...(state.lastEventId !== '' && { 'last-event-id': state.lastEventId }),
  };
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), silenceMs);
  try {
    const answer = await fetch(o.url, { headers, signal: silence.signal });
    if (answer.status !== 200 || answer.body === null) throw await refusal(answer);
    if (!state.opened) yield { kind: 'note', text: `listening at ${o.url.origin}` };
    state.opened = true;
    const waiting: EventSourceMessage[] = [];
    const parser = createParser({
      onEvent: (event) => waiting.push(event),
      onRetry: (ms) => {
        state.retryMs = ms;
      },
    });
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      timer.refresh();
      parser.feed(chunk);
      for (const message of waiting.splice(0)) yield* eventsOf(message, state);
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

// The place counts as seen only when the reader comes back for more.
function* eventsOf(message: EventSourceMessage, state: Connection): Generator<TailEvent> {
  if (message.event === undefined || message.event === 'message') {
    // A line break in JSON is white space: within a string it is escaped.
    const json = message.data.replaceAll('\n', ' ');
    yield { kind: 'publication', value: JSON.parse(json) as CloudEvent, json };
  } else if (message.event === 'pushfleet.gap') {
    const { from, to } = JSON.parse(message.data) as { from: string; to: string };
    yield { kind: 'gap', from, to };
  } else if (message.event === 'pushfleet.close') {
    const { code, detail, reconnect } = JSON.parse(message.data) as Closing;
    if (!reconnect) throw new PushfleetError(code in meanings ? code : 'internal', detail);
  }
  if (message.id !== undefined && message.id !== '') state.lastEventId = message.id;
}

interface Closing {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly reconnect: boolean;
}
