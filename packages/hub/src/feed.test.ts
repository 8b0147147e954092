import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { SimulatedClock } from '@pushfleet/contract/simulation';
import { type Cursor, type PushfleetError, parseCursor } from '@pushfleet/core';
import { overheadBytes } from './delivery.ts';
import { filter, idOf, Stage } from './test/stage.ts';

const code = (expected: string) => (error: PushfleetError) => error.code === expected;

suite('a resume', () => {
  test('of a hub that has yet to hear of the log is at the place that it goes on from', async () => {
    const clock = new SimulatedClock();
    const before = new Stage({ clock });
    for (const id of ['1', '2', '3']) await before.publish('a', id);
    const after = await before.publish('a', '4');
    const stage = new Stage({ clock, memory: { log: before.backbone.log, latency: () => 20 } });
    const client = stage.open();
    const adding = client.feed.add([filter('a')], { after });
    assert.equal(client.feed.cursor, after);
    for (let passed = 0; passed < 200; passed += 10) {
      await clock.advance(10);
      const { positions } = parseCursor(client.feed.cursor);
      assert.deepEqual(positions, parseCursor(after).positions);
    }
    await adding;
    client.feed.close();
    assert.deepEqual(parseCursor(client.feed.cursor).positions, parseCursor(after).positions);
  });
});

suite('live', () => {
  test('gives what is published after the fence, once, however many filters match', async () => {
    const stage = new Stage();
    await stage.publish('a/b', 'old');
    const client = await stage.subscribe(['a/b', 'a/#', '+/b']);
    await stage.publish('a/b', '1');
    await stage.publish('x', 'other');
    await stage.publish('a', '2');
    await stage.settle();
    const items = client.items();
    assert.deepEqual(items.map(idOf), ['1', '2']);
    const [first] = items;
    assert(first?.kind === 'publication');
    assert.deepEqual([...first.value.filters].sort(), ['+/b', 'a/#', 'a/b']);
  });

  test('shares one delivery and one encoding between feeds with the same filters', async () => {
    const stage = new Stage();
    const clients = [
      await stage.subscribe('a'),
      await stage.subscribe('a'),
      await stage.subscribe(['a', '#']),
    ];
    await stage.publish('a', '1');
    await stage.settle();
    const deliveries = clients.map((client) => {
      const [item] = client.items();
      assert(item?.kind === 'publication');
      return item.value;
    });
    assert.equal(deliveries[0], deliveries[1]);
    assert.notEqual(deliveries[0], deliveries[2]);
    let encodings = 0;
    const encoder = () => ({ number: ++encodings });
    const encoded = deliveries.map((delivery) => delivery.encoded(encoder));
    assert.equal(encoded[0], encoded[2]);
    assert.equal(encodings, 1);
  });

  test('tells once that there is something to take, never from within add or take', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a');
    assert.equal(client.readable, 0);
    for (const id of ['1', '2', '3']) await stage.publish('a', id);
    await stage.settle();
    assert.equal(client.readable, 1);
    assert.equal(client.feed.take(2, 1_000_000).length, 2);
    await stage.publish('a', '4');
    await stage.settle();
    assert.equal(client.readable, 1, 'it was not emptied');
    assert.deepEqual(client.ids(), ['3', '4']);
    await stage.publish('a', '5');
    await stage.settle();
    assert.equal(client.readable, 2);
  });

  test('a removed filter stops unless another matches, and can come back', async () => {
    const stage = new Stage();
    const client = await stage.subscribe(['a', 'b', '+']);
    client.feed.remove(filter('a'));
    client.feed.remove(filter('+'));
    await stage.publish('a', '1');
    await stage.publish('b', '2');
    await stage.settle();
    assert.deepEqual(client.ids(), ['2']);
    await stage.add(client.feed, 'a');
    await stage.publish('a', '3');
    await stage.settle();
    assert.deepEqual(client.ids(), ['3']);
  });

  test('the cursor moves on while nothing matches', async () => {
    const stage = new Stage();
    const other = await stage.subscribe('b');
    const client = await stage.subscribe('a');
    const before = parseCursor(client.feed.cursor).positions[0] ?? 0;
    await stage.publish('b', '1');
    await stage.settle();
    assert.equal(parseCursor(client.feed.cursor).positions[0], before + 1);
    assert.equal(parseCursor(other.feed.cursor).positions[0], before, 'its item was not taken');
  });

  test('expired publications are skipped when they are taken', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a');
    await stage.publish('a', 'short', { expiresAt: stage.clock.now() + 50 });
    await stage.publish('a', 'long', { expiresAt: stage.clock.now() + 5_000 });
    await stage.settle(100);
    assert.deepEqual(client.ids(), ['long']);
  });
});

suite('take', () => {
  test('keeps to count and bytes, and gives at least one', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a');
    for (const id of ['1', '2', '3', '4']) await stage.publish('a', id);
    await stage.settle();
    const size = overheadBytes + 'a'.length + '1'.length + 'test'.length + 1;
    assert.equal(client.feed.take(10, 1).length, 1);
    assert.equal(client.feed.take(10, 2 * size).length, 2);
    assert.equal(client.feed.take(0, 0).length, 1);
    assert.equal(client.feed.take(10, 10).length, 0);
  });
});

suite('take behind what ages out', () => {
  test('gives a publication with the gap, so that who takes one at a time gets on', async () => {
    const stage = new Stage({ memory: { maxAgeMs: 10_000 } });
    const others = async () => {
      await stage.publish('other', `${stage.clock.now()}`);
      await stage.clock.advance(50);
    };
    let cursor = await stage.publish('a', 'ages out');
    for (let i = 0; i < 210; i++) await others();
    for (const id of ['1', '2', '3']) await stage.publish('a', id);
    const got: string[] = [];
    for (let poll = 0; poll < 3; poll++) {
      const { feed } = await stage.subscribe('a', { after: cursor });
      const items = feed.take(1, 1);
      got.push(...items.map(idOf).filter((id) => id !== 'gap'));
      cursor = feed.cursor;
      feed.close();
      await others();
    }
    assert.deepEqual(got, ['1', '2', '3']);
  });
});

suite('limits', () => {
  for (const [published, closed] of [
    [3, false],
    [4, false],
    [5, true],
  ] as const) {
    test(`${published} publications in an outbox of 4`, async () => {
      const stage = new Stage();
      const client = await stage.subscribe('a', {}, { count: 4 });
      for (let i = 0; i < published; i++) await stage.publish('a', String(i));
      await stage.settle();
      assert.deepEqual(client.reasons, closed ? [{ kind: 'slow_consumer' }] : []);
      assert.equal(client.ids().length, closed ? 0 : published);
    });
  }

  test('bytes, at and above', async () => {
    const size = overheadBytes + 'a'.length + '1'.length + 'test'.length + 1;
    for (const [bytes, closed] of [
      [2 * size, false],
      [2 * size - 1, true],
    ] as const) {
      const stage = new Stage();
      const client = await stage.subscribe('a', {}, { bytes });
      await stage.publish('a', '1');
      await stage.publish('a', '2');
      await stage.settle();
      assert.equal(client.reasons.length, closed ? 1 : 0);
    }
  });

  test('one publication larger than the outbox still fits', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a', {}, { bytes: 1 });
    await stage.publish('a', '1');
    await stage.settle();
    assert.deepEqual(client.ids(), ['1']);
  });

  test('filters of a feed, and feeds of a hub', async () => {
    const stage = new Stage({ hub: { feedFilters: 2, feeds: 2 } });
    const client = await stage.subscribe('a');
    await stage.add(client.feed, ['a', 'b']);
    await assert.rejects(stage.add(client.feed, 'c'), code('too_many_filters'));
    client.feed.remove(filter('a'));
    await stage.add(client.feed, 'c');
    const second = stage.open();
    assert.throws(() => stage.open(), code('too_many_connections'));
    second.feed.close();
    stage.open();
  });

  test('an outbox without room is a mistake of the caller', () => {
    const stage = new Stage();
    for (const bad of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => stage.open({ count: bad }), RangeError);
      assert.throws(() => stage.open({ bytes: bad }), RangeError);
    }
  });
});

suite('overflow', () => {
  test('a taker that keeps up within a burst is not slow', async () => {
    const stage = new Stage();
    const got: string[] = [];
    const client = await stage.subscribe('a', {}, { count: 4, onReadable: () => got.push(...client.ids()) });
    for (let i = 0; i < 50; i++) await stage.publish('a', String(i));
    await stage.settle();
    assert.equal(got.length, 50);
    assert.deepEqual(client.reasons, []);
  });

  test('close: what was not taken comes to who resumes from the cursor', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a', {}, { count: 3 });
    await stage.publish('a', '1');
    await stage.settle();
    client.feed.take(1, 1);
    for (const id of ['2', '3', '4', '5']) await stage.publish('a', id);
    await stage.settle();
    assert.deepEqual(client.reasons, [{ kind: 'slow_consumer' }]);
    const next = await stage.subscribe('a', { after: client.feed.cursor });
    assert.deepEqual(next.ids(), ['2', '3', '4', '5']);
  });

  test('latest: one per topic stays, in an order the cursors allow', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('#', {}, { count: 3, overflow: 'latest' });
    for (const [topic, id] of ['a1', 'b2', 'a3', 'a4', 'c5', 'b6'].map((text) => [text[0], text[1]])) {
      await stage.publish(topic as string, id as string);
    }
    await stage.settle();
    assert.deepEqual(client.ids(), ['4', '5', '6']);
    await stage.publish('a', '7');
    await stage.publish('a', '8');
    await stage.settle();
    assert.deepEqual(client.ids(), ['7', '8'], 'who has caught up is given everything again');
  });

  test('latest: more topics than fit close the feed', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('#', {}, { count: 3, overflow: 'latest' });
    for (const topic of ['a', 'b', 'c', 'd']) await stage.publish(topic, topic);
    await stage.settle();
    assert.deepEqual(client.reasons, [{ kind: 'slow_consumer' }]);
  });

  test('rewind: the outbox is dropped and everything comes once the feed is taken from', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('#', {}, { count: 4, overflow: 'rewind' });
    for (let i = 0; i < 20; i++) await stage.publish('a', String(i));
    await stage.settle();
    assert.equal(stage.hubs.stats().outbox.count, 0);
    assert.equal(client.readable, 1);
    const got = [];
    for (let i = 0; i < 40; i++) {
      got.push(...client.ids());
      await stage.settle();
      if (i === 5) await stage.publish('a', '20');
    }
    assert.deepEqual(
      got,
      Array.from({ length: 21 }, (_, i) => String(i)),
    );
    assert.deepEqual(client.reasons, []);
  });
});

suite('closing', () => {
  test('a closed feed gives and takes nothing, and refuses filters', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a');
    client.feed.close();
    client.feed.close();
    await stage.publish('a', '1');
    await stage.settle();
    assert.deepEqual(client.ids(), []);
    assert.deepEqual(client.reasons, []);
    await assert.rejects(client.feed.add([filter('b')]), code('draining'));
  });

  test('a cursor of nobody is refused, and leaves nothing behind', async () => {
    const stage = new Stage();
    const client = stage.open();
    await assert.rejects(
      client.feed.add([filter('a')], { after: 'nonsense' as Cursor }),
      code('cursor_invalid'),
    );
    await stage.settle(20_000);
    assert.equal(stage.hubs.stats().filters, 0);
  });

  test('a taker that throws loses its feed and nobody else', async () => {
    const stage = new Stage();
    const bad = await stage.subscribe(
      'a',
      {},
      {
        onReadable: () => {
          throw new Error('broken taker');
        },
      },
    );
    const good = await stage.subscribe('a');
    await stage.publish('a', '1');
    await stage.settle();
    assert.deepEqual(
      bad.reasons.map(({ kind }) => kind),
      ['failed'],
    );
    assert.deepEqual(good.ids(), ['1']);
  });
});
