export * from './attempt.ts';
export * from './control.ts';
export * from './courier.ts';
export type { DeliveryLimits, DeliveryOptions } from './options.ts';
export type { SubscriptionRef } from './place.ts';
export { callRegistry } from './registry-calls.ts';
export { compileSelection, expressionLength, selectionTypes } from './selection.ts';
export type { SubscriptionCalls } from './subscribers.ts';
export { createDeliveryWorker } from './worker.ts';
