import type { Arrival } from '@pushfleet/contract/edge-suite';

/** A publication as CloudEvents JSON, as far as the tests look at it. */
interface Event {
  readonly id: string;
  readonly source: string;
  readonly subject: string;
  readonly data?: unknown;
  readonly pushfleetcursor?: string;
}

/** What a client is told by a publication in the CloudEvents format. */
export function arrivalOf(event: unknown, retained?: boolean): Arrival & { kind: 'publication' } {
  const { id, source, subject, data, pushfleetcursor } = event as Event;
  const text = typeof data === 'string' ? data : JSON.stringify(data ?? '');
  return {
    kind: 'publication',
    value: { id, source, topic: subject, text, retained },
    cursor: pushfleetcursor,
  };
}

/** What the edges that speak JSON objects tell: WebSocket and both forms of Comet. */
export interface Message {
  readonly type: string;
  readonly id?: string | number;
  readonly event?: unknown;
  readonly retained?: boolean;
  readonly cursor?: string;
  readonly from?: string;
  readonly to?: string;
  readonly code?: string;
  readonly detail?: string;
  readonly reconnect?: boolean;
}

/** What such a message says to a subscriber; undefined where it says nothing. */
export function arrivalOfMessage(message: Message): Arrival | undefined {
  const { type, event, retained = false, cursor, from = '', to = '', code = '', reconnect = false } = message;
  if (type === 'publication') return arrivalOf(event, retained);
  if (type === 'gap') return { kind: 'gap', from, to };
  if (type === 'closing') return { kind: 'end', code, reconnect };
  return cursor === undefined ? undefined : { kind: 'place', cursor };
}
