import type { Msg } from '@nats-io/transport-node';
import { parseTime, type StoredMessage } from './api.ts';
import { BrokerLines, statusOf } from './headers.ts';
import { type Link, unavailable } from './link.ts';
import { rawBlock } from './raw.ts';

/** How long one answer may take, in milliseconds. */
const patienceMs = 2_000;

export interface Page {
  /** In order of their sequences; each follows the one before it without a match between. */
  readonly messages: readonly StoredMessage[];
  /** The replica that answered holds no match behind these. It may itself be behind the leader. */
  readonly end: boolean;
}

export interface PageQuestion {
  readonly stream: string;
  readonly filter: string;
  /** The first sequence wanted. */
  readonly from: number;
  /** Most messages, and about how many bytes. */
  readonly count: number;
  readonly bytes: number;
}

/**
 * Reads some messages of one filter from whichever replica answers (batched direct get, ADR-31): no consumer
 * is made, so nothing is left behind.
 *
 * @throws PushfleetError `unavailable` when nothing came
 */
export function directPage(link: Link, question: PageQuestion): Promise<Page> {
  const { promise, resolve, reject } = Promise.withResolvers<Page>();
  const { replies, connection } = link;
  const messages: StoredMessage[] = [];
  let timer: NodeJS.Timeout;
  const finish = (end: boolean) => {
    clearTimeout(timer);
    replies.close(token);
    if (messages.length > 0 || end) resolve({ messages, end });
    else reject(unavailable('The log does not answer.'));
  };
  const token = replies.open((message) => {
    const outcome = take(message, messages);
    if (outcome !== 'more') finish(outcome === 'end');
    else timer.refresh();
  });
  timer = setTimeout(finish, patienceMs, false);
  const { stream, filter, from, count, bytes } = question;
  const body = JSON.stringify({ seq: from, next_by_subj: filter, batch: count, max_bytes: bytes });
  try {
    connection.publish(`$JS.API.DIRECT.GET.${stream}`, body, { reply: replies.subject(token) });
  } catch {
    finish(false);
  }
  return promise;
}

/**
 * One message from whichever replica answers; undefined where it has none.
 *
 * @throws PushfleetError `unavailable` without an answer in time
 */
export async function directMessage(
  link: Link,
  stream: string,
  sequence: number,
): Promise<StoredMessage | undefined> {
  const answer = await link.request(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify({ seq: sequence }));
  const block = rawBlock(answer);
  const status = statusOf(block);
  if (status === 404) return undefined;
  const message = status === 0 ? storedMessage(answer, block, new BrokerLines(block)) : undefined;
  if (message === undefined) throw unavailable('The log does not answer.');
  return message;
}

/**
 * How many messages a filter finds, by whichever replica answers, which may be a moment behind.
 *
 * @throws PushfleetError `unavailable` without an answer in time
 */
export async function directCount(link: Link, stream: string, filter: string): Promise<number> {
  const body = JSON.stringify({ seq: 1, next_by_subj: filter, batch: 1 });
  const block = rawBlock(await link.request(`$JS.API.DIRECT.GET.${stream}`, body));
  const status = statusOf(block);
  if (status === 404) return 0;
  const behind = status === 0 ? new BrokerLines(block).number('Nats-Num-Pending') : undefined;
  if (behind === undefined) throw unavailable('The log does not answer.');
  return behind + 1;
}

/** Undefined where the broker's own lines are not on it. */
function storedMessage(message: Msg, block: Uint8Array, lines: BrokerLines): StoredMessage | undefined {
  const sequence = lines.number('Nats-Sequence');
  if (sequence === undefined) return undefined;
  return {
    subject: lines.text('Nats-Subject') ?? '',
    sequence,
    time: parseTime(lines.get('Nats-Time-Stamp')),
    block,
    payload: message.data,
  };
}

/** Adds one answer; says whether more are to come, the page is over, or nothing is left behind it. */
function take(message: Msg, messages: StoredMessage[]): 'more' | 'page' | 'end' {
  const block = rawBlock(message);
  const status = statusOf(block);
  const lines = new BrokerLines(block);
  if (status === 404) return 'end';
  if (status === 204) return lines.number('Nats-Num-Pending') === 0 ? 'end' : 'page';
  const stored = status === 0 ? storedMessage(message, block, lines) : undefined;
  if (stored === undefined) return 'page';
  // The broker names the message it sent before this one: another means that one was lost on the way.
  if (lines.number('Nats-Last-Sequence') !== (messages.at(-1)?.sequence ?? 0)) return 'page';
  messages.push(stored);
  return 'more';
}
