export * from './clock.ts';
export * from './ledger.ts';
export * from './memory/backbone.ts';
export type { Network } from './memory/source.ts';
