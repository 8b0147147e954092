import { type ErrorCode, meanings, PushfleetError } from '@pushfleet/core';
import { retryMs } from '@pushfleet/edge';
import { idOf, type Message } from './message.ts';

// What the server says of a message: Bayeux 1.0, "Meta Message Field Definitions" and "error".

/** What a client is to do next (Bayeux 1.0, "advice"); times in milliseconds. */
export interface Advice {
  readonly reconnect: 'retry' | 'handshake' | 'none';
  readonly interval?: number;
  readonly timeout?: number;
  readonly hosts?: readonly string[];
}

/** A message of the server's, before it is JSON. */
export type Reply = { readonly channel: string } & Readonly<Record<string, unknown>>;

/** A reply that says yes; `id` is the message's own. */
export function yes(message: Message, fields: Readonly<Record<string, unknown>> = {}): Reply {
  return { ...echo(message), successful: true, ...fields };
}

/**
 * A reply that says no. `error` is written as the specification's grammar has it, in its few characters; the fleet's
 * code and the sentence for a person stand in `ext.pushfleet`.
 *
 * @param args what the error is about: a channel, a client id
 */
export function no(
  message: Message,
  error: PushfleetError,
  { args = [], advice, ...fields }: Refusal = {},
): Reply {
  const { code, message: detail, retryAfterMs } = error;
  return {
    ...echo(message),
    successful: false,
    ...fields,
    error: errorText(statusOf(error), args, meanings[code].title),
    ...(advice !== undefined && { advice }),
    ext: {
      pushfleet: { ...error.detail, code, detail, ...(retryAfterMs !== undefined && { retryAfterMs }) },
    },
  };
}

export interface Refusal {
  readonly args?: readonly string[];
  readonly advice?: Advice | undefined;
  readonly [field: string]: unknown;
}

function echo(message: Message): Reply {
  const id = idOf(message);
  return { channel: message.channel, ...(id !== undefined && { id }) };
}

/** `error_code ":" error_args ":" error_message`, of alphanumerics, marks, " ", "/", "*" and "." alone. */
export function errorText(status: number, args: readonly string[], text: string): string {
  return `${status}:${args.map(plain).join(',')}:${plain(text)}`;
}

const plain = (text: string): string => text.replace(/[^A-Za-z0-9\-_!~()$@ /*.]/g, '.').slice(0, 256);

/** The client id is not known (any more): a code of Bayeux's own, with which every client shakes hands again. */
export class UnknownClient extends PushfleetError {
  constructor() {
    super('not_found', 'The client id names no session: it ended, or never began. Shake hands again.');
  }
}

/** Codes are HTTP's where the specification has none of its own; its example has 402 for an unknown client. */
export const statusOf = (error: PushfleetError): number =>
  error instanceof UnknownClient ? 402 : meanings[error.code].http;

const shakeAgain: ReadonlySet<ErrorCode> = new Set(['token_expired', 'unauthenticated', 'not_found']);

/**
 * What follows from an error of a handshake or a connect. What may pass is tried again; who is not known shakes hands
 * again; what will not pass is final.
 *
 * @param retry how it is tried again: a handshake has no session to go on with
 */
export function adviceAfter(error: PushfleetError, retry: 'retry' | 'handshake'): Advice {
  const interval = retryMs(error.code, error.retryAfterMs);
  if (interval !== undefined) return { reconnect: retry, interval };
  return { reconnect: retry === 'retry' && shakeAgain.has(error.code) ? 'handshake' : 'none', interval: 0 };
}

/** What a client does while all is well. */
export const usualAdvice = ({
  timeoutMs,
  hosts,
}: {
  timeoutMs: number;
  hosts: readonly string[];
}): Advice => ({
  reconnect: 'retry',
  interval: 0,
  timeout: timeoutMs,
  ...(hosts.length > 0 && { hosts }),
});

/** The channel of what is said about a request that has no messages to answer. */
export const errorChannel = '/meta/error';
