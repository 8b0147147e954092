// What the tests of presence share.
import { randomUUID } from 'node:crypto';
import { createMemoryBackbone } from '@pushfleet/bus';
import {
  type Backbone,
  type Item,
  type Member,
  type Namespace,
  type Publication,
  type Topic,
  type TopicFilter,
  textOf,
} from '@pushfleet/core';
import { createLog } from '@pushfleet/runtime';
import { RedisStore } from '../redis.ts';
import { parseRedisUrl } from '../redis-url.ts';
import type { MemberEntry, MemberKey } from './check-entry.ts';
import type { MemberLimits } from './members.ts';
import { PresenceRegister } from './register.ts';

export const team = 'team-a' as Namespace;
export const newLease = (): string => randomUUID();

export const keyOf = (
  topic: string,
  subject: string,
  client = 'c1',
  namespace: string = team,
): MemberKey => ({
  ...{ namespace: namespace as Namespace, topic: topic as Topic, subject, client },
});

export const entryOf = (key: MemberKey, rest: Partial<MemberEntry> = {}): MemberEntry => ({
  ...key,
  ...{ status: 'online', state: Buffer.alloc(0), stateContentType: '', ttlMs: 0, since: 0 },
  ...rest,
});

export interface TestRegister {
  readonly register: PresenceRegister;
  readonly store: RedisStore;
  /** Holds a lease until the returned function is called; resolves once it is held. */
  hold(lease?: string): Promise<Held>;
  /** Everybody on a topic, page by page. */
  all(topic: string, o?: { readonly page?: number; readonly namespace?: string }): Promise<Member[]>;
  close(): Promise<void>;
}

export interface Held {
  readonly lease: string;
  readonly resumed: boolean;
  /** Why it ended. */
  readonly ended: Promise<string>;
  release(): void;
}

const plenty: MemberLimits & { readonly watches: number; readonly lists: number } = {
  ...{ topic: 100_000, namespace: 100_000, waiting: 100_000, watches: 10, lists: 64 },
};

/** A register as one instance has it. */
export async function openRegister(
  redisUrl: string,
  o: {
    readonly backbone?: Pick<Backbone, 'bus'>;
    readonly expiryMs?: number;
    readonly limits?: Partial<typeof plenty>;
    readonly retentionMs?: number;
  } = {},
): Promise<TestRegister> {
  const log = createLog({ name: 'registry', level: 'silent' });
  const store = new RedisStore({ redis: parseRedisUrl(redisUrl), redisTlsCa: undefined }, log);
  const { retentionMs, expiryMs = 2_000, backbone = createMemoryBackbone() } = o;
  const policy = { history: true, presence: true, ...(retentionMs !== undefined && { retentionMs }) };
  const register = new PresenceRegister({
    ...{ store, backbone, expiryMs, log },
    policies: { of: () => policy },
    limits: { ...plenty, ...o.limits },
  });
  await store.start();
  await register.start();
  return {
    register,
    store,
    hold: (lease = newLease()) => hold(register, lease),
    async all(topic, { page = 1_000, namespace = team } = {}) {
      const members: Member[] = [];
      for (let after = ''; ; ) {
        const question = {
          namespace: namespace as Namespace,
          topic: topic as Topic,
          subject: '',
          after,
          limit: page,
        };
        const answer = await register.list(question);
        members.push(...answer.members);
        if (answer.next === '') return members;
        after = answer.next;
      }
    },
    async close() {
      await register.close();
      await store.close();
    },
  };
}

function hold(register: PresenceRegister, lease: string): Promise<Held> {
  const held = Promise.withResolvers<Held>();
  const ended = Promise.withResolvers<string>();
  held.promise.catch(() => {});
  const release = register.holding.hold({
    lease,
    service: 'test',
    onHeld: ({ resumed }) => held.resolve({ lease, resumed, ended: ended.promise, release }),
    onEnd: (error) => {
      ended.resolve(error.code);
      held.reject(error);
    },
  });
  return held.promise;
}

/** A change as it was published. */
export interface Published {
  readonly id: string;
  readonly topic: string;
  readonly kind: string;
  readonly subject: string;
  readonly client: string;
  readonly status: string;
  readonly state?: unknown;
  readonly revision: number;
  readonly [name: string]: unknown;
}

/** What is published below `$presence/` from now on. */
export async function listen(
  backbone: Pick<Backbone, 'bus'>,
  namespace: Namespace = team,
): Promise<{ readonly changes: Published[]; readonly gaps: () => number; stop(): void }> {
  const changes: Published[] = [];
  let gaps = 0;
  const following = backbone.bus(namespace).follow((item: Item<Publication>) => {
    if (item.kind === 'gap') gaps++;
    else
      changes.push({ ...JSON.parse(textOf(item.value.payload)), id: item.value.id, topic: item.value.topic });
  });
  await following.add('$presence/#' as TopicFilter);
  return { changes, gaps: () => gaps, stop: () => following.stop() };
}

/** Who is there after these changes, by topic, subject and client; fails where one does not follow from those before. */
export function replay(changes: readonly Published[]): Map<string, Published> {
  const there = new Map<string, Published>();
  const revisions = new Map<string, number>();
  for (const change of changes) {
    const name = nameOf(change.topic.slice('$presence/'.length), change);
    if (change.revision <= (revisions.get(name) ?? 0)) throw new Error(`revision of ${name} went back`);
    revisions.set(name, change.revision);
    const gone = change.kind === 'left' || change.kind === 'expired';
    if (there.has(name) === (change.kind === 'entered')) throw new Error(`${change.kind} of ${name}`);
    if (gone !== (change.status === 'offline'))
      throw new Error(`${change.kind} with status ${change.status}`);
    if (gone) there.delete(name);
    else there.set(name, change);
  }
  return there;
}

export const nameOf = (topic: string, { subject, client }: Pick<Member, 'subject' | 'client'>): string =>
  JSON.stringify([topic, subject, client]);
