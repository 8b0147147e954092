import { hash } from 'node:crypto';
import { queueSlots } from '@pushfleet/bus';
import type { Namespace, Publication } from '@pushfleet/core';

/** A subscription, by name. */
export interface SubscriptionRef {
  readonly namespace: Namespace;
  readonly id: string;
}

/** The name alone, of whatever has one. */
export const nameOf = ({ namespace, id }: SubscriptionRef): SubscriptionRef => ({ namespace, id });

/**
 * The slot of a subscription: FNV-1a over its name. Whatever waits for it is stored under its slot, so the
 * function never changes.
 */
export function slotOf({ namespace, id }: SubscriptionRef): number {
  const text = `${namespace}/${id}`;
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return sum % queueSlots;
}

/**
 * The name that receivers know a delivery by, the same for all of them, at every attempt and for every duplicate
 * of the publication. No part can hold NUL, so the text is unambiguous.
 */
export function deliveryId(namespace: Namespace, { source, topic, id }: Publication): string {
  return `msg_${shortHash(`${namespace}\0${source}\0${topic}\0${id}`)}`;
}

/** 132 bits: enough that no two texts ever share one, short enough for the broker's memory of ids. */
export function shortHash(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}

/** Key of a subscription on the shelves and among the appointments. */
export const keyOf = ({ namespace, id }: SubscriptionRef): string => `${namespace}/${id}`;

/** Key on the shelf `lanes` of what waits for a subscription's turn. */
export const laneKey = (kind: string, ref: SubscriptionRef): string => `${kind}/${slotOf(ref)}/${keyOf(ref)}`;

/** What `laneKey` was given. */
export function refOfLane(key: string): SubscriptionRef | undefined {
  const [, , namespace, id] = key.split('/');
  return namespace === undefined || id === undefined ? undefined : { namespace: namespace as Namespace, id };
}
