export type { Delivery, Encodable, Encoder } from './delivery.ts';
export type { CloseReason, Feed, FeedOptions } from './feed.ts';
export type { Hub, HubStats } from './hub.ts';
export { createHubs, type Hubs, type HubsStats } from './hubs.ts';
export { earlierOf } from './mark.ts';
export { type HubObserver, type HubOptions, hubDefaults } from './options.ts';
export type { Explanation, MatchedFilter } from './tally.ts';
