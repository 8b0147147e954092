import type { PushfleetError } from '@pushfleet/core';
import { type Advice, adviceAfter } from './reply.ts';

/** Where the messages of a session go: a request that waits for its answer, or a WebSocket. Compared by identity. */
export interface Way {
  /** Sends at once. Absent: only the answers to connects carry messages. */
  readonly push?: (texts: readonly string[]) => void;
  /** Ends it, when the session ends by the server's will. */
  readonly close?: () => void;
}

/** What became of an answer, as far as the server can know. */
export interface Receipt {
  /** It did not get out whole, or the connection broke right behind it. */
  broken: boolean;
}

/** A connect message that may wait for its answer. */
export interface Poll {
  readonly id: string | number | undefined;
  readonly way: Way;
  readonly receipt: Receipt;
  /** The last batch that its client received, where it says so. */
  readonly ack: number | undefined;
  /** How long its client wants to wait at most, in milliseconds. */
  readonly timeout: number | undefined;
  /** There is no other message in its request. */
  readonly alone: boolean;
  /** Called once, and not after its way broke. */
  answer(answer: Answer): void;
}

/** The answer to a connect. */
export interface Answer {
  readonly events: readonly string[];
  /** Why it failed. */
  readonly error?: PushfleetError;
  readonly advice?: Advice;
  /** The batch that this answer ends, for clients that acknowledge it. */
  readonly ack?: number;
}

/** A connect that fails, and what its client does next. */
export const refusal = (error: PushfleetError): Answer => ({
  events: [],
  error,
  advice: adviceAfter(error, 'retry'),
});

/** What is known of the last answer that ended a batch. */
export type LastAnswer = Pick<Poll, 'id' | 'way' | 'receipt'>;

/**
 * Whether a connect proves that the answer before it has arrived, for clients without the acknowledgement extension.
 * The rule of the thumb is Bayeux's own, that a client connects again once it has its answer; these connects are sent
 * again instead, after an answer that did not come:
 *
 * - one with the id of the one before it (faye's);
 * - one on another WebSocket, since the one before it went down with what was on its way;
 * - one that asks not to wait, alone in its request (cometd's, for a client that lost its connection wants to know at
 *   once when it is back). In a request with other messages it is an economy and says nothing (faye's).
 *
 * Where it is in doubt all is sent again: twice is allowed, never is not.
 *
 * @param polling the client never waits: then asking not to wait says nothing
 */
export function proves(poll: Poll, last: LastAnswer, polling: boolean): boolean {
  if (last.receipt.broken) return false;
  if (poll.id !== undefined && poll.id === last.id) return false;
  if (last.way.push !== undefined) return last.way === poll.way;
  return !(poll.timeout === 0 && poll.alone) || polling;
}
