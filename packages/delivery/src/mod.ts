export * from './attempt.ts';
export * from './control.ts';
export * from './courier.ts';
export type { SubscriptionRef } from './place.ts';
export { callRegistry } from './registry-calls.ts';
export { compileSelection, expressionLength, selectionTypes } from './selection.ts';
export type { SubscriptionCalls } from './subscribers.ts';
export { createDeliveryWorker, type DeliveryLimits, type DeliveryOptions } from './worker.ts';
