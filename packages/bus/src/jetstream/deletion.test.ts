import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { allRetained, draftOf, replayed, Seen, store } from '@pushfleet/contract/bus-suite';
import {
  type Bus,
  type Namespace,
  PushfleetError,
  parseCursor,
  type Stored,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import { connectJetStream } from './backbone.ts';
import { type MigrateReport, migrate } from './migrate.ts';
import { keptStream, logStream } from './streams.ts';
import { jetStreamManager, testStreams } from './testing.ts';

const namespace = 'deletion' as Namespace;
const topic = 'd/t' as Topic;
const sequenceOf = ({ cursor }: Stored): number => parseCursor(cursor).positions[0] ?? 0;

const isUnavailable = (error: unknown): boolean =>
  error instanceof PushfleetError && error.code === 'unavailable';

/** As a caller who was told to try again in a moment: the log may be away for longer than one call waits for it. */
async function untilAvailable<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      await sleep(20);
    }
  }
}

describe('one server', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...testStreams });
  });
  after(() => nats.stop());

  it('lets no live receiver suspect a loss where something was deleted', async () => {
    const healed: unknown[] = [];
    const backbone = connectJetStream({
      servers: nats.url,
      name: 'deletion',
      follower: { onHealed: (report) => healed.push(report) },
    });
    await backbone.start();
    const bus = backbone.bus(namespace);
    const seen = new Seen();
    const live = bus.follow(seen.on);
    await live.add('d/#' as TopicFilter);
    for (let round = 0; round < 3; round++) {
      const before = seen.ids.length;
      await bus.publish([draftOf('d/t'), draftOf('d/u'), draftOf('d/t')]);
      const last = await store(bus, draftOf('d/t'));
      await bus.delete(topic, last.cursor);
      await store(bus, draftOf('d/t'));
      await bus.delete(topic);
      await store(bus, draftOf('d/t'));
      await until(() => seen.ids.length === before + 6, 'all six of the round');
    }
    assert.deepEqual([healed, seen.gaps], [[], []]);
    live.stop();
    await backbone.close();
  });

  it('deletes also where there is no room for a tombstone', async () => {
    const backbone = connectJetStream({ servers: nats.url, name: 'full' });
    await backbone.start();
    const bus = backbone.bus('full' as Namespace);
    const { id } = await store(bus, draftOf('d/t', { retain: true }));
    const { manager, close } = await jetStreamManager(nats.url);
    const { state } = await manager.streams.info(keptStream);
    await manager.streams.update(keptStream, { max_bytes: state.bytes });
    const [refused] = await bus.publish([draftOf('d/u', { retain: true })]);
    assert.ok(refused instanceof PushfleetError && refused.code === 'storage_full');
    assert.deepEqual(
      (await allRetained(bus, 'd/#')).map((kept) => kept.id),
      [id],
    );
    for (const name of ['d/t', 'd/u']) await bus.delete(name as Topic);
    assert.deepEqual(await allRetained(bus, '#'), []);
    await manager.streams.update(keptStream, { max_bytes: testStreams.maxBytes });
    await close();
    await backbone.close();
  });

  it('hears signals from before its first connection on, and again after a restart', async () => {
    await nats.servers[0]?.kill('SIGKILL');
    const backbone = connectJetStream({ servers: nats.url, name: 'signals' });
    const heard: unknown[] = [];
    let returns = 0;
    backbone.signals.hear('early', (value) => heard.push(value));
    backbone.signals.onReturn(() => returns++);
    backbone.signals.tell('early', 'lost');
    await backbone.signals.ask('early', 1, 600_000, () => assert.fail('there is nobody'));
    const started = backbone.start();
    for (const value of ['first', 'second']) {
      await nats.servers[0]?.restart();
      await until(() => backbone.ready, 'the log');
      await started;
      backbone.signals.tell('early', value);
      await until(() => heard.at(-1) === value, value);
      await nats.servers[0]?.kill('SIGKILL');
      await until(() => !backbone.ready, 'the loss to be noticed');
    }
    assert.deepEqual(heard, ['first', 'second']);
    assert.equal(returns, 1, 'the first connection is no return');
    await nats.servers[0]?.restart();
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

  /** Deletes again and again; returns up to where all is surely deleted, and up to where some may be. */
  async function deleteUntil(bus: Bus, done: () => boolean): Promise<{ sure: number; most: number }> {
    let [sure, most] = [0, 0];
    while (!done()) {
      try {
        sure = Math.max(sure, (await bus.delete(topic)).last);
      } catch (error) {
        assert.ok(isUnavailable(error), `a deletion failed: ${error}`);
        most = parseCursor(await untilAvailable(() => bus.head())).positions[0] ?? 0;
      }
      await sleep(20);
    }
    return { sure, most: Math.max(sure, most) };
  }

  async function whileDeleting(disturb: (leader: string) => Promise<void>): Promise<void> {
    const { manager, close } = await jetStreamManager(nats.url);
    const backbone = connectJetStream({ servers: nats.url, name: 'deletion' });
    await backbone.start();
    const bus = backbone.bus(`three-${Date.now()}` as Namespace);
    const from = await bus.head();
    const seen = new Seen();
    const live = bus.follow(seen.on);
    await live.add('d/#' as TopicFilter);
    const stored: Stored[] = [];
    let go = true;
    const publishing = ['d/t', 'd/u'].map(async (text) => {
      while (go) {
        const draft = draftOf(text, { retain: true });
        stored.push(await untilAvailable(() => store(bus, draft)));
      }
    });
    const deleting = deleteUntil(bus, () => !go);
    for (let round = 0; round < 2; round++) {
      const before = stored.length;
      await until(() => stored.length > before + 100, 'some acknowledgements');
      const { cluster } = await manager.streams.info(logStream(layout.generation, 0));
      await disturb(cluster?.leader ?? '');
    }
    const before = stored.length;
    await until(() => stored.length > before + 100, 'acknowledgements afterwards');
    go = false;
    await Promise.all(publishing);
    const { sure, most } = await deleting;
    const final = draftOf('d/t');
    stored.push(await untilAvailable(() => store(bus, final)));
    const owed = stored.filter((one) => one.topic !== topic || sequenceOf(one) > most);
    const to = await untilAvailable(() => bus.head());
    const { publications, gaps } = await untilAvailable(() => replayed(bus, ['d/#'], from, to));
    const found = new Set(publications.map(({ id }) => id));
    assert.deepEqual(
      owed.filter(({ id }) => !found.has(id)),
      [],
      'published and neither deleted nor found',
    );
    const back = publications.filter((one) => one.topic === topic && one.sequence <= sure);
    assert.deepEqual(back, [], 'deleted, and there again');
    await until(() => owed.every(({ id }) => seen.ids.includes(id)), 'all that stayed, live');
    assert.deepEqual([gaps, seen.gaps], [[], []]);
    live.stop();
    await backbone.close();
    await close();
  }

  it('delete what was there and lose nothing else when the leader steps down', async () => {
    const { connection, close } = await jetStreamManager(nats.url);
    await whileDeleting(async () => {
      const subject = `$JS.API.STREAM.LEADER.STEPDOWN.${logStream(layout.generation, 0)}`;
      await connection.request(subject, '', { timeout: 5_000 });
    });
    await close();
  });

  it('delete what was there and lose nothing else when the leader is killed', async () => {
    await whileDeleting(async (leader) => {
      const server = nats.servers.find(({ name }) => name === leader);
      assert.ok(server, `the leader ${leader} is one of the three`);
      await server.kill('SIGKILL');
      await sleep(1_000);
      await server.restart();
    });
  });
});
