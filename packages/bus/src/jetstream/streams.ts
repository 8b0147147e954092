import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { queueScope, shelfScope, subjectRoot } from '../subject.ts';

/** Which streams hold the log. The record of it decides which cursors are of this log. */
export interface Layout {
  /** Time of creation in base 36: no two generations share it and a later one is greater. */
  readonly generation: string;
  readonly shards: number;
}

export interface StreamOptions {
  /** How many servers hold each stream: 1, 3 or 5. */
  readonly replicas: number;
  /** How long publications are kept, in milliseconds. */
  readonly maxAgeMs: number;
  /** Size at which the log refuses publications, in bytes, over all shards. */
  readonly maxBytes: number;
  /** How long the broker recognises an id, in milliseconds. */
  readonly duplicateWindowMs: number;
}

/** The ledgers there are; a new one is a new line here and made by the next `migrate`. */
export const ledgerNames = [
  'layout',
  'revocations',
  'meters',
  'subscriptions',
  'tails',
  'deletions',
  'sessions',
  'sequences',
  'feeds',
] as const;

/**
 * The shelves of publications that are owed: what strangers are owed fills one of its own, and leaves others theirs.
 */
export const owedShelfNames = ['owed', 'websub_owed'] as const;

/** The shelves there are, with the part of the log's room that each has; a new one is a new line here too. */
const shelfShares: Readonly<Record<string, number>> = {
  ...{ lanes: 1 / 4, dead: 1 / 4, attempts: 1 / 4, owed: 1 / 4 },
  ...{ websub_lanes: 1 / 8, websub_owed: 1 / 8 },
};
export const shelfNames: readonly string[] = Object.keys(shelfShares);

/** The queues there are; a new one is a new line here too. */
export const queueNames = ['webhook', 'websub', 'feeds'] as const;

export const logStream = (generation: string, shard: number): string =>
  `pushfleet_log_${generation}_${shard}`;
export const keptStream = 'pushfleet_kept';
export const ledgerStream = (name: string): string => `pushfleet_ledger_${name}`;
export const shelfStream = (name: string): string => `pushfleet_shelf_${name}`;
export const queueStream = (name: string): string => `pushfleet_queue_${name}`;

/** The shard of a log stream of that generation, from its name; undefined where it is another's. */
export function shardOfStream(stream: string, layout: Layout): number | undefined {
  const prefix = logStream(layout.generation, 0).slice(0, -1);
  if (!stream.startsWith(prefix)) return undefined;
  const shard = Number(stream.slice(prefix.length));
  return Number.isInteger(shard) && shard < layout.shards ? shard : undefined;
}

export type Config = Partial<StreamConfig> & { readonly name: string; readonly subjects: string[] };

// A full stream refuses: what is still owed to somebody is never evicted to make room.
const common = {
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.New,
  allow_msg_ttl: true,
} as const;

export function logConfig(layout: Layout, shard: number, options: StreamOptions): Config {
  const subjects = `${subjectRoot}.log.${shard}.>`;
  return {
    ...common,
    name: logStream(layout.generation, shard),
    description: `Pushfleet: publications, shard ${shard} of ${layout.shards}`,
    subjects: [subjects],
    republish: { src: subjects, dest: `${subjectRoot}.live.>` },
    num_replicas: options.replicas,
    max_age: nanos(options.maxAgeMs),
    max_bytes: Math.floor(options.maxBytes / layout.shards),
    duplicate_window: nanos(options.duplicateWindowMs),
    allow_direct: true,
    allow_atomic: true,
  };
}

export function keptConfig(options: StreamOptions): Config {
  return {
    ...common,
    name: keptStream,
    description: 'Pushfleet: the retained publication of each topic',
    subjects: [`${subjectRoot}.kept.>`],
    num_replicas: options.replicas,
    max_msgs_per_subject: 1,
    max_bytes: options.maxBytes,
    allow_direct: true,
  };
}

export function ledgerConfig(name: string, options: StreamOptions): Config {
  return {
    ...common,
    name: ledgerStream(name),
    description: `Pushfleet: ledger ${name}`,
    subjects: [`${subjectRoot}.ledger.${name}.>`],
    num_replicas: options.replicas,
    max_msgs_per_subject: 1,
    allow_direct: true,
    // Leaves a marker where an entry expires, so that watchers hear of it.
    subject_delete_marker_ttl: nanos(3_600_000),
    allow_rollup_hdrs: true,
  };
}

/** The shelves together have as much room as the log, and those of strangers a quarter beside. */
export function shelfConfig(name: string, options: StreamOptions): Config {
  return {
    ...common,
    name: shelfStream(name),
    description: `Pushfleet: shelf ${name}`,
    subjects: [`${shelfScope(name)}>`],
    num_replicas: options.replicas,
    max_bytes: Math.floor(options.maxBytes * (shelfShares[name] ?? 0)),
    duplicate_window: nanos(options.duplicateWindowMs),
    allow_direct: true,
    allow_atomic: true,
  };
}

/**
 * nats-server refuses `discard: new` beside message schedules, and would remove the oldest of a stream that has a
 * bound. So this one has none, and who puts into it keeps to the log's (queue-room.ts).
 */
export function queueConfig(name: string, options: StreamOptions): Config {
  return {
    storage: StorageType.File,
    retention: RetentionPolicy.Workqueue,
    name: queueStream(name),
    description: `Pushfleet: queue ${name}`,
    subjects: [`${queueScope(name)}>`],
    num_replicas: options.replicas,
    duplicate_window: nanos(options.duplicateWindowMs),
    allow_direct: true,
    allow_atomic: true,
    allow_msg_schedules: true,
  };
}
