import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { SubscriptionState } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';

/** What becomes of a record: it ends, or some of its fields change. */
export type Consequence = 'end' | { readonly wanted: Subscription; readonly fields: readonly string[] };

/**
 * What a receiver's word on a question means for its subscription. Pure: it is asked again, of the record as it is
 * then, where somebody else has changed that meanwhile.
 */
export interface Consent {
  /** Whether the question still waits for an answer. @param question the id of the call that asks it */
  isOpen(subscription: Subscription, question: string): boolean;
  /** The receiver said yes, at a time in Unix milliseconds. */
  agreed(subscription: Subscription, question: string, now: number): Consequence;
  /** It said no, or nothing for as long as it was asked. */
  refused(subscription: Subscription, question: string, now: number): Consequence;
}

/** A subscription that waits for its receiver's first word, and has no other question. */
export const firstWord: Consent = {
  isOpen: ({ state }) => state === SubscriptionState.SUBSCRIPTION_STATE_PENDING,
  agreed: (subscription) => ({
    wanted: { ...subscription, state: SubscriptionState.SUBSCRIPTION_STATE_ACTIVE, stateReason: '' },
    fields: ['state', 'state_reason'],
  }),
  refused: () => 'end',
};
