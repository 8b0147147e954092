import type { Cursor, Namespace, Publication } from '@pushfleet/core';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Outcome, Why } from './attempt.ts';

/** One call that is owed to one receiver. */
export interface Errand {
  readonly why: Why;
  readonly namespace: Namespace;
  /** With its secrets. */
  readonly subscription: Subscription;
  /** A handshake and a farewell have none; a test has one that was never in the log. */
  readonly publication: Publication | undefined;
  /** The place right behind the publication; of a test, the log's head. The same for all its receivers. */
  readonly cursor: Cursor | undefined;
  /** Names the delivery to its receiver, the same at every attempt and for every duplicate of the publication; or the question. */
  readonly id: string;
  /** 1 at the first. */
  readonly attempt: number;
  /** Of a delivery in order: its place on the lane, the same at every attempt. Replayed it has another. */
  readonly place?: number;
  /** Of a farewell: why the subscription ends. */
  readonly reason?: string;
}

/** What a kind of receiver adds to the machinery: how it is called, and what its answers mean. */
export interface Courier {
  /** Makes one attempt. Never rejects: whatever goes wrong is an outcome. */
  attempt(errand: Errand): Promise<Outcome>;
}
