import { setTimeout as sleep } from 'node:timers/promises';
import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { PushfleetError } from '@pushfleet/core';
import { subjectRoot } from '../subject.ts';
import { type ApiFailure, apiError, horizonKey, horizonOf, purge } from './api.ts';
import { layoutKey, parseLayout } from './layout.ts';
import { JetStreamLedger } from './ledger.ts';
import { Link, unavailable } from './link.ts';
import { type Log, silent } from './log.ts';
import {
  type Config,
  keptConfig,
  type Layout,
  ledgerConfig,
  ledgerNames,
  ledgerStream,
  logConfig,
  logStream,
  queueConfig,
  queueNames,
  type StreamOptions,
  shelfConfig,
  shelfNames,
} from './streams.ts';

export interface MigrateOptions extends StreamOptions {
  /** Addresses of the servers, comma-separated. */
  readonly servers: string;
  /** The contents of a NATS credentials file. */
  readonly creds?: string;
  readonly shards: number;
  /** Deletes the log there is, with all it holds, and begins another: the only way to change the number of shards. */
  readonly newGeneration?: boolean;
  readonly log?: Log;
}

export interface MigrateReport extends Layout {
  /** Names of the streams this run made, changed and removed. */
  readonly created: readonly string[];
  readonly updated: readonly string[];
  readonly removed: readonly string[];
}

/** How long a cluster that is starting may take to elect a leader that knows all members. */
const startingPatienceMs = 30_000;

/** What the bus needs came with this version: atomic batches, TTLs, `leader_since`. */
const oldestServer = [2, 12] as const;

/**
 * Makes or changes the streams of the fleet, so that services need no right to do so. Running it again changes
 * nothing; it never removes publications unless told to begin a new generation.
 *
 * @throws PushfleetError `unavailable` without a server, `conflict` where the log has another number of shards
 */
export async function migrate(options: MigrateOptions): Promise<MigrateReport> {
  const { servers, creds } = options;
  const log = options.log ?? silent;
  const link = new Link({
    servers,
    name: 'pushfleet migrate',
    log,
    ...(creds === undefined ? {} : { creds }),
  });
  try {
    await link.connectOnce();
  } catch (error) {
    throw unavailable('NATS is out of reach: check PUSHFLEET_NATS_URL and that the server runs.', error);
  }
  try {
    checkServer(link.connection.info?.version ?? '');
    const streams = new Streams(await jetstreamManager(link.connection, { checkAPI: false }));
    return await onceClusterAnswers(() => run(streams, link, options), log);
  } finally {
    await link.close();
  }
}

/** Runs `work`, which may run again, until the cluster does not only start. */
async function onceClusterAnswers<T>(work: () => Promise<T>, log: Log): Promise<T> {
  const begun = Date.now();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isStarting(error)) throw error;
      if (Date.now() - begun > startingPatienceMs) {
        throw unavailable(
          `NATS made no streams within ${startingPatienceMs / 1_000} s: start the servers that are missing, or set ` +
            'PUSHFLEET_STREAM_REPLICAS to as many as run.',
          error,
        );
      }
      log.warn({ reason: (error as Error).message }, 'NATS makes no streams yet; asking again');
      await sleep(500);
    }
  }
}

function isStarting(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: unknown };
  return name === 'TimeoutError' || code === apiError.noSuitablePeers || code === apiError.clusterUnavailable;
}

async function run(streams: Streams, link: Link, options: MigrateOptions): Promise<MigrateReport> {
  for (const name of ledgerNames) await streams.ensure(ledgerConfig(name, options));
  const layout = await settleLayout(streams, link, options);
  for (let shard = 0; shard < layout.shards; shard++) {
    await streams.ensure(logConfig(layout, shard, options));
  }
  await streams.ensure(keptConfig(options));
  for (const name of shelfNames) await streams.ensure(shelfConfig(name, options));
  for (const name of queueNames) await streams.ensure(queueConfig(name, options));
  return { ...layout, created: streams.created, updated: streams.updated, removed: streams.removed };
}

function checkServer(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > oldestServer[0] || (major === oldestServer[0] && minor >= oldestServer[1])) return;
  throw new PushfleetError(
    'conflict',
    `The nats-server has version ${version}; Pushfleet needs ${oldestServer.join('.')} or newer.`,
  );
}

/** The layout that holds from now on; compare-and-set, so that two runs at once agree. */
async function settleLayout(streams: Streams, link: Link, options: MigrateOptions): Promise<Layout> {
  const ledger = new JetStreamLedger(link, 'layout');
  const held = await ledger.get(layoutKey);
  if (held !== undefined) {
    const layout = parseLayout(held.value);
    if (options.newGeneration !== true) return agree(layout, options.shards);
    for (let shard = 0; shard < layout.shards; shard++) {
      await streams.remove(logStream(layout.generation, shard));
    }
    // They name places of the old one, which the new one gives to other publications.
    await purge(link, ledgerStream('deletions'), `${subjectRoot}.ledger.deletions.>`);
  }
  const layout = { generation: Date.now().toString(36), shards: options.shards };
  try {
    const value = new TextEncoder().encode(JSON.stringify(layout));
    await ledger.put(layoutKey, value, { ifRevision: held?.revision ?? 0 });
    return layout;
  } catch (error) {
    if (!(error instanceof PushfleetError) || error.code !== 'conflict') throw error;
    return settleLayout(streams, link, { ...options, newGeneration: false });
  }
}

function agree(layout: Layout, shards: number): Layout {
  if (layout.shards === shards) return layout;
  throw new PushfleetError(
    'conflict',
    `The number of shards is ${layout.shards}, and PUSHFLEET_STREAM_SHARDS asks for ${shards}. Set it back to ` +
      `${layout.shards}; or stop every service and begin a new generation with \`pushfleet migrate --new-generation\`, ` +
      'which deletes what the log holds.',
    { detail: { shards: layout.shards } },
  );
}

class Streams {
  readonly created: string[] = [];
  readonly updated: string[] = [];
  readonly removed: string[] = [];
  readonly #manager: JetStreamManager;

  constructor(manager: JetStreamManager) {
    this.#manager = manager;
  }

  async ensure(config: Config): Promise<void> {
    const { streams } = this.#manager;
    const held = await orUndefined(streams.info(config.name));
    if (held === undefined) {
      await streams.add(config);
      this.created.push(config.name);
    } else if (differs(config, held.config)) {
      const { name, storage: _, retention: __, ...changeable } = config;
      await streams.update(name, { ...changeable, metadata: rememberHorizon(held.config) });
      this.updated.push(name);
    }
  }

  async remove(name: string): Promise<void> {
    if ((await orUndefined(this.#manager.streams.delete(name))) !== undefined) this.removed.push(name);
  }
}

/** What has aged out does not come back when the stream is told to keep things longer. */
function rememberHorizon(held: StreamConfig): Record<string, string> {
  const horizon = Math.floor(horizonOf(held, Date.now()));
  return horizon > 0 ? { ...held.metadata, [horizonKey]: String(horizon) } : { ...held.metadata };
}

function differs(wanted: object, held: object): boolean {
  const values = held as Record<string, unknown>;
  return Object.entries(wanted).some(([key, value]) => JSON.stringify(value) !== JSON.stringify(values[key]));
}

async function orUndefined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    const { code } = error as { code?: number } & Pick<ApiFailure, 'err_code'>;
    if (code === apiError.streamNotFound) return undefined;
    throw error;
  }
}
