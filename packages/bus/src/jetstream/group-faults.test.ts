import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { JetStreamManager } from '@nats-io/jetstream';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { draftOf, store } from '@pushfleet/contract/bus-suite';
import type { Bus, Lent, Namespace, Share, TopicFilter } from '@pushfleet/core';
import { connectJetStream, type JetStreamBackbone } from './backbone.ts';
import { consumerOf } from './group.ts';
import { migrate } from './migrate.ts';
import { jetStreamManager, testStreams } from './testing.ts';

const group = { leaseMs: 1_500 };
const all = '#' as TopicFilter;

async function connected(servers: string, terms = group): Promise<JetStreamBackbone> {
  const backbone = connectJetStream({ servers, name: 'group faults', group: terms });
  after(() => backbone.close());
  await backbone.start();
  return backbone;
}

/** In the order of the shards. */
async function logStreams(manager: JetStreamManager): Promise<string[]> {
  const names = [];
  for await (const name of manager.streams.names()) if (name.includes('_log_')) names.push(name);
  return names.toSorted();
}

/** A group under load: one publishes, members of two processes take, and give every seventh back the first time. */
class Load {
  readonly #bus: Bus;
  readonly #members: readonly Bus[];
  readonly acknowledged: string[] = [];
  /** By id: how often it was done. */
  readonly done = new Map<string, number>();
  readonly #given = new Set<string>();
  #shares: Share[] = [];
  #go = true;
  #publishing: Promise<void> = Promise.resolve();
  readonly refused: unknown[] = [];

  constructor(publisher: Bus, members: readonly Bus[]) {
    this.#bus = publisher;
    this.#members = members;
  }

  async start(): Promise<void> {
    await this.#bus.openGroup('g', all);
    this.#shares = this.#members.map((bus) => {
      const share = bus.share(
        'g',
        (lent) => this.#take(lent, share),
        () => this.refused.push('gone'),
      );
      share.want(20);
      return share;
    });
    this.#publishing = this.#publish();
  }

  async end(): Promise<void> {
    this.#go = false;
    await this.#publishing;
    const missing = () => this.acknowledged.filter((id) => !this.done.has(id));
    await until(() => missing().length === 0, 'all that was acknowledged');
    for (const share of this.#shares) share.stop();
    assert.deepEqual(this.refused, []);
  }

  #take(lent: Lent, share: Share): void {
    const { id } = lent.publication;
    setTimeout(() => {
      if (this.done.size % 7 === 0 && !this.#given.has(id)) {
        this.#given.add(id);
        lent.back();
      } else {
        this.done.set(id, (this.done.get(id) ?? 0) + 1);
        lent.done();
      }
      share.want(20);
    }, 1);
  }

  async #publish(): Promise<void> {
    for (let count = 0; this.#go; count++) {
      const drafts = Array.from({ length: 20 }, (_, i) => draftOf(`t/${count % 5}/${i % 4}`));
      for (const answer of await this.#bus.publish(drafts)) {
        if (answer instanceof Error) this.refused.push(answer);
        else this.acknowledged.push(answer.id);
      }
      await sleep(5);
    }
  }
}

async function underLoad(url: string, run: string, fault: () => Promise<void>): Promise<Load> {
  const backbones = [await connected(url), await connected(url), await connected(url)];
  const [publisher, ...members] = backbones.map((backbone) => backbone.bus(run as Namespace)) as [Bus, Bus];
  const load = new Load(publisher, members);
  await load.start();
  const some = async () => {
    const [sent, done] = [load.acknowledged.length, load.done.size];
    const more = () => load.acknowledged.length > sent + 300 && load.done.size > done + 300;
    // Three servers with replicas of stream and consumer need seconds to agree again on a busy machine.
    await until(more, 'some that are acknowledged and done', 120_000);
  };
  await some();
  await fault();
  await some();
  await load.end();
  for (const backbone of backbones) await backbone.close();
  return load;
}

describe('a group on one server', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...testStreams, shards: 2 });
  });
  after(() => nats.stop());

  it('that is killed and started again loses nothing', async () => {
    await underLoad(nats.url, 'killed', async () => {
      for (let round = 0; round < 2; round++) {
        await nats.servers[0]?.kill('SIGKILL');
        await sleep(300);
        await nats.servers[0]?.restart();
      }
    });
  });

  it('hands what a process had that is killed to others, once its lease is over', async () => {
    const backbone = await connected(nats.url);
    const bus = backbone.bus('member' as Namespace);
    await bus.openGroup('g', all);
    const ids = [];
    for (let i = 0; i < 20; i++) ids.push((await store(bus, draftOf(`t/${i}`))).id);
    const path = fileURLToPath(new URL('testing-member.ts', import.meta.url));
    const member = spawn(process.execPath, [path, nats.url, 'member', 'g', '12', '1500'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    after(() => member.kill('SIGKILL'));
    let said = '';
    member.stdout.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
    const taken = () => said.split('\n').slice(0, -1);
    await until(() => taken().length >= 12, 'what it takes');
    const done: string[] = [];
    const share = bus.share(
      'g',
      (lent) => {
        done.push(lent.publication.id);
        lent.done();
        share.want(5);
      },
      () => {},
    );
    share.want(5);
    await until(() => done.length === 8, 'what it leaves');
    // While it lives, it keeps what it has.
    await sleep(2 * group.leaseMs);
    assert.deepEqual([...done, ...taken()].toSorted(), ids.toSorted());
    member.kill('SIGKILL');
    await until(() => done.length >= 20, 'what it had');
    assert.deepEqual(done.toSorted(), ids.toSorted());
    share.stop();
    await backbone.close();
  });

  it('hears what members said while the connection was away, and gives nothing of it again', async () => {
    const { manager, close } = await jetStreamManager(nats.url);
    const backbone = await connected(nats.url, { leaseMs: 4_000 });
    const bus = backbone.bus('away' as Namespace);
    await bus.openGroup('g', all);
    const lent: Lent[] = [];
    const share = bus.share('g', (one) => lent.push(one), assert.fail);
    share.want(2);
    for (let i = 0; i < 2; i++) await store(bus, draftOf('t'));
    await until(() => lent.length === 2, 'both');
    // One that is killed may not have written yet what it handed out.
    await nats.servers[0]?.kill('SIGTERM');
    await until(() => !backbone.ready, 'the loss to be noticed');
    share.want(10);
    lent[0]?.done();
    lent[1]?.back();
    await nats.servers[0]?.restart();
    await until(() => lent.length >= 3, 'the one that was given back');
    lent[2]?.done();
    const open = async () => {
      const streams = (await logStreams(manager)).map((stream) =>
        manager.consumers.info(stream, consumerOf('away' as Namespace, 'g')),
      );
      return (await Promise.all(streams)).reduce(
        (sum, one) => sum + one.num_ack_pending + one.num_pending,
        0,
      );
    };
    await until(async () => (await open()) === 0, 'nothing more to be owed');
    assert.deepEqual([lent.length, lent[2]?.publication], [3, lent[1]?.publication]);
    share.stop();
    await close();
    await backbone.close();
  });

  it('of which somebody deletes a consumer is gone for its members, and begins anew when it is opened', async () => {
    const { manager, close } = await jetStreamManager(nats.url);
    const backbone = await connected(nats.url);
    const bus = backbone.bus('deleted' as Namespace);
    await bus.openGroup('g', all);
    let gone = 0;
    const share = bus.share(
      'g',
      () => {},
      () => gone++,
    );
    share.want(1);
    const [, stream = ''] = await logStreams(manager);
    await manager.consumers.delete(stream, consumerOf('deleted' as Namespace, 'g'));
    await until(() => gone === 1, 'the news of it');
    await bus.openGroup('g', all);
    const lent: Lent[] = [];
    const again = bus.share('g', (one) => lent.push(one), assert.fail);
    again.want(10);
    for (let i = 0; i < 4; i++) await store(bus, draftOf(`t/${i}`));
    await until(() => lent.length === 4, 'what is stored from then on');
    again.stop();
    await close();
    await backbone.close();
  });
});

describe('a group on three servers', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats({ servers: 3 });
    await migrate({ servers: nats.url, ...testStreams, replicas: 3 });
  });
  after(() => nats.stop());

  it('loses nothing when the leader of its stream, or of its consumer, is killed', async () => {
    const { manager, close } = await jetStreamManager(nats.url);
    const [stream = ''] = await logStreams(manager);
    for (const what of ['stream', 'consumer']) {
      await underLoad(nats.url, what, async () => {
        const info =
          what === 'stream'
            ? await manager.streams.info(stream)
            : await manager.consumers.info(stream, consumerOf(what as Namespace, 'g'));
        const server = nats.servers.find(({ name }) => name === info.cluster?.leader);
        assert.ok(server, `the leader ${info.cluster?.leader} is one of the three`);
        await server.kill('SIGKILL');
        await sleep(1_000);
        await server.restart();
      });
    }
    await close();
  });
});
