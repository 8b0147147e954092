import type { Stores } from '@pushfleet/bus';
import type { Backbone } from '@pushfleet/core';

/** A started backbone with an empty log of three shards `suiteRetentionMs`, `suiteQueueTerms` and `suiteGroupTerms`, and how to end it. */
export interface BusUnderTest {
  readonly backbone: Backbone & Stores;
  /** Another process of the same fleet. */
  another(): Promise<Backbone & Stores>;
  end(): Promise<void>;
}
