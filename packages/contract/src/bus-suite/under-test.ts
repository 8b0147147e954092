import type { Stores } from '@pushfleet/bus';
import type { Backbone } from '@pushfleet/core';

/** A started backbone with an empty log of three shards and `suiteRetentionMs`, and how to end it. */
export interface BusUnderTest {
  readonly backbone: Backbone & Stores;
  end(): Promise<void>;
}
