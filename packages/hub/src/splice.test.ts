import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  type Bus,
  type Cursor,
  defaultNamespace,
  formatCursor,
  type Item,
  PushfleetError,
  parseCursor,
} from '@pushfleet/core';
import type { Delivery } from './mod.ts';
import { cursorOf, filter, idOf, Stage, topicsByShard } from './test/stage.ts';

/** Counts what the bus is asked. */
function count(stage: Stage): { replay: number; retained: number } {
  const bus: Bus = stage.backbone.bus(defaultNamespace);
  const calls = { replay: 0, retained: 0 };
  const { replay, retained } = bus;
  bus.replay = (...args) => {
    calls.replay++;
    return replay.apply(bus, args);
  };
  bus.retained = (...args) => {
    calls.retained++;
    return retained.apply(bus, args);
  };
  return calls;
}

async function publishMany(stage: Stage, topic: string, from: number, to: number): Promise<void> {
  for (let i = from; i <= to; i++) await stage.publish(topic, String(i));
}

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => String(from + i));

suite('resuming', () => {
  test('replays from the cursor, then goes on live, each once', async () => {
    const stage = new Stage({ hub: { pageCount: 3 } });
    const cursor = await stage.publish('a', '0');
    await publishMany(stage, 'a', 1, 20);
    const client = await stage.subscribe(['a', '#'], { after: cursor });
    await publishMany(stage, 'a', 21, 25);
    await stage.settle();
    assert.deepEqual(client.ids(), numbers(1, 25));
  });

  test('an attach within the ring reads nothing from the log', async () => {
    const stage = new Stage();
    const first = await stage.subscribe('a/#');
    const { cursor } = first.feed;
    await publishMany(stage, 'a/b', 1, 20);
    await stage.settle();
    const calls = count(stage);
    const second = await stage.subscribe(['a/b', 'a/+'], { after: cursor });
    assert.deepEqual(second.ids(), numbers(1, 20));
    assert.equal(calls.replay, 0);
    const [one, two] = [first.items(), second.items()];
    assert.equal(one.length, 20);
    assert.equal(two.length, 0);
  });

  for (const [ringCount, reads] of [
    [21, 0],
    [20, 0],
    [19, 1],
  ] as const) {
    test(`20 publications behind a ring of ${ringCount}`, async () => {
      const stage = new Stage({ hub: { ringCount } });
      const first = await stage.subscribe('a');
      const { cursor } = first.feed;
      await publishMany(stage, 'a', 1, 20);
      await stage.settle();
      assert.equal(stage.hubs.stats().ring.count, Math.min(20, ringCount));
      const calls = count(stage);
      const second = await stage.subscribe('a', { after: cursor });
      assert.deepEqual(second.ids(), numbers(1, 20));
      assert.equal(calls.replay, reads);
    });
  }

  test('the ring is bounded by bytes', async () => {
    const stage = new Stage({ hub: { ringBytes: 10_000 } });
    await stage.subscribe('a');
    for (let i = 0; i < 20; i++) await stage.publish('a', String(i), { payload: Buffer.alloc(1_000) });
    await stage.settle();
    const { bytes, count: held } = stage.hubs.stats().ring;
    assert.ok(bytes <= 10_000 && held === 7, `${held} with ${bytes} bytes`);
  });

  test('a herd with the same cursor reads the log once', async () => {
    const stage = new Stage();
    const cursor = await stage.publish('a', '0');
    await publishMany(stage, 'a', 1, 100);
    const calls = count(stage);
    const clients = Array.from({ length: 1_000 }, () => stage.open());
    const adding = Promise.all(clients.map(({ feed }) => feed.add([filter('a')], { after: cursor })));
    await stage.settle();
    await adding;
    await stage.settle();
    for (const client of clients) assert.deepEqual(client.ids(), numbers(1, 100));
    assert.equal(calls.replay, 1);
  });

  test('a herd with a cursor each reads the log a few times', async () => {
    const stage = new Stage({ hub: { replays: 4 } });
    const other: Cursor[] = [];
    for (let i = 0; i < 500; i++) other.push(await stage.publish('b', `b${i}`));
    await publishMany(stage, 'a', 1, 100);
    const calls = count(stage);
    const clients = other.map(() => stage.open());
    const adding = Promise.all(
      clients.map(({ feed }, i) => feed.add([filter('a')], { after: other[i] as Cursor })),
    );
    await stage.settle();
    await adding;
    await stage.settle(100);
    for (const client of clients) assert.deepEqual(client.ids(), numbers(1, 100));
    assert.ok(calls.replay <= 8, `${calls.replay} reads`);
  });

  test('who waited with another for one read has what was lost on the way around a change of leader', async () => {
    const stage = new Stage({ hub: { replays: 1 }, memory: { latency: () => 5 } });
    const at = (sequence: number) =>
      formatCursor({ generation: 'm1', positions: [sequence], time: stage.clock.now() });
    const start = at(0);
    await stage.publish('x', 'keeps the one reader busy');
    await publishMany(stage, 'a', 1, 4);
    await stage.clock.advance(15_000);
    const before = at(5);
    await stage.clock.advance(5_000);
    const leaderSince = stage.clock.now();
    await stage.publish('a', 'lost on the way to one');
    await stage.publish('b', 'not lost');
    const behind = at(7);
    await stage.publish('a', 'later');
    const [first, one, other] = [stage.open(), stage.open(), stage.open()];
    const adding = Promise.all([
      first.feed.add([filter('x')], { after: start }),
      one.feed.add([filter('a')], { after: behind }),
      other.feed.add([filter('a')], { after: before }),
    ]);
    await stage.clock.advance(6);
    assert.deepEqual(stage.hubs.stats().replays, { reading: 1, waiting: 2 });
    stage.backbone.log.leaderSince = leaderSince;
    await stage.settle(100);
    await adding;
    for (const client of [one, other]) assert.deepEqual(client.ids(), ['lost on the way to one', 'later']);
  });

  test('who comes from an instance that had not heard of a change of leader is given what was lost there', async () => {
    let lose = false;
    const away = new Stage({ memory: { network: () => (lose ? [] : [1]) } });
    const { clock } = away;
    const { log } = away.backbone;
    const aware = new Stage({ clock, memory: { log } });
    log.leaderSince = clock.now() - 60_000;
    for (const { backbone } of [away, aware]) backbone.source.hearOfLeaders();
    const [client, stays] = [await away.subscribe('#'), await aware.subscribe('#')];
    await away.publish('a', 'before');
    await away.settle();
    assert.deepEqual([client.ids(), stays.ids()], [['before'], ['before']]);
    const { cursor: old } = client.feed;
    await clock.advance(5_000);
    lose = true;
    log.leaderSince = clock.now();
    aware.backbone.source.hearOfLeaders();
    await away.publish('a', 'lost');
    lose = false;
    await away.publish('b', 'not lost');
    await away.settle();
    assert.deepEqual([client.ids(), stays.ids()], [['not lost'], ['lost', 'not lost']]);
    const moved = await aware.subscribe('#', { after: client.feed.cursor });
    assert.deepEqual(moved.ids(), ['before', 'lost', 'not lost']);
    const again = await aware.subscribe('#', { after: moved.feed.cursor });
    const knew = await aware.subscribe('#', { after: stays.feed.cursor });
    assert.deepEqual(
      [again.ids(), knew.ids()],
      [[], []],
      'whose place is from the log, or knew, is given nothing twice',
    );
    const late = await aware.subscribe('#', { after: old });
    assert.deepEqual(
      late.ids(),
      ['lost', 'not lost'],
      'what was given before the change is taken at its word',
    );
  });

  test('who left before an audit found what it had not been given has it when it comes back', async () => {
    let lose = false;
    const network = () => (lose ? [] : [1]);
    const stage = new Stage({ memory: { network, follower: { auditMs: 1_000 } } });
    const stays = await stage.subscribe('#');
    const leaves = await stage.subscribe('#');
    await stage.publish('a', '1');
    lose = true;
    await stage.publish('b', '2');
    lose = false;
    await stage.publish('c', '3');
    await stage.settle();
    assert.deepEqual(leaves.ids(), ['1', '3']);
    const { cursor } = leaves.feed;
    leaves.feed.close();
    await stage.clock.advance(3_000);
    assert.deepEqual(stays.ids(), ['1', '3', '2']);
    const back = await stage.subscribe('#', { after: cursor });
    assert.deepEqual(back.ids(), ['2', '3']);
    const again = await stage.subscribe('#', { after: back.feed.cursor });
    assert.deepEqual(again.ids(), [], 'it goes back once');
  });

  test('a slow feed holds nobody back and takes no more than its outbox and a page', async () => {
    const stage = new Stage({ hub: { pageCount: 64 } });
    const cursor = await stage.publish('a', '0');
    await publishMany(stage, 'a', 1, 2_000);
    const slow = await stage.subscribe('a', { after: cursor }, { count: 10 });
    const fast = await stage.subscribe('a', { after: cursor });
    const got = [];
    for (let i = 0; i < 80; i++) {
      got.push(...fast.ids());
      await stage.settle(2);
    }
    assert.equal(got.length, 2_000);
    assert.equal(stage.hubs.stats().outbox.count, 5, 'a replay fills half of the outbox');
    await publishMany(stage, 'a', 2_001, 2_005);
    const late = [];
    for (let i = 0; i < 600; i++) {
      late.push(...slow.ids());
      await stage.settle(2);
    }
    assert.deepEqual(late, numbers(1, 2_005));
    assert.deepEqual(slow.reasons, []);
  });

  test('other live filters go on, with cursors that do not skip the replay', async () => {
    const stage = new Stage();
    const cursor = await stage.publish('a', '0');
    await publishMany(stage, 'a', 1, 50);
    const client = await stage.subscribe('b', {}, { count: 20 });
    await stage.add(client.feed, 'a', { after: cursor });
    await stage.publish('b', 'live');
    await stage.settle();
    const items = client.items();
    const ids = items.map(idOf);
    assert.ok(ids.includes('live') && ids.length < 51, ids.join());
    const live = items[ids.indexOf('live')];
    assert(live?.kind === 'publication');
    const again = await stage.subscribe(['a', 'b'], { after: live.value.cursor });
    const missed = numbers(1, 50).filter((id) => !ids.slice(0, ids.indexOf('live')).includes(id));
    assert.deepEqual(
      again.ids().filter((id) => missed.includes(id)),
      missed,
    );
  });

  test('what waits to be taken does not put the cursor before what the replay brings', async () => {
    const stage = new Stage();
    const cursor = await stage.publish('b', '0');
    await publishMany(stage, 'b', 1, 3);
    const client = await stage.subscribe('a');
    await publishMany(stage, 'a', 4, 5);
    await stage.settle();
    await stage.add(client.feed, 'b', { after: cursor });
    const resumed = await stage.subscribe(['a', 'b'], { after: client.feed.cursor });
    assert.deepEqual(resumed.ids(), numbers(1, 5));
    assert.deepEqual(client.ids(), ['4', '5', '1', '2', '3']);
  });

  test('a cursor of a publish, which names its own shard alone, resumes by time elsewhere', async () => {
    const stage = new Stage({ memory: { shards: 3 } });
    const topics = ['a', 'b', 'c', 'd', 'e', 'f'];
    await stage.publish('before', 'before');
    await stage.settle();
    const cursor = await stage.publish('a', 'first');
    for (const topic of topics) await stage.publish(topic, `after ${topic}`);
    const client = await stage.subscribe('#', { after: cursor });
    assert.deepEqual(client.ids().sort(), topics.map((topic) => `after ${topic}`).sort());
  });

  test('a client that asks for its filters one by one and is cut each time gets on', async () => {
    const stage = new Stage();
    let cursor = await stage.publish('a', '0');
    for (let i = 1; i <= 30; i++) await stage.publish(i % 2 === 0 ? 'a' : 'b', String(i));
    const got: string[] = [];
    for (let round = 0; round < 6; round++) {
      const { feed } = stage.open({ count: 12 });
      const adding = Promise.all(['a', 'b'].map((one) => feed.add([filter(one)], { after: cursor })));
      await stage.settle();
      await adding;
      got.push(...feed.take(5, 1_000_000).map(idOf));
      cursor = feed.cursor;
      feed.close();
    }
    assert.deepEqual(got, numbers(1, 30));
  });

  test('what was lost comes as a gap, with a cursor to go on from', async () => {
    const stage = new Stage({ memory: { shards: 2 } });
    const cursor = await stage.publish('a', '0');
    await publishMany(stage, 'a', 1, 10);
    for (const shard of [0, 1]) stage.backbone.log.purge(shard, 5);
    const client = await stage.subscribe('a', { after: cursor });
    const items = client.items();
    assert.deepEqual(items.map(idOf), ['gap', ...numbers(5, 10)]);
    const [gap] = items;
    assert(gap?.kind === 'gap');
    const again = await stage.subscribe('a', { after: gap.to });
    assert.deepEqual(again.ids(), numbers(5, 10));
  });

  test('what ages out of a shard while those before it are read comes as a gap', async () => {
    const [first, second] = await topicsByShard(2);
    const stage = new Stage({ memory: { shards: 2, maxAgeMs: 60_000 } });
    const after = formatCursor({ generation: 'm1', positions: [0, 0], time: stage.clock.now() });
    await stage.publish(second as string, 'ages out');
    await stage.clock.advance(50_000);
    await publishMany(stage, first as string, 1, 4);
    const client = await stage.subscribe('#', { after });
    const taken = client.feed.take(2, 1_000_000);
    assert.deepEqual(taken.map(idOf), ['1', '2']);
    client.feed.close();
    await stage.clock.advance(15_000);
    const again = await stage.subscribe('#', { after: cursorOf(taken[1] as Item<Delivery>) });
    assert.deepEqual(again.ids(), ['gap', '3', '4']);
  });

  test('the time that one client says is not told to others', async () => {
    const stage = new Stage();
    const start = formatCursor({ generation: 'm1', positions: [0], time: stage.clock.now() });
    await stage.subscribe('x');
    await publishMany(stage, 'a', 1, 5);
    await stage.subscribe('x', { after: formatCursor({ generation: 'm1', positions: [4], time: 9e12 }) });
    const other = await stage.subscribe('a', { after: start });
    assert.deepEqual(other.ids(), numbers(1, 5));
    assert.ok(parseCursor(other.feed.cursor).time <= stage.clock.now());
  });

  for (const [what, cursor] of [
    ['a place beyond the head', 'm1-1-zz'],
    ['another generation', 'old-1-5'],
  ]) {
    test(`${what} is a gap, and live publications come`, async () => {
      const stage = new Stage();
      await publishMany(stage, 'a', 1, 3);
      const client = await stage.subscribe('a', { after: cursor as Cursor });
      await stage.publish('a', 'live');
      await stage.settle();
      const ids = client.ids();
      assert.equal(ids[0], 'gap');
      assert.equal(ids.at(-1), 'live');
    });
  }

  test('a place beyond the head, brought twice: who comes later has what was published meanwhile', async () => {
    const stage = new Stage();
    await publishMany(stage, 'a', 1, 3);
    await stage.clock.advance(5);
    const after = formatCursor({ generation: 'm1', positions: [1_000], time: stage.clock.now() });
    const one = await stage.subscribe('a', { after });
    await publishMany(stage, 'a', 4, 5);
    await stage.settle();
    assert.deepEqual(one.ids(), ['gap', '4', '5']);
    const two = await stage.subscribe('a', { after });
    assert.deepEqual(two.ids(), ['gap', '4', '5']);
  });

  test('whoever leaves before the gap was taken is told of it again', async () => {
    const stage = new Stage({ memory: { shards: 2 } });
    await publishMany(stage, 'a', 1, 3);
    for (const after of ['old-1-5', 'm1-1-zz.1'] as Cursor[]) {
      const { feed } = await stage.subscribe('a', { after });
      assert.equal(feed.cursor, after);
    }
  });

  test('the log away: the add fails or the replay goes on when it is back', async () => {
    const stage = new Stage({ hub: { pageCount: 5, retryMs: 50 } });
    const cursor = await stage.publish('a', '0');
    await publishMany(stage, 'a', 1, 400);
    const client = await stage.subscribe('a', { after: cursor }, { count: 100 });
    stage.backbone.source.cut(new PushfleetError('unavailable', 'away'));
    await assert.rejects(stage.subscribe('b'), { code: 'unavailable' });
    const got = client.ids();
    await stage.settle(100);
    stage.backbone.source.restore();
    for (let i = 0; i < 200; i++) {
      await stage.settle(20);
      got.push(...client.ids());
    }
    assert.deepEqual(got, numbers(1, 400));
    assert.deepEqual(client.reasons, []);
  });
});

suite('retained', () => {
  test('comes first and marked, then what is live', async () => {
    const stage = new Stage();
    await stage.publish('a/1', 'one', { retain: true });
    await stage.publish('a/2', 'two', { retain: true });
    const client = await stage.subscribe(['a/#', 'a/1'], { retained: true });
    await stage.publish('a/1', 'three', { retain: true });
    await stage.settle();
    const ids = client.ids();
    assert.deepEqual(ids.slice(0, 2).sort(), ['retained one', 'retained two']);
    assert.deepEqual(ids.slice(2), ['three']);
  });

  test('what the replay brings is not given as retained as well', async () => {
    const stage = new Stage();
    await stage.publish('a/1', 'old', { retain: true });
    const cursor = await stage.publish('b', 'b');
    await stage.publish('a/2', 'new', { retain: true });
    const client = await stage.subscribe('a/#', { retained: true, after: cursor });
    assert.deepEqual(client.ids(), ['retained old', 'new']);
  });

  test('comes of some of the filters, before what the replay brings of all', async () => {
    const stage = new Stage();
    for (const topic of ['a', 'b']) await stage.publish(topic, `kept ${topic}`, { retain: true });
    const cursor = await stage.publish('a', '1');
    await stage.publish('b', '2');
    const client = await stage.subscribe(['b', 'a'], { after: cursor, retained: ['b'] });
    assert.deepEqual(client.ids(), ['retained kept b', '2']);
  });

  test('stays where what comes live does not fit, and until it is taken', async () => {
    const stage = new Stage();
    for (const id of ['1', '2', '3']) await stage.publish(`a/${id}`, id, { retain: true });
    const client = await stage.subscribe('a/#', { retained: true }, { overflow: 'rewind', count: 10 });
    assert.deepEqual([client.feed.live, client.feed.retaining], [true, true]);
    await publishMany(stage, 'a/live', 4, 30);
    await stage.settle();
    const ids: string[] = [];
    for (let i = 0; i < 6; i++) {
      ids.push(...client.ids());
      await stage.settle();
    }
    assert.deepEqual(ids, [...numbers(1, 3).map((id) => `retained ${id}`), ...numbers(4, 30)]);
    assert.equal(client.feed.retaining, false);
    client.feed.close();
    assert.equal(client.feed.retaining, false);
  });

  test('is not said to have come by a feed that was closed before', async () => {
    const stage = new Stage();
    await stage.publish('a', '1', { retain: true });
    const client = await stage.subscribe('a', { retained: true });
    client.feed.close();
    assert.equal(client.feed.retaining, true);
  });

  test('a cursor without a position for their shard goes by its time', async () => {
    const [first, second] = await topicsByShard(2);
    const stage = new Stage({ memory: { shards: 2 } });
    await stage.publish(second as string, 'kept', { retain: true });
    await stage.clock.advance(60_000);
    const after = await stage.publish(first as string, '0');
    const client = await stage.subscribe('#', { after, retained: true });
    assert.deepEqual(client.ids(), ['retained kept']);
    await stage.publish(second as string, 'newer', { retain: true });
    const again = await stage.subscribe('#', { after, retained: true });
    assert.deepEqual(again.ids(), ['newer']);
  });

  test('a cursor of another generation goes by its time', async () => {
    const stage = new Stage();
    await stage.publish('a', 'kept', { retain: true });
    await stage.clock.advance(60_000);
    const after = formatCursor({ generation: 'old', positions: [5], time: stage.clock.now() });
    await stage.publish('b', 'newer', { retain: true });
    const client = await stage.subscribe('#', { after, retained: true });
    assert.deepEqual(client.ids(), ['retained kept', 'gap', 'newer']);
  });

  test('more than an outbox holds comes as it is taken, and a herd shares the reads', async () => {
    const stage = new Stage();
    for (let i = 0; i < 60; i++) await stage.publish(`a/${i}`, String(i), { retain: true });
    const calls = count(stage);
    const clients = Array.from({ length: 100 }, () => stage.open({ count: 20 }));
    const adding = Promise.all(clients.map(({ feed }) => feed.add([filter('a/#')], { retained: true })));
    await stage.settle();
    await adding;
    const got = clients.map(() => new Set<string>());
    for (let i = 0; i < 20; i++) {
      clients.forEach((client, j) => {
        for (const id of client.ids()) got[j]?.add(id);
      });
      await stage.settle(2);
    }
    for (const ids of got) assert.equal(ids.size, 60);
    assert.ok(calls.retained <= 16, `${calls.retained} reads`);
  });
});

suite('live', () => {
  test('a feed is live with its fence where nothing of the past was asked for', async () => {
    const stage = new Stage();
    const told: boolean[] = [];
    const { feed } = await stage.subscribe('a', {}, { onLive: () => told.push(true) });
    assert.deepEqual([feed.live, told], [true, []]);
  });

  test('a resume is live when the last of it is in the outbox, and says so', async () => {
    const stage = new Stage();
    const after = await stage.publish('a', '0');
    for (let i = 1; i <= 60; i++) await stage.publish('a', String(i));
    let told = 0;
    const client = await stage.subscribe('a', { after }, { count: 20, onLive: () => void told++ });
    const got: string[] = [];
    while (!client.feed.live) {
      assert.equal(told, 0);
      got.push(...client.ids());
      await stage.settle(2);
    }
    got.push(...client.ids());
    assert.deepEqual([got.length, told], [60, 1]);
  });

  test('a resume behind which nothing came says so, with nothing to take', async () => {
    const stage = new Stage();
    const after = await stage.publish('a', '0');
    let told = 0;
    const client = await stage.subscribe('a', { after }, { onLive: () => void told++ });
    assert.deepEqual([client.feed.live, told, client.readable, client.ids()], [true, 1, 0, []]);
  });

  test('retained publications are of the past', async () => {
    const stage = new Stage();
    for (let i = 0; i < 60; i++) await stage.publish(`a/${i}`, String(i), { retain: true });
    const client = stage.open({ count: 20 });
    const adding = client.feed.add([filter('a/#')], { retained: true });
    await stage.settle();
    await adding;
    let got = 0;
    while (!client.feed.live) {
      got += client.ids().length;
      await stage.settle(2);
    }
    assert.equal(got + client.ids().length, 60);
  });
});
