import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectJetStream, migrate } from '@pushfleet/bus';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import type { Namespace } from '@pushfleet/core';
import { createFleet, type Fleet } from '@pushfleet/runtime';

const stream = {
  shards: 1,
  replicas: 1,
  maxAgeMs: 3_600_000,
  maxBytes: 8 * 1_048_576,
  duplicateWindowMs: 120_000,
};
const shop = 'shop' as Namespace;

describe('instances on a real NATS', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...stream });
  });
  after(() => nats.stop());

  /** An instance with a connection of its own that uses one connection of the namespace. */
  const start = async (t: TestContext, service: string): Promise<Fleet> => {
    const backbone = connectJetStream({ servers: nats.url, name: service });
    const usage = () => [[shop, { connections: 1, subscriptions: 0, published: 0 }]] as const;
    const fleet = createFleet(backbone.signals, { service, usage });
    fleet.answer('name', (question) => `${service} of ${question}`);
    await backbone.start();
    await fleet.start();
    t.after(async () => {
      await fleet.close();
      await backbone.close();
    });
    return fleet;
  };

  test('know, count and answer each other; one that closes is forgotten', async (t) => {
    const [one, two, three] = await Promise.all(['one', 'two', 'three'].map((name) => start(t, name)));
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    await until(() => one.elsewhere(shop).connections === 2, 'what the others use');
    const ask = async (waitMs: number) => {
      const answers = await one.ask<string>('name', 'NATS', waitMs);
      return answers.map(({ answer }) => answer).sort();
    };
    const all = ['one of NATS', 'three of NATS', 'two of NATS'];
    await until(async () => (await ask(100)).length === 3, 'all three to answer');
    // Before it has heard itself for two turns it waits to the end, since there may be more.
    await until(
      () => Promise.race([ask(3_000).then(() => true), sleep(100, false)]),
      'an end before the time is up',
    );
    assert.deepEqual(await ask(600_000), all, 'long before the time is up');
    await three.close();
    await until(() => one.elsewhere(shop).connections === 1, 'the third to be forgotten');
    await until(async () => (await ask(600_000)).length === 2, 'two answers');
  });

  test('a NATS that was away costs nobody', async (t) => {
    const [one] = await Promise.all([start(t, 'one'), start(t, 'two')]);
    await until(() => one.elsewhere(shop).connections === 1, 'the other');
    await nats.servers[0]?.kill('SIGKILL');
    assert.deepEqual(await one.ask('name', 'nobody', 100), []);
    assert.equal(one.elsewhere(shop).connections, 1);
    await nats.servers[0]?.restart();
    await until(async () => (await one.ask('name', 'NATS', 100)).length === 2, 'both to answer');
    assert.equal(one.elsewhere(shop).connections, 1);
  });
});
