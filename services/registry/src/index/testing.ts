// What the tests of the index share: records in a ledger, and indexes over it as the instances of a fleet have them.
import type { Ledger } from '@pushfleet/bus';
import { type Cursor, formatCursor, type Namespace } from '@pushfleet/core';
import {
  type MatchAnswer,
  type MatchQuestion,
  Subscription,
  SubscriptionKind,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { createLog } from '@pushfleet/runtime';
import { Redis } from 'ioredis';
import { RedisStore } from '../redis.ts';
import { parseRedisUrl } from '../redis-url.ts';
import { indexChangeOf, recordKey } from '../subscriptions/record.ts';
import * as targets from '../subscriptions/testing.ts';
import { lockKey } from './keys.ts';
import { RedisIndex } from './redis-index.ts';

export const team = 'team-a' as Namespace;
export const webhook = SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK;
export const websub = SubscriptionKind.SUBSCRIPTION_KIND_WEBSUB;
export const active = SubscriptionState.SUBSCRIPTION_STATE_ACTIVE;
export const paused = SubscriptionState.SUBSCRIPTION_STATE_PAUSED;
export const suspended = SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED;

/** The place right behind the publication with this sequence. */
export const cursorAt = (sequence: number): Cursor =>
  formatCursor({ generation: 'g1', positions: [sequence], time: 1_000_000 + sequence });

export interface Wanted {
  readonly namespace?: string;
  readonly id: string;
  readonly filter: string;
  readonly kind?: SubscriptionKind;
  readonly state?: SubscriptionState;
  readonly ordered?: boolean;
  readonly owner?: string;
  readonly start?: number;
  readonly expiresAt?: number;
  readonly types?: readonly string[];
}

/** Writes a subscription to the log and returns its revision. */
export function put(ledger: Ledger, wanted: Wanted): Promise<number> {
  const { namespace = team, id, filter, state = active, start = 0, owner = 'alice' } = wanted;
  const record = Subscription.fromPartial({
    ...{ namespace, id, filter, state, startCursor: cursorAt(start) },
    authority: { subject: owner },
    ...(wanted.types !== undefined && { selection: { types: [...wanted.types] } }),
    ...(wanted.expiresAt !== undefined && { expiresAt: new Date(wanted.expiresAt) }),
  });
  const ordered = wanted.ordered ?? false;
  const target = wanted.kind === websub ? targets.websub() : targets.webhook({ ordered, secrets: [] });
  return ledger.put(recordKey(namespace, id), Subscription.encode({ ...record, target }).finish());
}

export const end = (ledger: Ledger, id: string, namespace: string = team): Promise<void> =>
  ledger.delete(recordKey(namespace, id));

export interface TestIndex {
  readonly index: RedisIndex;
  readonly store: RedisStore;
  /** The ids of all pages of one publication. */
  ids(
    topic: string,
    options?: Partial<MatchQuestion> & { readonly kind?: SubscriptionKind; readonly size?: number },
  ): Promise<string[]>;
  close(): Promise<void>;
}

/** An index as one instance has it. */
export async function openIndex(
  redisUrl: string,
  ledger: Pick<Ledger, 'get' | 'put' | 'read'>,
  options: { readonly now?: () => number } = {},
): Promise<TestIndex> {
  const log = createLog({ name: 'registry', level: 'silent' });
  const store = new RedisStore({ redis: parseRedisUrl(redisUrl), redisTlsCa: undefined }, log);
  const index = new RedisIndex({ store, ledger, changeOf: indexChangeOf, log, ...options });
  await store.start();
  await index.start();
  return {
    index,
    store,
    async ids(topic, { kind = webhook, size = 1_000, namespace = team, cursor = cursorAt(1_000_000) } = {}) {
      const ids: string[] = [];
      for (let pageToken = ''; ; ) {
        const [answer] = await index.match(kind, [{ namespace, topic, cursor, pageToken }], size);
        const { matches, nextPageToken } = answer as MatchAnswer;
        ids.push(...matches.map(({ id }) => id));
        if (nextPageToken === '') return ids;
        pageToken = nextPageToken;
      }
    },
    async close() {
      await index.close();
      await store.close();
    },
  };
}

/** In one step, as a replica has it: a write between two keys would make a copy that no replica ever had. */
const dumpAll = `
local dumps = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if key ~= ARGV[1] then dumps[#dumps + 1] = { key, redis.call('DUMP', key) } end
end
return dumps`;

/**
 * What a replica had that missed all later writes: returns how to put it in the place of what is there. The lock, which
 * ends by itself, is left out.
 */
export async function snapshot(redisUrl: string): Promise<() => Promise<void>> {
  const dumps = await using(
    redisUrl,
    async (client) => (await client.callBuffer('EVAL', dumpAll, 0, lockKey)) as [key: Buffer, dump: Buffer][],
  );
  const restores = dumps.map(([key, dump]) => ['restore', key, 0, dump]);
  return () =>
    using(redisUrl, async (client) => {
      await client.multi([['flushall'], ...restores]).exec();
    });
}

async function using<T>(redisUrl: string, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(redisUrl);
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
}
