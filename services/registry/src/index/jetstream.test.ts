import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connectJetStream, type JetStreamBackbone, type Ledger, migrate } from '@pushfleet/bus';
import { type NatsCluster, type RedisServer, startNats, startRedis, until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import { createLog } from '@pushfleet/runtime';
import { recordKey } from '../subscriptions/record.ts';
import { end, openIndex, put, type TestIndex, team } from './testing.ts';

describe('RedisIndex on a JetStream ledger', () => {
  let nats: NatsCluster;
  let redis: RedisServer;
  const backbones: JetStreamBackbone[] = [];
  const indexes: TestIndex[] = [];
  const connect = async (): Promise<Ledger> => {
    const log = createLog({ name: 'registry', level: 'silent' });
    const backbone = connectJetStream({ servers: nats.url, name: 'registry', log });
    backbones.push(backbone);
    await backbone.start();
    return backbone.ledger('subscriptions');
  };
  const instance = async (): Promise<[Ledger, TestIndex]> => {
    const ledger = await connect();
    const index = await openIndex(redis.url, ledger);
    indexes.push(index);
    return [ledger, index];
  };
  const ready = (index: TestIndex): Promise<void> =>
    until(async () => (await index.index.count(team)) >= 0, 'the index');

  before(async () => {
    [nats, redis] = await Promise.all([startNats(), startRedis()]);
    const options = { maxAgeMs: 3_600_000, maxBytes: 100_000_000, duplicateWindowMs: 120_000 };
    await migrate({ servers: nats.url, shards: 1, replicas: 1, ...options });
  });
  after(async () => {
    await Promise.all(indexes.map((index) => index.close()));
    await Promise.all(backbones.map((backbone) => backbone.close()));
    await Promise.all([nats.stop(), redis.stop()]);
  });

  it('matches at once by whichever instance what any of them stored', async () => {
    const [[ledger, one], [, other]] = [await instance(), await instance()];
    await ready(one);
    await ready(other);
    for (let n = 0; n < 100; n++) {
      await put(ledger, { id: `s${n}`, filter: n % 2 === 0 ? `t/${n}` : `t/${n}/+` });
      assert.deepEqual(await other.ids(n % 2 === 0 ? `t/${n}` : `t/${n}/x`), [`s${n}`]);
      await end(ledger, `s${n}`);
      assert.deepEqual(await one.ids(n % 2 === 0 ? `t/${n}` : `t/${n}/x`), []);
    }
    assert.equal(await one.index.count(team), 0);
  });

  it('is filled from many pages of the ledger, and drops what ends by itself', async () => {
    const [ledger, one] = await instance();
    const ids = Array.from({ length: 2_500 }, (_, n) => `m${10_000 + n}`);
    await Promise.all(ids.map((id) => put(ledger, { id, filter: 'many' })));
    const record = await ledger.get(recordKey(team, 'm10000'));
    assert.ok(record !== undefined);
    await ledger.put(recordKey(team, 'm10000'), record.value, { ttlMs: 1_000 });
    await one.store.command('FLUSHALL');
    await until(async () => {
      try {
        return (await one.ids('many')).length < ids.length;
      } catch (error) {
        if (error instanceof PushfleetError && error.code === 'unavailable') return false;
        throw error;
      }
    }, 'the end of the first');
    assert.deepEqual(await one.ids('many'), ids.slice(1));
    assert.equal(await one.index.count(team), ids.length - 1);
  });
});
