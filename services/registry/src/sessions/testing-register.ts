// The sessions of one instance in this process, with the fleet and the time in the test's hands.
import { createMemoryBackbone, type Ledger, type MemoryBackbone } from '@pushfleet/bus';
import type { Item, Namespace, Publication } from '@pushfleet/core';
import {
  AcquireSessionRequest,
  type AcquireSessionResponse,
  ReleaseSessionRequest,
  type Session,
  type SessionKey,
  UpdateSessionRequest,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { createLog } from '@pushfleet/runtime';
import { RedisStore, type Store } from '../redis.ts';
import { parseRedisUrl } from '../redis-url.ts';
import { SessionRegister, type SessionsOptions } from './register.ts';
import { team } from './testing.ts';

export interface TestSessions {
  readonly register: SessionRegister;
  readonly store: RedisStore;
  readonly backbone: MemoryBackbone;
  /** Those that are heard of. */
  readonly alive: Set<string>;
  /** Moves the clock, which stands still otherwise where `o.now` is not real. */
  advance(ms: number): void;
  acquire(key: SessionKey, rest?: object): Promise<AcquireSessionResponse>;
  own(key: SessionKey, rest?: object): Promise<Session>;
  update(key: SessionKey, generation: bigint, rest: object): Promise<Session>;
  release(key: SessionKey, generation: bigint, rest?: object): Promise<Date>;
  close(): Promise<void>;
}

/** The sessions as one instance has them. */
export async function openSessions(
  redisUrl: string,
  o: Partial<Pick<SessionsOptions, 'revocations' | 'terms' | 'limit' | 'fleet' | 'deadTurns'>> & {
    readonly backbone?: MemoryBackbone;
    readonly alive?: Set<string>;
    readonly ledger?: (ledger: Ledger) => Ledger;
    readonly wrap?: (store: Store) => Store;
    /** Begins to sweep and to fill. */
    readonly idle?: boolean;
  } = {},
): Promise<TestSessions> {
  const log = createLog({ name: 'registry', level: 'silent' });
  const { backbone = createMemoryBackbone(), alive = new Set(['edge-1', 'edge-2']) } = o;
  const { ledger = (same) => same, wrap = (same) => same, idle = false } = o;
  const store = new RedisStore({ redis: parseRedisUrl(redisUrl), redisTlsCa: undefined }, log);
  let ahead = 0;
  const instances = () => [...alive].map((instance) => ({ instance, service: 'test' }));
  const register = new SessionRegister({
    ...{ backbone, log, store: wrap(store), ledger: ledger(backbone.ledger('sessions')) },
    fleet: { instances, steady: 10 },
    policies: { of: () => ({ history: true, presence: true }) },
    revocations: { revoked: () => false },
    terms: { filters: 10, recordBytes: 100_000, stateBytes: 10_000 },
    limit: () => 1_000_000,
    ...{ deadTurns: 2, everyMs: 20, now: () => Date.now() + ahead },
    ...pick(o),
  });
  await store.start();
  if (!idle) await register.start();
  const usual = { instanceId: 'edge-1', subject: 'alice', expirySeconds: 600 };
  const acquire = (key: SessionKey, rest: object = {}) =>
    register.acquire(AcquireSessionRequest.fromPartial({ key, ...usual, ...rest }));
  return {
    ...{ register, store, backbone, alive, acquire },
    advance: (ms) => {
      ahead += ms;
    },
    own: async (key, rest) => (await acquire(key, rest)).session as Session,
    update: (key, generation, rest) =>
      register.update(UpdateSessionRequest.fromPartial({ key, generation, ...rest })),
    release: (key, generation, rest) =>
      register.release(ReleaseSessionRequest.fromPartial({ key, generation, ...rest })),
    async close() {
      await register.close();
      await store.close();
    },
  };
}

function pick(o: Partial<Omit<SessionsOptions, 'ledger' | 'store' | 'backbone'>>): Partial<SessionsOptions> {
  const { revocations, terms, limit, fleet, deadTurns } = o;
  return {
    ...(revocations && { revocations }),
    ...(terms && { terms }),
    ...(limit && { limit }),
    ...(fleet && { fleet }),
    ...(deadTurns && { deadTurns }),
  };
}

/** What is published in the namespace of the tests from now on. */
export async function heard(backbone: Pick<MemoryBackbone, 'bus'>): Promise<Publication[]> {
  const all: Publication[] = [];
  const following = backbone.bus(team as Namespace).follow((item: Item<Publication>) => {
    if (item.kind === 'publication') all.push(item.value);
  });
  await following.add('#' as never);
  return all;
}
