import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { connectJetStream, type Ledger } from '@pushfleet/bus';
import { type NatsCluster, type RedisServer, startNats, startRedis, startService } from '@pushfleet/contract';
import { type Cursor, formatCursor } from '@pushfleet/core';
import {
  type MatchAnswer,
  type MatchSubscriptionsRequest,
  type MatchSubscriptionsResponse,
  Subscription,
  SubscriptionKind,
  SubscriptionServiceClient,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { createLog, internalClient } from '@pushfleet/runtime';
import { cpuSeconds, residentBytes } from '../cpu.ts';
import { migrateOnce } from '../targets/pushfleet.ts';
import { secret } from '../targets/token.ts';
import type { Matching } from '../webhook-plan.ts';

/** Times in milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

export interface MatchingResult {
  /** From the start of a registry whose Redis is empty to the first answer, in seconds. */
  readonly rebuildSeconds: number;
  /** From the start of a second registry, whose Redis is whole, to its first answer, in seconds. */
  readonly startSeconds: number;
  /** What the subscriptions added. */
  readonly redisBytes: number;
  readonly registryBytes: number;
  /** A page of 1,000 subscriptions of one publication; of `own` filters there are none. */
  readonly page: Latency | undefined;
  /** One publication with one receiver, and 500 of them in one call. */
  readonly single: Latency;
  readonly batch: Latency;
  /** Publications looked up in a second of the registry's CPU time, 500 in a call. */
  readonly perCpuSecond: number;
  /** From the log's answer to a new subscription until it is matched. */
  readonly created: Latency;
}

const namespace = 'default';
const batchSize = 500;
const pageSize = 1_000;
const writesAtOnce = 500;
const patienceMs = 600_000;

/** Fills a log, starts a registry on it with an empty Redis, and asks it by gRPC as delivery does. */
export async function runMatching(plan: Matching): Promise<MatchingResult> {
  const [nats, redis] = await Promise.all([startNats(), startRedis()]);
  try {
    await migrateOnce(nats);
    return await withLog(nats, (ledger) => measure(plan, { nats, redis, ledger }));
  } finally {
    await Promise.all([nats.stop(), redis.stop()]);
  }
}

interface World {
  readonly nats: NatsCluster;
  readonly redis: RedisServer;
  readonly ledger: Ledger;
}

async function withLog<T>(nats: NatsCluster, use: (ledger: Ledger) => Promise<T>): Promise<T> {
  const log = createLog({ name: 'bench', level: 'warn' });
  const backbone = connectJetStream({ servers: nats.url, name: 'bench', log });
  await backbone.start();
  try {
    return await use(backbone.ledger('subscriptions'));
  } finally {
    await backbone.close();
  }
}

async function measure(plan: Matching, world: World): Promise<MatchingResult> {
  const { redis, ledger } = world;
  for (let from = 0; from < plan.subscriptions; from += writesAtOnce) {
    const some = Array.from(
      { length: Math.min(writesAtOnce, plan.subscriptions - from) },
      (_, i) => from + i,
    );
    await Promise.all(some.map((n) => write(ledger, n, filterOf(plan, n))));
  }
  const before = redisMemory(redis);
  const first = await startRegistry(world);
  const rebuildSeconds = await first.answers();
  const redisBytes = redisMemory(redis) - before;
  await first.stop();
  const second = await startRegistry(world);
  try {
    const startSeconds = await second.answers();
    const asked = await ask(plan, second, ledger);
    return { rebuildSeconds, startSeconds, redisBytes, registryBytes: residentBytes([second.pid]), ...asked };
  } finally {
    await second.stop();
  }
}

const redisMemory = (redis: RedisServer): number => residentBytes([redis.pid]);

const filterOf = ({ filters }: Matching, n: number): string =>
  filters === 'one' ? 'news/all' : n % 2 === 0 ? `fleet/${n}/state` : `fleet/${n}/+`;
const topicOf = ({ filters }: Matching, n: number): string =>
  filters === 'one' ? 'news/all' : `fleet/${n}/state`;

const cursorAt = (position: number): Cursor =>
  formatCursor({ generation: 'bench', positions: [position], time: 1_700_000_000_000 + position });

function write(ledger: Ledger, n: number, filter: string): Promise<number> {
  // As the registry chooses them: a million ids that follow each other would flatter what sorts them.
  const id = `sub_${Buffer.from(((n * 0x9e3779b1) >>> 0).toString(16).padStart(16, '0')).toString('base64url')}`;
  const record = Subscription.fromPartial({
    ...{ namespace, id, filter, startCursor: cursorAt(n) },
    state: SubscriptionState.SUBSCRIPTION_STATE_ACTIVE,
    authority: { subject: `user-${n % 10_000}` },
    target: { $case: 'webhook', webhook: { url: `https://receiver-${n}.example/hook` } },
  });
  return ledger.put(`${namespace}/${id}`, Subscription.encode(record).finish());
}

interface Registry {
  readonly pid: number;
  match(questions: readonly { topic: string; pageToken?: string }[]): Promise<readonly MatchAnswer[]>;
  /** How long it took to answer for the first time since its start, in seconds. */
  answers(): Promise<number>;
  stop(): Promise<void>;
}

async function startRegistry({ nats, redis }: World): Promise<Registry> {
  const begun = performance.now();
  const env = {
    PUSHFLEET_NATS_URL: nats.url,
    PUSHFLEET_REDIS_URL: redis.url,
    PUSHFLEET_TOKEN_SECRET: secret,
  };
  const service = await startService('registry', env);
  const config = { tokenSecret: secret } as Parameters<typeof internalClient>[0];
  const url = `http://${service.addresses.grpc}`;
  const { target, credentials, options } = internalClient(config, { url, service: 'bench' });
  const client = new SubscriptionServiceClient(target, credentials, options);
  const call = promisify(client.matchSubscriptions.bind(client)) as (
    request: MatchSubscriptionsRequest,
  ) => Promise<MatchSubscriptionsResponse>;
  const cursor = cursorAt(1_000_000_000);
  const match: Registry['match'] = async (questions) => {
    const kind = SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK;
    const all = questions.map(({ topic, pageToken = '' }) => ({ namespace, topic, cursor, pageToken }));
    return (await call({ kind, questions: all, pageSize })).answers;
  };
  const answers = async (): Promise<number> => {
    while (performance.now() - begun < patienceMs) {
      if (await match([{ topic: 'nobody' }]).catch(() => undefined))
        return (performance.now() - begun) / 1_000;
      await sleep(50);
    }
    throw new Error('the registry never answered');
  };
  const stop = async () => {
    client.close();
    await service.kill('SIGTERM');
  };
  return { pid: service.pid, match, answers, stop };
}

type Asked = Pick<MatchingResult, 'page' | 'single' | 'batch' | 'perCpuSecond' | 'created'>;

async function ask(plan: Matching, registry: Registry, ledger: Ledger): Promise<Asked> {
  const { calls, subscriptions } = plan;
  let asked = 0;
  const next = () => topicOf({ ...plan, filters: 'own' }, (asked++ * 7_919) % subscriptions);
  const single = async () => void (await registry.match([{ topic: next() }]));
  const batch = async () => {
    await registry.match(Array.from({ length: batchSize }, () => ({ topic: next() })));
  };
  await timed(Math.ceil(calls / 10), batch);
  const page = plan.filters === 'one' ? await timed(calls, pages(plan, registry)) : undefined;
  const begun = { cpu: cpuSeconds([registry.pid]) };
  const batches = await timed(calls, batch);
  const perCpuSecond = (calls * batchSize) / (cpuSeconds([registry.pid]) - begun.cpu);
  let made = subscriptions;
  const created = await timed(calls, async () => {
    await write(ledger, ++made, `created/${made}/+`);
    const [answer] = await registry.match([{ topic: `created/${made}/now` }]);
    if (answer?.matches.length !== 1) throw new Error('a new subscription was left out: void');
  });
  return { page, single: await timed(calls, single), batch: batches, perCpuSecond, created };
}

/** One page after the other, from the beginning again at the end. */
function pages({ subscriptions }: Matching, registry: Registry): () => Promise<void> {
  let pageToken = '';
  let given = 0;
  return async () => {
    const [answer] = await registry.match([{ topic: 'news/all', pageToken }]);
    given += answer?.matches.length ?? 0;
    pageToken = answer?.nextPageToken ?? '';
    if (pageToken !== '') return;
    if (given !== subscriptions) throw new Error(`${given} of ${subscriptions} were given: void`);
    given = 0;
  };
}

async function timed(times: number, call: () => Promise<void>): Promise<Latency> {
  const all: number[] = [];
  for (let i = 0; i < times; i++) {
    const begun = performance.now();
    await call();
    all.push(performance.now() - begun);
  }
  const sorted = all.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}
