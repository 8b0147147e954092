import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { createMemoryBackbone, type Ledger } from '@pushfleet/bus';
import { startRedis, until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import { Layouts } from '../testing-layouts.ts';
import { end, openIndex, put, type TestIndex } from './testing.ts';

const layouts = new Layouts();
const indexes: TestIndex[] = [];
after(async () => {
  await Promise.all(indexes.map((index) => index.close()));
  layouts.stop();
});

async function opened(url: string, ledger: Ledger): Promise<TestIndex> {
  const index = await openIndex(url, ledger);
  indexes.push(index);
  return index;
}

async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  const answers: T[] = [];
  const asked = async (): Promise<boolean> => {
    try {
      answers.push(await ask());
      return true;
    } catch (error) {
      if (error instanceof PushfleetError && error.code === 'unavailable') return false;
      throw error;
    }
  };
  await until(asked, 'an answer of the index');
  return answers[0] as T;
}

const namespaces = Array.from({ length: 12 }, (_, n) => `team-${n}`);

async function fill(ledger: Ledger): Promise<void> {
  for (const namespace of namespaces) {
    for (let n = 0; n < 10; n++)
      await put(ledger, { namespace, id: `s${n}`, filter: n % 2 === 0 ? 'a/b' : 'a/+' });
  }
}

const wanted = Array.from({ length: 10 }, (_, n) => `s${n}`);

async function checkAll(index: TestIndex, ids = wanted): Promise<void> {
  for (const namespace of namespaces) {
    assert.deepEqual(await eventually(() => index.ids('a/b', { namespace })), ids);
  }
}

/** The slot of a key, by the rule of Redis Cluster: that of its hash tag. */
const tagOf = (key: string): string => /\{(.+?)\}/.exec(key)?.[1] ?? key;

describe('RedisIndex on other layouts of Redis', () => {
  it('names keys of one slot in one command, and touches no other in a script', async () => {
    const redis = await startRedis();
    const watcher = layouts.client(redis.url);
    const monitor = await watcher.monitor();
    const tags: Set<string>[] = [];
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      // What a script does follows the command that runs it.
      const keys = args.filter((arg) => arg.includes('}:sub:'));
      if (source !== 'lua') tags.push(new Set());
      for (const key of keys) tags.at(-1)?.add(tagOf(key));
    });
    const ledger = createMemoryBackbone().ledger('subscriptions');
    await fill(ledger);
    const one = await opened(redis.url, ledger);
    await checkAll(one);
    await put(ledger, { namespace: 'team-1', id: 's1', filter: 'c', owner: 'bob', ordered: true });
    await end(ledger, 's2', 'team-1');
    assert.deepEqual(await one.ids('c', { namespace: 'team-1' }), ['s1']);
    assert.deepEqual(
      tags.filter((each) => each.size > 1),
      [],
    );
    assert.ok(tags.filter((each) => each.size === 1).length > 20, 'the monitor saw them');
    monitor.disconnect();
    watcher.disconnect();
    await redis.stop();
  });

  it('lives in a cluster of three, and gets what one of them lost', async () => {
    const { url, nodes } = await layouts.cluster();
    const ledger = createMemoryBackbone().ledger('subscriptions');
    await fill(ledger);
    const [one, other] = [await opened(url, ledger), await opened(url, ledger)];
    await checkAll(one);
    const held = await Promise.all(nodes.map(({ client }) => client.dbsize()));
    assert.ok(
      held.every((count) => count > 0),
      `keys on each node: ${held.join(', ')}`,
    );
    for (const { client } of nodes) {
      await client.flushall();
      await checkAll(one);
      await checkAll(other);
    }
  });

  it('goes on after a failover by Sentinel to a replica that missed the newest', async () => {
    const { url, master, replica, ...sentinel } = await layouts.sentinel();
    const ledger = createMemoryBackbone().ledger('subscriptions');
    await fill(ledger);
    const [one, other] = [await opened(url, ledger), await opened(url, ledger)];
    await checkAll(one);
    await sentinel.copied();
    await sentinel.cutOff();
    for (const namespace of namespaces) {
      await put(ledger, { namespace, id: 'new', filter: 'a/#' });
      await end(ledger, 's0', namespace);
    }
    const newest = ['new', ...wanted.slice(1)];
    await checkAll(one, newest);
    const missing = await Promise.all(
      [master, replica].map(({ client }) => client.hget('{team-0}:sub:mark', 'r')),
    );
    assert.ok(Number(missing[0]) > Number(missing[1]), 'the replica missed something');
    await sentinel.failOver();
    await checkAll(other, newest);
    await checkAll(one, newest);
  });
});
