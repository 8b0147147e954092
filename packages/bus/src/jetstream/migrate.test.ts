import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { draftOf, replayed, store } from '@pushfleet/contract/bus-suite';
import type { Namespace } from '@pushfleet/core';
import { connectJetStream } from './backbone.ts';
import { migrate } from './migrate.ts';
import {
  keptStream,
  ledgerNames,
  ledgerStream,
  logStream,
  queueNames,
  queueStream,
  shelfNames,
  shelfStream,
} from './streams.ts';
import { jetStreamManager, testStreams } from './testing.ts';

const namespace = 'ns' as Namespace;

describe('migrate', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
  });
  after(() => nats.stop());
  const run = (more: object = {}) => migrate({ servers: nats.url, ...testStreams, shards: 2, ...more });

  it('makes what is missing, lets two runs at once agree, and then changes nothing', async () => {
    const waiting = connectJetStream({ servers: nats.url, name: 'waiting' });
    const started = waiting.start();
    const [one, two] = await Promise.all([run(), run()]);
    assert.equal(one.generation, two.generation);
    const again = await run();
    assert.deepEqual([again.created, again.updated, again.removed], [[], [], []]);
    assert.equal(again.generation, one.generation);
    await started;
    await until(() => waiting.ready, 'a service that was there before its streams');
    await waiting.close();
    const { manager, close } = await jetStreamManager(nats.url);
    const names = (await manager.streams.names().next()).toSorted();
    const wanted = [0, 1].map((shard) => logStream(one.generation, shard));
    assert.deepEqual(
      names,
      [
        ...wanted,
        keptStream,
        ...ledgerNames.map(ledgerStream),
        ...shelfNames.map(shelfStream),
        ...queueNames.map(queueStream),
      ].toSorted(),
    );
    await close();
  });

  it('changes what may change', async () => {
    const { generation } = await run();
    const { updated } = await run({ maxAgeMs: 7_200_000 });
    assert.deepEqual(updated, [logStream(generation, 0), logStream(generation, 1)]);
  });

  it('refuses another number of shards and says what to do', async () => {
    await assert.rejects(run({ shards: 5 }), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'conflict');
      assert.match(
        error.message,
        /is 2, .*PUSHFLEET_STREAM_SHARDS asks for 5.*Set it back to 2.*--new-generation/s,
      );
      return true;
    });
  });

  it('begins a new generation when told, in which older cursors are gaps', async () => {
    const open = async () => {
      const backbone = connectJetStream({ servers: nats.url, name: 'generations' });
      await backbone.start();
      return backbone;
    };
    const old = await open();
    await store(old.bus(namespace), draftOf('t'));
    const cursor = await old.bus(namespace).head();
    await old.ledger('deletions').put('ns/t', new Uint8Array(1));
    await old.close();
    const before = await run();
    const report = await run({ shards: 3, newGeneration: true });
    assert.ok(report.generation > before.generation);
    assert.equal(report.shards, 3);
    const fresh = await open();
    const bus = fresh.bus(namespace);
    const { id } = await store(bus, draftOf('t'));
    const { gaps, publications } = await replayed(bus, ['#'], cursor, await bus.head());
    assert.equal(gaps.length, 1);
    assert.deepEqual(
      publications.map((publication) => publication.id),
      [id],
    );
    assert.equal(await fresh.ledger('deletions').get('ns/t'), undefined, 'its places would mean others now');
    await fresh.close();
  });

  it('says what is wrong where no server answers', async () => {
    await assert.rejects(migrate({ servers: 'nats://127.0.0.1:1', ...testStreams }), {
      code: 'unavailable',
      message: /PUSHFLEET_NATS_URL/,
    });
  });
});

describe('migrate, on a cluster that is starting', () => {
  it('waits for a server that is yet to come', async () => {
    const nats = await startNats({ servers: 3 });
    try {
      const [first, , late] = nats.servers;
      assert.ok(first !== undefined && late !== undefined);
      await late.kill('SIGKILL');
      const made = migrate({ servers: first.url, ...testStreams, replicas: 3 });
      await late.restart();
      assert.ok((await made).created.length > 0);
    } finally {
      await nats.stop();
    }
  });
});
