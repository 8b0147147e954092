import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { draftOf, replayed, store } from '@pushfleet/contract/bus-suite';
import {
  type Bus,
  type Cursor,
  formatCursor,
  type Namespace,
  type Publication,
  parseCursor,
  type Topic,
} from '@pushfleet/core';
import { connectJetStream } from './backbone.ts';
import { migrate } from './migrate.ts';
import { logStream } from './streams.ts';
import { jetStreamManager, testStreams } from './testing.ts';

const namespace = 'ns' as Namespace;
const ids = (publications: readonly Publication[]): string[] => publications.map(({ id }) => id);

describe('what the log no longer holds', () => {
  let nats: NatsCluster;
  before(async () => {
    nats = await startNats();
    await migrate({ servers: nats.url, ...testStreams });
  });
  after(() => nats.stop());

  async function connected() {
    const backbone = connectJetStream({ servers: nats.url, name: 'gaps' });
    await backbone.start();
    return backbone;
  }

  /** Publishes ten and takes the first six out of the stream, in a way that looks like any other. */
  async function tenAndSixGone(bus: Bus, topic: string) {
    const from = parseCursor(await bus.head());
    const sent = Array.from({ length: 10 }, () => draftOf(topic));
    await bus.publish(sent);
    const { manager, close } = await jetStreamManager(nats.url);
    const seq = (from.positions[0] ?? 0) + 7;
    await manager.streams.purge(logStream(from.generation, 0), { seq });
    await close();
    return { from, left: sent.slice(6).map(({ id }) => id), end: seq - 1 };
  }

  it('is told as a gap to who was away for longer than the log keeps things, and reading goes on behind it', async () => {
    const backbone = await connected();
    const bus = backbone.bus(namespace);
    const { from, left, end } = await tenAndSixGone(bus, 'p');
    const late = formatCursor({ ...from, time: Date.now() - testStreams.maxAgeMs });
    const { gaps, publications } = await replayed(bus, ['p'], late, await bus.head());
    assert.deepEqual(ids(publications), left);
    const [gap, ...more] = gaps;
    assert.ok(gap?.kind === 'gap' && more.length === 0);
    assert.deepEqual([gap.from, parseCursor(gap.to).positions], [late, [end]]);
    const resumed = await replayed(bus, ['p'], gap.to, await bus.head());
    assert.deepEqual([resumed.gaps, ids(resumed.publications)], [[], left]);
    await backbone.close();
  });

  it('was deleted, for who was away for less, and for who brings no cursor', async () => {
    const backbone = await connected();
    const bus = backbone.bus(namespace);
    const { from, left } = await tenAndSixGone(bus, 'q');
    const soon = formatCursor({ ...from, time: Date.now() - testStreams.maxAgeMs + 60_000 });
    for (const after of [formatCursor(from), soon, undefined]) {
      const { gaps, publications } = await replayed(bus, ['q'], after, await bus.head());
      assert.deepEqual([gaps, ids(publications)], [[], left]);
    }
    await backbone.close();
  });

  it('is not mistaken where nothing was stored since', async () => {
    const backbone = await connected();
    const bus = backbone.bus(namespace);
    await tenAndSixGone(bus, 'r');
    const head = parseCursor(await bus.head());
    const late = formatCursor({ ...head, time: head.time - 2 * testStreams.maxAgeMs });
    assert.deepEqual((await replayed(bus, ['#'], late, await bus.head())).gaps, []);
    await backbone.close();
  });

  it('is told where the cursor knows no position, only a time', async () => {
    const backbone = await connected();
    const bus = backbone.bus(namespace);
    const { from } = await tenAndSixGone(bus, 's');
    const byTime = (ms: number) => formatCursor({ ...from, positions: [undefined], time: Date.now() - ms });
    const gaps = async (after: Cursor) => (await replayed(bus, ['s'], after, await bus.head())).gaps.length;
    assert.equal(await gaps(byTime(testStreams.maxAgeMs)), 1);
    assert.equal(await gaps(byTime(testStreams.maxAgeMs / 2)), 0);
    await backbone.close();
  });

  it('comes of age by itself', async () => {
    const short = { ...testStreams, maxAgeMs: 1_000, duplicateWindowMs: 1_000 };
    const other = await startNats();
    await migrate({ servers: other.url, ...short });
    const backbone = connectJetStream({ servers: other.url, name: 'age' });
    await backbone.start();
    const bus = backbone.bus(namespace);
    const from = await bus.head();
    await store(bus, draftOf('t'));
    const read = async () => replayed(bus, ['t'], from, await bus.head());
    await until(async () => (await read()).publications.length === 0, 'the end of the first');
    const { id } = await store(bus, draftOf('t'));
    const { gaps, publications } = await read();
    assert.deepEqual([gaps.length, ids(publications)], [1, [id]]);
    await backbone.close();
    await other.stop();
  });

  it('stays lost when the log is told to keep things longer', async () => {
    const other = await startNats();
    await migrate({ servers: other.url, ...testStreams });
    const backbone = connectJetStream({ servers: other.url, name: 'longer' });
    await backbone.start();
    const bus = backbone.bus(namespace);
    const from = parseCursor(await bus.head());
    await store(bus, draftOf('t'));
    await bus.delete('t' as Topic);
    const now = Date.now();
    const gaps = async (awayMs: number) => {
      const after = formatCursor({ ...from, time: now - awayMs });
      return (await replayed(bus, ['t'], after, await bus.head())).gaps.length;
    };
    const { maxAgeMs } = testStreams;
    for (const longer of [2 * maxAgeMs, 0]) {
      await migrate({ servers: other.url, ...testStreams, maxAgeMs: longer });
      assert.deepEqual([await gaps(maxAgeMs + 60_000), await gaps(maxAgeMs / 2)], [1, 0]);
    }
    await backbone.close();
    await other.stop();
  });

  it('does not hand out what has expired', async () => {
    const backbone = await connected();
    const bus = backbone.bus(namespace);
    const from = await bus.head();
    const kept = draftOf('e');
    await bus.publish([draftOf('e', { expiresAt: Date.now() - 1 }), kept]);
    const { publications } = await replayed(bus, ['e'], from, await bus.head());
    assert.deepEqual(
      publications.map(({ id }) => id),
      [kept.id],
    );
    await backbone.close();
  });

  it('is skipped by a cursor whose time says nothing came after it', async () => {
    const backbone = await connected();
    const bus = backbone.bus(namespace);
    const { generation } = parseCursor(await bus.head());
    const { id } = await store(bus, draftOf('by-time'));
    const byTime = (time: number) => formatCursor({ generation, positions: [undefined], time });
    const read = async (time: number) =>
      (await replayed(bus, ['by-time'], byTime(time), await bus.head())).publications;
    assert.deepEqual(
      (await read(Date.now() - 5_000)).map((publication) => publication.id),
      [id],
    );
    assert.deepEqual(await read(Date.now() + 60_000), []);
    assert.deepEqual(await read(Date.UTC(2262, 3, 12)), []);
    assert.deepEqual(await read(Date.UTC(9999, 11, 31)), []);
    assert.deepEqual(await read(Number.MAX_SAFE_INTEGER), []);
    await backbone.close();
  });
});
