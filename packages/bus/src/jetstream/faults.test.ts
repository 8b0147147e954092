import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { allRetained, draftOf, replayed, Seen, store } from '@pushfleet/contract/bus-suite';
import {
  type Bus,
  formatCursor,
  type Namespace,
  PushfleetError,
  parseCursor,
  type Stored,
  type Topic,
  type TopicFilter,
} from '@pushfleet/core';
import { connectJetStream, type JetStreamBackbone, type JetStreamOptions } from './backbone.ts';
import { type MigrateReport, migrate } from './migrate.ts';
import { logStream } from './streams.ts';
import { jetStreamManager, testStreams } from './testing.ts';

const namespace = 'faults' as Namespace;

async function connected(servers: string, more: Partial<JetStreamOptions> = {}): Promise<JetStreamBackbone> {
  const backbone = connectJetStream({ servers, name: 'faults', ...more });
  await backbone.start();
  return backbone;
}

/** Four publishers on eight topics, in calls of several drafts, until told to stop. */
class Load {
  readonly acknowledged = new Map<Topic, string[]>();
  readonly refused: PushfleetError[] = [];
  #go = true;
  readonly #done: Promise<unknown>;

  constructor(bus: Bus) {
    this.#done = Promise.all([0, 1, 2, 3].map((publisher) => this.#publish(bus, publisher)));
  }

  get count(): number {
    return [...this.acknowledged.values()].reduce((sum, ids) => sum + ids.length, 0);
  }

  async stop(): Promise<void> {
    this.#go = false;
    await this.#done;
  }

  async #publish(bus: Bus, publisher: number): Promise<void> {
    while (this.#go) {
      const drafts = Array.from({ length: 6 }, (_, i) => draftOf(`load/${publisher}/${i % 2}`));
      for (const answer of await bus.publish(drafts)) this.#note(answer);
    }
  }

  #note(answer: Stored | PushfleetError): void {
    if (answer instanceof PushfleetError) this.refused.push(answer);
    else this.acknowledged.set(answer.topic, [...(this.acknowledged.get(answer.topic) ?? []), answer.id]);
  }
}

/** Every acknowledged publication is in the log once and reached the follower, in order per topic. */
async function assertWhole(
  bus: Bus,
  load: Load,
  seen: Seen,
  from: Awaited<ReturnType<Bus['head']>>,
): Promise<void> {
  const { publications } = await replayed(bus, ['load/#'], from, await bus.head());
  const ids = publications.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, 'nothing is stored twice');
  await until(() => seen.ids.length >= ids.length, 'everything stored at the follower');
  for (const [topic, acknowledged] of load.acknowledged) {
    const stored = publications.filter((publication) => publication.topic === topic).map(({ id }) => id);
    const inLog = new Set(stored);
    assert.deepEqual(
      acknowledged.filter((id) => !inLog.has(id)),
      [],
      `acknowledged and lost in ${topic}`,
    );
    const wanted = new Set(acknowledged);
    assert.deepEqual(
      stored.filter((id) => wanted.has(id)),
      acknowledged,
      `order of ${topic} in the log`,
    );
    assert.deepEqual(seen.ofTopic(topic), stored, `what the follower got of ${topic}`);
  }
}

describe('one server', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...testStreams, shards: 2 });
  });
  after(() => nats.stop());

  it('killed in the middle of publishing and started again loses and doubles nothing', async () => {
    const backbone = await connected(nats.url);
    const bus = backbone.bus(namespace);
    const seen = new Seen();
    const live = bus.follow(seen.on);
    await live.add('load/#' as TopicFilter);
    const from = await bus.head();
    const load = new Load(bus);
    for (let round = 0; round < 2; round++) {
      const before = load.count;
      await until(() => load.count > before + 200, 'some acknowledgements');
      await nats.servers[0]?.kill('SIGKILL');
      await until(() => !backbone.ready, 'the loss to be noticed');
      await nats.servers[0]?.restart();
      await until(() => backbone.ready, 'the return');
    }
    const before = load.count;
    await until(() => load.count > before + 200, 'acknowledgements after the return');
    await load.stop();
    assert.deepEqual(load.refused, []);
    await assertWhole(bus, load, seen, from);
    live.stop();
    await backbone.close();
  });

  it('away: what is published is refused as not stored, and works again by itself', async () => {
    // Long patience, so that only the outage itself can end the wait.
    const backbone = await connected(nats.url, { publisher: { patienceMs: 600_000, awayMs: 200 } });
    const bus = backbone.bus(namespace);
    await nats.servers[0]?.kill('SIGKILL');
    await until(() => !backbone.ready, 'the loss to be noticed');
    for (const when of ['while it is waited for', 'once it is not']) {
      const [answer] = await bus.publish([draftOf('away')]);
      assert.ok(answer instanceof PushfleetError, when);
      assert.equal(answer.code, 'unavailable');
      assert.match(answer.message, /nothing was stored/);
      assert.ok((answer.retryAfterMs ?? 0) > 0);
    }
    await nats.servers[0]?.restart();
    await until(() => backbone.ready, 'the return');
    await store(bus, draftOf('away'));
    await backbone.close();
  });

  it('absent at the start is waited for', async () => {
    await nats.servers[0]?.kill('SIGKILL');
    const backbone = connectJetStream({ servers: nats.url, name: 'early' });
    await backbone.start();
    assert.equal(backbone.ready, false);
    const [answer] = await backbone.bus(namespace).publish([draftOf('early')]);
    assert.ok(answer instanceof PushfleetError && answer.code === 'unavailable');
    await assert.rejects(backbone.bus(namespace).head(), { code: 'unavailable' });
    await nats.servers[0]?.restart();
    await until(() => backbone.ready, 'the log');
    await store(backbone.bus(namespace), draftOf('early'));
    await backbone.close();
  });

  it('finishes what was accepted when drained, and refuses what comes', async () => {
    const backbone = await connected(nats.url);
    const bus = backbone.bus(namespace);
    const accepted = bus.publish(Array.from({ length: 3_000 }, () => draftOf('drain')));
    const drained = backbone.drain(AbortSignal.timeout(10_000));
    const [late] = await bus.publish([draftOf('drain')]);
    assert.ok(late instanceof PushfleetError && late.code === 'draining');
    await drained;
    for (const answer of await accepted) assert.ok(!(answer instanceof PushfleetError));
    await backbone.close();
  });

  it('bounds what waits', async () => {
    const backbone = await connected(nats.url, { publisher: { openDrafts: 100 } });
    const answers = await backbone
      .bus(namespace)
      .publish(Array.from({ length: 150 }, () => draftOf('bound')));
    const refused = answers.filter((answer) => answer instanceof PushfleetError);
    assert.equal(refused.length, 50);
    assert.ok(refused.every(({ code }) => code === 'rate_limited'));
    await backbone.close();
  });

  it('leaves no consumer behind after replays, retained reads and followings', async () => {
    const backbone = await connected(nats.url);
    const bus = backbone.bus(namespace);
    const from = await bus.head();
    await bus.publish(Array.from({ length: 500 }, (_, i) => draftOf(`leak/${i}`, { retain: true })));
    const live = bus.follow(() => {});
    await live.add('leak/#' as TopicFilter);
    await replayed(bus, ['leak/1', 'leak/#', 'x/+'], from, await bus.head());
    for await (const _ of bus.retained('#' as TopicFilter, new AbortController().signal)) break;
    live.stop();
    const { manager, close } = await jetStreamManager(nats.url);
    for await (const info of manager.streams.list()) {
      if (!info.config.name.includes('ledger')) assert.equal(info.state.consumer_count, 0, info.config.name);
    }
    await close();
    await backbone.close();
  });
});

describe('a full log', () => {
  it('refuses with storage_full, one and many, evicts nothing, and goes on once there is room', async () => {
    const nats = await startNats();
    const small = { ...testStreams, maxBytes: 400_000 };
    const report = await migrate({ servers: nats.url, ...small });
    const backbone = await connected(nats.url);
    const bus = backbone.bus(namespace);
    const from = await bus.head();
    const draft = () => draftOf('full', { payload: new Uint8Array(10_000) });
    const first = await store(bus, draft());
    const answers = await bus.publish(Array.from({ length: 80 }, draft));
    const codes = new Set(
      answers.map((answer) => (answer instanceof PushfleetError ? answer.code : 'stored')),
    );
    assert.deepEqual(codes, new Set(['storage_full']));
    let stored = 0;
    for (;;) {
      const [answer] = await bus.publish([draft()]);
      if (answer instanceof PushfleetError) {
        assert.equal(answer.code, 'storage_full');
        break;
      }
      stored++;
    }
    assert.ok(stored > 20);
    const { publications } = await replayed(bus, ['full'], from, await bus.head());
    assert.equal(publications[0]?.id, first.id);
    assert.deepEqual(
      (await migrate({ servers: nats.url, ...testStreams })).updated.includes(
        logStream(report.generation, 0),
      ),
      true,
    );
    await store(bus, draft());
    await backbone.close();
    await nats.stop();
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

  async function underLoad(disturb: (leader: string) => Promise<void>): Promise<void> {
    const { manager, close } = await jetStreamManager(nats.url);
    const backbone = await connected(nats.url);
    const bus = backbone.bus(`three-${Date.now()}` as Namespace);
    const seen = new Seen();
    const live = bus.follow(seen.on);
    await live.add('load/#' as TopicFilter);
    const from = await bus.head();
    const load = new Load(bus);
    for (let round = 0; round < 2; round++) {
      const before = load.count;
      await until(() => load.count > before + 100, 'some acknowledgements');
      const { cluster } = await manager.streams.info(logStream(layout.generation, 0));
      await disturb(cluster?.leader ?? '');
    }
    const before = load.count;
    await until(() => load.count > before + 100, 'acknowledgements after the disturbance');
    await load.stop();
    assert.deepEqual(load.refused, []);
    await assertWhole(bus, load, seen, from);
    live.stop();
    await backbone.close();
    await close();
  }

  it('lose nothing when the leader steps down', async () => {
    const { connection, close } = await jetStreamManager(nats.url);
    await underLoad(async () => {
      await connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${logStream(layout.generation, 0)}`, '', {
        timeout: 5_000,
      });
    });
    await close();
  });

  it('lose nothing when the leader is killed', async () => {
    await underLoad(async (leader) => {
      const server = nats.servers.find(({ name }) => name === leader);
      assert.ok(server, `the leader ${leader} is one of the three`);
      await server.kill('SIGKILL');
      await sleep(1_000);
      await server.restart();
    });
  });

  it('send a cursor from around a leader change back by ten seconds, and trust one from later', async () => {
    const { manager, connection, close } = await jetStreamManager(nats.url);
    const backbone = await connected(nats.url);
    const bus = backbone.bus('mistrust' as Namespace);
    const { id } = await store(bus, draftOf('m'));
    const cursor = await bus.head();
    const stream = logStream(layout.generation, 0);
    const term = async () => (await manager.streams.info(stream)).cluster?.leader_since;
    const before = await term();
    await connection.request(`$JS.API.STREAM.LEADER.STEPDOWN.${stream}`, '', { timeout: 5_000 });
    await until(async () => ((await term()) ?? before) !== before, 'the next leader');
    const read = async (after: typeof cursor) =>
      (await replayed(bus, ['m'], after, await bus.head())).publications.map((publication) => publication.id);
    assert.deepEqual(await read(cursor), [id]);
    const place = parseCursor(cursor);
    assert.deepEqual(await read(formatCursor({ ...place, time: Date.now() + 11_000 })), []);
    await backbone.close();
    await close();
  });

  it('read and keep like one', async () => {
    const backbone = await connected(nats.url);
    const bus = backbone.bus('cluster' as Namespace);
    for (let round = 0; round < 10; round++) {
      const from = await bus.head();
      const sent = Array.from({ length: 40 }, (_, i) => draftOf(`c/${i % 4}`, { retain: true }));
      await bus.publish(sent);
      const { publications } = await replayed(bus, ['c/1', 'c/+'], from, await bus.head());
      const ids = new Set(publications.map(({ id }) => id));
      assert.ok(
        sent.every(({ id }) => ids.has(id)),
        `round ${round}`,
      );
      const newest = new Map(sent.slice(-4).map(({ topic, id }) => [topic, id]));
      // A replica that is behind may give the one before, too, but before it.
      assert.deepEqual(new Map((await allRetained(bus, 'c/#')).map(({ topic, id }) => [topic, id])), newest);
      for (const [topic, id] of newest) {
        assert.deepEqual(
          (await allRetained(bus, topic)).map((one) => one.id),
          [id],
        );
      }
    }
    await backbone.close();
  });
});
