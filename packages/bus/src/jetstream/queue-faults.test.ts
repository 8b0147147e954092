import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import type { Queue, Taken } from '../queue.ts';
import { connectJetStream, type JetStreamBackbone } from './backbone.ts';
import { migrate } from './migrate.ts';
import { deliveryOf } from './queue-entry.ts';
import { queueStream } from './streams.ts';
import { jetStreamManager, testStreams } from './testing.ts';

const terms = { termMs: 1_500, silenceMs: 1_500 };
const stream = queueStream('webhook');
const slots = [0, 1, 2, 3];

async function connected(servers: string): Promise<JetStreamBackbone> {
  const backbone = connectJetStream({ servers, name: 'queue faults', queue: terms });
  after(() => backbone.close());
  await backbone.start();
  return backbone;
}

/** Puts entries into four slots, and makes appointments there, until told to stop; owns the slots meanwhile. */
class Load {
  readonly #queue: Queue;
  /** Acknowledged: of each slot in order, and the appointments. */
  readonly put = slots.map((): string[] => []);
  readonly later = new Map<string, number>();
  readonly taken = new Map<string, Taken>();
  readonly refused: unknown[] = [];
  #go = true;
  #done: Promise<unknown> = Promise.resolve();
  #owned: { stop(): Promise<void> }[] = [];

  constructor(queue: Queue) {
    this.#queue = queue;
  }

  async start(run: string): Promise<void> {
    const own = (slot: number) => this.#queue.own(slot, 20, (taken) => this.#take(taken));
    this.#owned = await Promise.all(slots.map(own));
    this.#done = Promise.all(slots.flatMap((slot) => [this.#putInto(slot, run), this.#arrange(slot, run)]));
  }

  get acknowledged(): number {
    return this.put.reduce((sum, { length }) => sum + length, 0);
  }

  async stop(): Promise<void> {
    this.#go = false;
    await this.#done;
  }

  async end(): Promise<void> {
    await this.stop();
    const wanted = () => [...this.put.flat(), ...this.later.keys()];
    const missing = () => wanted().filter((text) => !this.taken.has(text));
    await until(() => missing().length === 0, 'all that was acknowledged');
    for (const owner of this.#owned) await owner.stop();
  }

  #take(taken: Taken): void {
    const text = Buffer.from(taken.body).toString();
    if (!this.taken.has(text)) this.taken.set(text, taken);
    taken.done();
  }

  async #putInto(slot: number, run: string): Promise<void> {
    for (let count = 0; this.#go; ) {
      const size = count % 7 === 0 ? 100 : 3;
      const texts = Array.from({ length: size }, () => `${run}-${slot}-${count++}`);
      try {
        await this.#queue.put(texts.map((text) => ({ slot, id: text, body: Buffer.from(text) })));
        this.put[slot]?.push(...texts);
      } catch (error) {
        this.refused.push(error);
        return;
      }
    }
  }

  async #arrange(slot: number, run: string): Promise<void> {
    for (let count = 0; this.#go; count++) {
      const key = `${run}/${slot}/${count}`;
      const at = Date.now() + 100 * (count % 20);
      try {
        await this.#queue.later([{ slot, key, at, body: Buffer.from(key) }]);
        this.later.set(key, at);
      } catch (error) {
        this.refused.push(error);
        return;
      }
    }
  }
}

/** A queue under load while `fault` strikes; then nothing may be missing, early or out of order. */
async function underLoad(url: string, run: string, fault: (backbone: JetStreamBackbone) => Promise<void>) {
  const backbone = await connected(url);
  const load = new Load(backbone.queue('webhook'));
  after(async () => {
    await load.stop();
    await backbone.close();
  });
  await load.start(run);
  const some = async () => {
    const before = [load.acknowledged, load.taken.size] as const;
    const more = () => {
      assert.deepEqual(load.refused, []);
      return load.acknowledged > before[0] + 500 && load.taken.size > before[1] + 500;
    };
    // Three servers with a group of replicas for each slot need seconds to agree again on a busy machine.
    await until(more, 'some that are acknowledged and taken', 120_000);
  };
  await some();
  await fault(backbone);
  await some();
  await load.end();
  assert.deepEqual(load.refused, []);
  for (const put of load.put) {
    const first = [...load.taken].filter(([text, { again }]) => !again && put.includes(text));
    assert.deepEqual(
      first.map(([text]) => text),
      put.filter((text) => load.taken.get(text)?.again === false),
    );
  }
  for (const [key, at] of load.later)
    assert.ok((load.taken.get(key)?.time ?? 0) >= at, `${key} is not early`);
  await backbone.close();
}

describe('where an entry was delivered', () => {
  it('is read from the subject that answers go to, with a domain or without', () => {
    const tail = '3.1021.77.1795332476951216070.5';
    const wanted = { count: 3, sequence: 1_021, number: 77, time: 1_795_332_476_951 };
    assert.deepEqual(deliveryOf(`$JS.ACK.stream.slot-1.${tail}`), wanted);
    assert.deepEqual(deliveryOf(`$JS.ACK.domain.hash.stream.slot-1.${tail}.token`), wanted);
  });
});

describe('a queue on one server', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...testStreams });
  });
  after(() => nats.stop());

  it('that is killed and started again loses nothing', async () => {
    await underLoad(nats.url, 'killed', async (backbone) => {
      for (let round = 0; round < 2; round++) {
        await nats.servers[0]?.kill('SIGKILL');
        await until(() => !backbone.ready, 'the loss to be noticed');
        await nats.servers[0]?.restart();
        await until(() => backbone.ready, 'the return');
      }
    });
  });

  it('whose consumers somebody deletes goes on', async () => {
    const { manager, close } = await jetStreamManager(nats.url);
    await underLoad(nats.url, 'deleted', async () => {
      for (const slot of slots) await manager.consumers.delete(stream, `slot-${slot}`);
    });
    await close();
  });

  it('keeps what an owner says while the connection is away', async () => {
    const backbone = await connected(nats.url);
    const queue = backbone.queue('webhook');
    const taken: Taken[] = [];
    const { stop } = await queue.own(9, 10, (one) => {
      if (taken.push(one) > 2) one.done();
    });
    await queue.put([1, 2].map((i) => ({ slot: 9, id: `away-${i}`, body: Buffer.from(`${i}`) })));
    await until(() => taken.length === 2, 'both');
    await nats.servers[0]?.kill('SIGKILL');
    await until(() => !backbone.ready, 'the loss to be noticed');
    taken[0]?.done();
    taken[1]?.back();
    await nats.servers[0]?.restart();
    await until(() => taken.length === 3, 'the one that was given back');
    await sleep(terms.termMs + 1_000);
    assert.deepEqual(
      taken.map(({ body }) => Buffer.from(body).toString()),
      ['1', '2', '2'],
    );
    await stop();
    await backbone.close();
  });

  it('tells an owner that its slot has passed on, and one that is cut off that it may have', async () => {
    const backbones = [await connected(nats.url), await connected(nats.url)] as const;
    const owners = await Promise.all(
      backbones.map(async (backbone) => {
        const owner = { taken: 0, lost: 0 };
        const on = (one: Taken) => {
          owner.taken++;
          one.done();
        };
        const onLost = () => owner.lost++;
        return Object.assign(owner, await backbone.queue('webhook').own(11, 10, on, onLost));
      }),
    );
    const queue = backbones[0].queue('webhook');
    const put = () => queue.put([{ slot: 11, id: randomUUID(), body: new Uint8Array(1) }]);
    const given = () => owners.reduce((sum, { taken }) => sum + taken, 0);
    await put();
    await until(() => given() === 1, 'the first');
    // While all is well nobody is told anything, however long nothing comes.
    await sleep(2 * queue.lapseMs);
    assert.deepEqual(
      owners.map(({ lost }) => lost),
      [0, 0],
    );
    const [owner, heir] = owners[0]?.taken === 1 ? owners : owners.toReversed();
    assert.ok(owner !== undefined && heir !== undefined);
    const { connection, close } = await jetStreamManager(nats.url);
    after(close);
    await until(async () => {
      // The broker may choose the same one again; then nothing was lost.
      await connection.request(`$JS.API.CONSUMER.UNPIN.${stream}.slot-11`, '{"group":"owner"}');
      await put();
      await sleep(50);
      return heir.taken > 0;
    }, 'the slot to pass on');
    await until(() => owner.lost === 1, 'the loss');

    const before = given();
    await nats.servers[0]?.kill('SIGKILL');
    await until(() => heir.lost > 0, 'the doubt');
    await nats.servers[0]?.restart();
    await until(() => backbones.every(({ ready }) => ready), 'the return');
    await put();
    await until(() => given() > before, 'the slot once more');
    for (const { stop } of owners) await stop();
  });

  it('makes appointments due that were due while it was down, once', async () => {
    const backbone = await connected(nats.url);
    const queue = backbone.queue('webhook');
    const at = Date.now();
    const body = new Uint8Array(1);
    await queue.later(
      [600, 700, 86_400_000].map((ms) => ({ slot: 10, key: `down/${ms}`, at: at + ms, body })),
    );
    await nats.servers[0]?.kill('SIGKILL');
    await until(() => Date.now() > at + 700, 'their time');
    await nats.servers[0]?.restart();
    await until(() => backbone.ready, 'the return');
    const taken: Taken[] = [];
    const { stop } = await queue.own(10, 10, (one) => {
      taken.push(one);
      one.done();
    });
    await until(() => taken.length === 2, 'both');
    await sleep(500);
    assert.deepEqual(
      taken.map(({ again }) => again),
      [false, false],
    );
    assert.equal(await queue.appointments(10, 'down'), 1);
    await queue.cancel(10, 'down');
    await stop();
    await backbone.close();
  });

  it('refuses what passes the bound of the log, removes nothing for it, and takes again what there is room for', async () => {
    await migrate({ servers: nats.url, ...testStreams, maxBytes: 2_097_152 });
    const backbone = await connected(nats.url);
    const queue = backbone.queue('webhook');
    const body = new Uint8Array(100_000);
    let stored = 0;
    const fill = async () => {
      for (; stored < 30; stored++) await queue.put([{ slot: 11, id: `full-${stored}`, body }]);
    };
    await assert.rejects(fill(), { code: 'storage_full', message: /PUSHFLEET_STREAM_MAX_BYTES/ });
    assert.ok(stored >= 18 && stored <= 20, `${stored} were stored`);
    const appointment = { slot: 11, key: 'full', at: Date.now() + 86_400_000, body };
    await assert.rejects(queue.later([appointment]), { code: 'storage_full' });
    let taken = 0;
    const { stop } = await queue.own(11, 5, (one) => {
      taken++;
      one.done();
    });
    await until(() => taken === stored, 'all that were stored');
    await queue.later([appointment]);
    await queue.cancel(11, 'full');
    await stop();
    await backbone.close();
  });
});

describe('a queue on three servers', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats({ servers: 3 });
    await migrate({ servers: nats.url, ...testStreams, replicas: 3 });
  });
  after(() => nats.stop());

  it('loses nothing when the leader of its stream, or of a consumer, is killed', async () => {
    const { manager, close } = await jetStreamManager(nats.url);
    const leaders = {
      stream: async () => (await manager.streams.info(stream)).cluster?.leader,
      consumer: async () => (await manager.consumers.info(stream, 'slot-0')).cluster?.leader,
    };
    for (const [what, leader] of Object.entries(leaders)) {
      await underLoad(nats.url, what, async () => {
        const name = await leader();
        const server = nats.servers.find((one) => one.name === name);
        assert.ok(server, `the leader ${name} is one of the three`);
        await server.kill('SIGKILL');
        await sleep(1_000);
        await server.restart();
      });
    }
    await close();
  });
});
