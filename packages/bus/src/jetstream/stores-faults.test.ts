import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { draftOf, replayed } from '@pushfleet/contract/bus-suite';
import { type Bus, type Namespace, PushfleetError } from '@pushfleet/core';
import type { Shelf } from '../shelf.ts';
import type { Tail } from '../tail.ts';
import { connectJetStream, type JetStreamBackbone } from './backbone.ts';
import { type MigrateReport, migrate } from './migrate.ts';
import { logStream, shelfStream } from './streams.ts';
import { jetStreamManager, testStreams } from './testing.ts';

const namespace = 'faults' as Namespace;

async function connected(servers: string): Promise<JetStreamBackbone> {
  const backbone = connectJetStream({ servers, name: 'faults' });
  await backbone.start();
  return backbone;
}

/** Appends to four keys and publishes to four topics, in calls of several, until told to stop. */
class Load {
  appended = 0;
  published = 0;
  readonly refused: unknown[] = [];
  #go = true;
  readonly #done: Promise<unknown>;

  constructor(shelf: Shelf, bus: Bus) {
    const appenders = [0, 1, 2, 3].map((key) => this.#append(shelf, key));
    this.#done = Promise.all([...appenders, this.#publish(bus)]);
  }

  async stop(): Promise<void> {
    this.#go = false;
    await this.#done;
  }

  async #append(shelf: Shelf, key: number): Promise<void> {
    for (let count = 0; this.#go; count += 6) {
      const drafts = Array.from({ length: 6 }, (_, i) => ({
        key: `load/${key}/${(count + i) % 2}`,
        body: Buffer.from(String(count + i)),
      }));
      try {
        const { length } = await shelf.append(drafts);
        this.appended += length;
      } catch (error) {
        this.refused.push(error);
        return;
      }
    }
  }

  async #publish(bus: Bus): Promise<void> {
    while (this.#go) {
      const answers = await bus.publish(Array.from({ length: 6 }, (_, i) => draftOf(`load/${i % 4}`)));
      for (const answer of answers) {
        if (answer instanceof PushfleetError) this.refused.push(answer);
        else this.published++;
      }
    }
  }
}

/** What a tail handed over of the namespace: each publication at its first coming. */
class Seen {
  readonly ids = new Map<string, string>();

  async read(tail: Tail): Promise<{ stop(): Promise<void> }[]> {
    const shards = Array.from({ length: tail.shards }, (_, shard) => shard);
    return Promise.all(
      shards.map((shard) =>
        tail.read(shard, async (batch) => {
          await sleep(1);
          for (const one of batch) {
            if (one.namespace === namespace) this.ids.set(one.publication.id, one.publication.topic);
          }
        }),
      ),
    );
  }
}

async function assertWhole(shelf: Shelf, bus: Bus, load: Load, seen: Seen): Promise<void> {
  assert.deepEqual(load.refused, []);
  let laid = 0;
  for (const [key, count] of await shelf.keys('load')) {
    const bodies = (await shelf.read(key, 0, 1_000_000)).map(({ body }) =>
      Number(Buffer.from(body).toString()),
    );
    assert.equal(bodies.length, count);
    const first = bodies[0] ?? 0;
    assert.deepEqual(
      bodies,
      bodies.map((_, i) => first + 2 * i),
      `nothing lost, doubled or out of order under ${key}`,
    );
    laid += bodies.length;
  }
  assert.equal(laid, load.appended);
  const { publications } = await replayed(bus, ['load/#'], undefined, await bus.head());
  await until(() => seen.ids.size >= publications.length, 'everything stored at the tail');
  for (let topic = 0; topic < 4; topic++) {
    const stored = publications.filter((publication) => publication.topic === `load/${topic}`);
    const handed = [...seen.ids].filter(([, of]) => of === `load/${topic}`).map(([id]) => id);
    assert.deepEqual(
      handed,
      stored.map(({ id }) => id),
    );
  }
}

/** Shelf, tail and log under load while `fault` strikes; then nothing may be missing. */
async function underLoad(url: string, name: string, fault: (backbone: JetStreamBackbone) => Promise<void>) {
  const backbone = await connected(url);
  const [shelf, bus] = [backbone.shelf('lanes'), backbone.bus(namespace)];
  const seen = new Seen();
  const readings = await seen.read(backbone.tail(name));
  await shelf.clear('load');
  const load = new Load(shelf, bus);
  after(() => Promise.all([load.stop(), backbone.close()]));
  const some = async () => {
    const { appended, published } = load;
    const more = () => load.appended > appended + 200 && load.published > published + 200;
    await until(() => more() && seen.ids.size > 0, 'some acknowledgements');
  };
  await some();
  await fault(backbone);
  await some();
  await load.stop();
  await assertWhole(shelf, bus, load, seen);
  for (const reading of readings) await reading.stop();
  assert.equal(await backbone.tail(name).behind(), 0);
  await backbone.close();
}

describe('one server', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...testStreams, shards: 2 });
  });
  after(() => nats.stop());

  it('killed and started again under a shelf and a tail: nothing is lost, doubled or out of order', async () => {
    await underLoad(nats.url, 'killed', async (backbone) => {
      for (let round = 0; round < 2; round++) {
        await nats.servers[0]?.kill('SIGKILL');
        await until(() => !backbone.ready, 'the loss to be noticed');
        await nats.servers[0]?.restart();
        await until(() => backbone.ready, 'the return');
        await sleep(300);
      }
    });
  });

  it('whose consumers somebody deletes goes on being read', async () => {
    const { manager, close } = await jetStreamManager(nats.url);
    await underLoad(nats.url, 'deleted', async () => {
      let deleted = 0;
      for await (const { config } of manager.streams.list()) {
        if (!config.name.startsWith('pushfleet_log_')) continue;
        for await (const { name } of manager.consumers.list(config.name)) {
          await manager.consumers.delete(config.name, name);
          deleted++;
        }
      }
      assert.equal(deleted, 2);
    });
    await close();
  });

  it('is read on by another reader where one was left without a word', async () => {
    const [one, other] = [await connected(nats.url), await connected(nats.url)];
    const seen = new Seen();
    const bus = other.bus(namespace);
    const { publications } = await replayed(bus, ['load/#'], undefined, await bus.head());
    await seen.read(one.tail('left'));
    await until(() => seen.ids.size > 0, 'the first batches');
    await one.close();
    const first = seen.ids.size;
    const readings = await seen.read(other.tail('left'));
    await until(() => seen.ids.size >= publications.length, 'the rest');
    assert.ok(first < publications.length, 'the first reader was left in the middle');
    for (const reading of readings) await reading.stop();
    await other.close();
  });

  it('leaves no consumer behind when a tail is stopped', async () => {
    const { manager, close } = await jetStreamManager(nats.url);
    const consumers = async () => {
      let count = 0;
      for await (const { config, state } of manager.streams.list()) {
        if (config.name.startsWith('pushfleet_log_')) count += state.consumer_count;
      }
      return count;
    };
    const backbone = await connected(nats.url);
    const readings = await new Seen().read(backbone.tail('leaves'));
    await until(async () => (await consumers()) >= 2, 'the consumers');
    for (const reading of readings) await reading.stop();
    await until(async () => (await consumers()) === 0, 'the end of the consumers');
    await backbone.close();
    await close();
  });

  it('full, refuses with storage_full and takes again what there is room for', async () => {
    await migrate({ servers: nats.url, ...testStreams, shards: 2, maxBytes: 4_194_304 });
    const backbone = await connected(nats.url);
    const shelf = backbone.shelf('dead');
    const body = new Uint8Array(100_000);
    const fill = async () => {
      for (let i = 0; i < 12; i++) await shelf.append([{ key: `full/${i % 2}`, body }]);
    };
    await assert.rejects(fill(), { code: 'storage_full', message: /PUSHFLEET_STREAM_MAX_BYTES/ });
    const many = Array.from({ length: 64 }, () => ({ key: 'full/2', body }));
    await assert.rejects(shelf.append(many), { code: 'storage_full' });
    assert.ok((await shelf.clear('full')) >= 8);
    await shelf.append([{ key: 'full/3', body }]);
    await backbone.close();
  });
});

describe('three servers', () => {
  let nats: NatsCluster;
  let layout: MigrateReport;
  before(async () => {
    nats = await startNats({ servers: 3 });
    layout = await migrate({ servers: nats.url, ...testStreams, replicas: 3 });
  });
  after(() => nats.stop());

  it('lose nothing of a shelf and a tail when a leader is killed', async () => {
    const { manager, close } = await jetStreamManager(nats.url);
    for (const stream of [shelfStream('lanes'), logStream(layout.generation, 0)]) {
      await underLoad(nats.url, `led-${stream.slice(10, 15)}`, async () => {
        const { cluster } = await manager.streams.info(stream);
        const server = nats.servers.find(({ name }) => name === cluster?.leader);
        assert.ok(server, `the leader ${cluster?.leader} is one of the three`);
        await server.kill('SIGKILL');
        await sleep(1_000);
        await server.restart();
      });
    }
    await close();
  });

  it('lose nothing when the server of a tail’s consumer is killed', async () => {
    const { manager, close } = await jetStreamManager(nats.url);
    await underLoad(nats.url, 'consumer', async () => {
      const consumers = await manager.consumers.list(logStream(layout.generation, 0)).next();
      const leader = consumers.find(({ name }) => name.startsWith('pushfleet_tail'))?.cluster?.leader;
      const server = nats.servers.find(({ name }) => name === leader);
      assert.ok(server, `the server ${leader} of the consumer is one of the three`);
      await server.kill('SIGKILL');
      await sleep(1_000);
      await server.restart();
    });
    await close();
  });

  it('a read sees what was appended before, whichever replica answers', async () => {
    const backbone = await connected(nats.url);
    const shelf = backbone.shelf('owed');
    for (let round = 0; round < 50; round++) {
      const [sequence] = await shelf.append([{ key: 'fence', body: Buffer.from(String(round)) }]);
      assert.equal((await shelf.get(sequence ?? 0))?.sequence, sequence);
      assert.equal((await shelf.read('fence', (sequence ?? 0) - 1, 10)).length, 1);
      assert.equal((await shelf.newest('fence', undefined, 1))[0]?.sequence, sequence);
    }
    assert.equal((await shelf.newest('fence', undefined, 100)).length, 50);
    await backbone.close();
  });
});
