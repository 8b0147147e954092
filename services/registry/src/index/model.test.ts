import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { createMemoryBackbone, type Ledger } from '@pushfleet/bus';
import { type RedisServer, startRedis } from '@pushfleet/contract';
import { matches, type Namespace, PushfleetError, parseTopic, parseTopicFilter } from '@pushfleet/core';
import fc from 'fast-check';
import {
  active,
  cursorAt,
  end,
  openIndex,
  paused,
  put,
  snapshot,
  suspended,
  type TestIndex,
  type Wanted,
  webhook,
  websub,
} from './testing.ts';

const level = fc.constantFrom('a', 'b', '$c');
const topic = fc.array(level, { minLength: 1, maxLength: 3 }).map((levels) => levels.join('/'));
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 3 }), fc.boolean())
  .map(([levels, open]) => [...levels, ...(open || levels.length === 0 ? ['#'] : [])].join('/'));
const id = fc.integer({ min: 0, max: 15 }).map((n) => `s${n}`);
const namespace = fc.constantFrom('one', 'two');
const owner = fc.constantFrom('alice', 'bob #1');
const kind = fc.constantFrom(webhook, websub);
const wanted: fc.Arbitrary<Wanted> = fc.record({
  ...{ namespace, id, filter, kind, owner },
  state: fc.constantFrom(active, active, paused, suspended),
  ordered: fc.boolean(),
  start: fc.integer({ min: 1, max: 5 }),
});

type Step =
  | { readonly do: 'put'; readonly wanted: Wanted }
  | { readonly do: 'end'; readonly namespace: string; readonly id: string }
  | {
      readonly do: 'ask';
      readonly namespace: string;
      readonly topic: string;
      readonly at: number;
      readonly size: number;
    }
  | {
      readonly do: 'list';
      readonly namespace: string;
      readonly owner: string | undefined;
      readonly filter: string | undefined;
    }
  | { readonly do: 'empty' | 'copy' | 'failover' | 'replace' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: wanted.map((one) => ({ do: 'put' as const, wanted: one })) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('end' as const), namespace, id }) },
  {
    weight: 6,
    arbitrary: fc.record({
      ...{ do: fc.constant('ask' as const), namespace, topic },
      ...{ at: fc.integer({ min: 1, max: 6 }), size: fc.integer({ min: 1, max: 4 }) },
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ do: fc.constant('list' as const), namespace },
      ...{ owner: fc.option(owner, { nil: undefined }), filter: fc.option(filter, { nil: undefined }) },
    }),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom('empty', 'copy', 'failover', 'replace')
      .map((what) => ({ do: what as 'empty' })),
  },
);

interface World {
  readonly ledger: Ledger;
  readonly fleet: TestIndex[];
  readonly model: Map<string, Wanted>;
  failOver: () => Promise<void>;
}

/** Until the index is whole again there is no answer. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof PushfleetError) || error.code !== 'unavailable' || attempt === 1_000)
        throw error;
    }
  }
}

describe('RedisIndex', async () => {
  const redis: RedisServer = await startRedis();
  after(() => redis.stop());

  /** A fleet of two over one log, beside a list of everything. */
  async function run(steps: readonly Step[]): Promise<void> {
    const ledger: Ledger = createMemoryBackbone().ledger('subscriptions');
    const fleet = [await openIndex(redis.url, ledger), await openIndex(redis.url, ledger)];
    await fleet[0]?.store.command('FLUSHALL');
    const world: World = { ledger, fleet, model: new Map(), failOver: async () => {} };
    try {
      for (const [index, one] of steps.entries()) await take(world, one, index % 2);
    } finally {
      await Promise.all(fleet.map((instance) => instance.close()));
    }
  }

  async function take(world: World, one: Step, which: number): Promise<void> {
    const { ledger, fleet, model } = world;
    const instance = fleet[which] as TestIndex;
    switch (one.do) {
      case 'put':
        await put(ledger, one.wanted);
        model.set(`${one.wanted.namespace}/${one.wanted.id}`, one.wanted);
        return;
      case 'end':
        if (model.delete(`${one.namespace}/${one.id}`)) await end(ledger, one.id, one.namespace);
        return;
      case 'ask':
        return checkMatches(instance, [...model.values()], one);
      case 'list':
        return checkList(instance, [...model.values()], one);
      case 'empty':
        await instance.store.command('FLUSHALL');
        return;
      case 'copy':
        world.failOver = await snapshot(redis.url);
        return;
      case 'failover':
        return world.failOver();
      default:
        await instance.close();
        fleet[which] = await openIndex(redis.url, ledger);
    }
  }

  async function checkMatches(
    { ids }: TestIndex,
    model: readonly Wanted[],
    { namespace: where, topic: text, at, size }: Step & { do: 'ask' },
  ): Promise<void> {
    const due = model
      .filter((one) => one.namespace === where && one.kind === webhook && one.state !== suspended)
      .filter((one) => (one.start ?? 0) < at && matches(parseTopicFilter(one.filter), parseTopic(text)))
      .map((one) => `${one.ordered === true ? 0 : 1}${one.id}`);
    const found = await patiently(() => ids(text, { namespace: where, cursor: cursorAt(at), size }));
    assert.deepEqual(
      found,
      due.toSorted().map((key) => key.slice(1)),
    );
  }

  async function checkList(
    { index }: TestIndex,
    model: readonly Wanted[],
    { namespace: where, owner: whose, filter: what }: Step & { do: 'list' },
  ): Promise<void> {
    const all = model.filter((one) => one.namespace === where);
    const query = {
      ...{
        namespace: where as Namespace,
        owner: whose,
        filter: what as never,
        kind: undefined,
        state: undefined,
      },
      ...{ after: '', limit: 100 },
    };
    const { ids } = await patiently(() => index.list(query));
    const fitting = all.filter(
      (one) => one.owner === (whose ?? one.owner) && one.filter === (what ?? one.filter),
    );
    assert.deepEqual(ids, fitting.map((one) => one.id).toSorted());
    assert.equal(await patiently(() => index.count(where as Namespace)), all.length);
  }

  it('answers as a list of everything does, whatever becomes of Redis and of instances', async () => {
    const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 100, size: 'max' }), run);
    await fc.assert(property, { numRuns: 60 });
  });

  // Seldom at random: the copy has to be taken, and to come back, while the first rebuild is under way.
  it('misses nothing when an older copy comes back in the middle of a rebuild', async () => {
    const wanted: Wanted = {
      namespace: 'two',
      id: 's9',
      filter: '#',
      kind: webhook,
      owner: 'alice',
      state: active,
      start: 1,
    };
    const steps: readonly Step[] = [
      { do: 'put', wanted },
      { do: 'copy' },
      { do: 'failover' },
      { do: 'ask', namespace: 'two', topic: 'a/a', at: 5, size: 2 },
    ];
    for (let round = 0; round < 50; round++) await run(steps);
  });
});
