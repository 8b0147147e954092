export * from './clock.ts';
export * from './ledger.ts';
export * from './memory/backbone.ts';
export type { Latency, Network } from './memory/source.ts';
