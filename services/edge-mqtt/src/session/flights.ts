import type { Item } from '@pushfleet/core';
import type { Delivery } from '@pushfleet/hub';
import type { Hand } from './shared-work.ts';
import type { Sent, Unfinished } from './store.ts';

/** A PUBLISH of QoS 1 or 2 whose acknowledgement is not complete. */
export interface Flight {
  readonly qos: 1 | 2;
  /** Its PUBREC came. */
  readonly released: boolean;
  /** It was not sent on this connection yet. */
  readonly waiting: boolean;
  /** The session was told of it. */
  readonly kept: boolean;
}

/** What is sent in one go. */
export interface Batch {
  readonly items: readonly Item<Pick<Delivery, 'publication'>>[];
  /** The group that gave them; undefined: the feed. */
  readonly share: string | undefined;
  /** What of it is not the group's any more once it is written or on record. */
  readonly hand: Hand | undefined;
  /** A packet each. */
  readonly packets: Buffer[];
  /** What of it is to be on record before. */
  readonly sent: Sent[];
}

const flightOf = (qos: 1 | 2, kept: boolean): Flight => ({ qos, released: false, waiting: false, kept });
/** What an earlier connection left open. */
export const flightAgain = ({ sent }: Unfinished): Flight => ({
  qos: sent?.qos ?? 2,
  released: sent === undefined,
  waiting: true,
  kept: true,
});
/** What has just been sent, of which there is one object for all. */
export const flights = {
  1: { kept: flightOf(1, true), passing: flightOf(1, false) },
  2: { kept: flightOf(2, true), passing: flightOf(2, false) },
} as const;
