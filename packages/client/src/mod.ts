export { type ConnectOptions, connect } from './connect.ts';
export { type PushfleetCode, PushfleetError } from './errors.ts';
export type {
  Fleet,
  FleetEvents,
  FleetState,
  Payload,
  PublishOptions,
  Receipt,
  TransportName,
} from './fleet.ts';
export type { Limits } from './limits.ts';
export type { Message } from './message.ts';
export type { EnterOptions, Member, Presence, PresenceChange, PresenceStatus } from './presence.ts';
export type { Gap, SubscribeOptions, Subscription, SubscriptionEvents } from './subscription.ts';
