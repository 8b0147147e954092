export * from './clock.ts';
export type { RetentionMs } from './gap.ts';
export { connectJetStream, type JetStreamBackbone, type JetStreamOptions } from './jetstream/backbone.ts';
export type { LogTerms } from './jetstream/broker.ts';
export { type MigrateOptions, type MigrateReport, migrate } from './jetstream/migrate.ts';
export { ledgerNames } from './jetstream/streams.ts';
export * from './ledger.ts';
export * from './memory/backbone.ts';
export type { Latency, Network } from './memory/source.ts';
