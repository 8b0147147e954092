import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Cursor, defaultNamespace, parseCursor, parseNamespace, parseTopic } from '@pushfleet/core';
import { Stage } from './test/stage.ts';

const topic = parseTopic;

/** Where a publication with this cursor is stored. */
const placeOf = (cursor: Cursor) => ({ shard: 0, sequence: parseCursor(cursor).positions[0] ?? 0 });

function deletionOf(name: string, first: Cursor, last = first) {
  const ends = { first: placeOf(first).sequence, last: placeOf(last).sequence };
  return { topic: topic(name), shard: 0, count: 1, ...ends };
}

suite('what the hubs know of a publication', () => {
  test('which filters matched, who took it, who still has it, who let go of it', async () => {
    const stage = new Stage();
    const taker = await stage.subscribe(['a', '#']);
    await stage.subscribe('+');
    const leaver = await stage.subscribe('a');
    const at = placeOf(await stage.publish('a', '1'));
    await stage.settle();
    taker.ids();
    leaver.feed.close();
    const { filters, ...counts } = stage.hubs.explain(defaultNamespace, at);
    assert.deepEqual(counts, { remembered: true, matched: 3, delivered: 1, pending: 1, dropped: 1 });
    assert.deepEqual(
      filters.toSorted((one, other) => (one.filter < other.filter ? -1 : 1)),
      [
        { filter: '#', feeds: 1 },
        { filter: '+', feeds: 1 },
        { filter: 'a', feeds: 2 },
      ],
    );
  });

  test('a slow consumer that is closed lets go of all it was offered', async () => {
    const stage = new Stage();
    await stage.subscribe('a', {}, { count: 1 });
    const first = placeOf(await stage.publish('a', '1'));
    const second = placeOf(await stage.publish('a', '2'));
    await stage.settle();
    for (const at of [first, second]) {
      const { matched, dropped, pending } = stage.hubs.explain(defaultNamespace, at);
      assert.deepEqual({ matched, dropped, pending }, { matched: 1, dropped: 1, pending: 0 });
    }
  });

  test('the newest of a topic drops the one before it', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a', {}, { count: 1, overflow: 'latest' });
    const first = placeOf(await stage.publish('a', '1'));
    const second = placeOf(await stage.publish('a', '2'));
    await stage.settle();
    assert.deepEqual(client.ids(), ['2']);
    assert.equal(stage.hubs.explain(defaultNamespace, first).dropped, 1);
    assert.equal(stage.hubs.explain(defaultNamespace, second).delivered, 1);
  });

  test('nothing of what is no longer recent, of other namespaces, and of what was never seen', async () => {
    const stage = new Stage({ hub: { ringCount: 1 } });
    await stage.subscribe('a');
    const old = placeOf(await stage.publish('a', '1'));
    const at = placeOf(await stage.publish('a', '2'));
    await stage.settle();
    assert.equal(stage.hubs.explain(defaultNamespace, old).remembered, false);
    assert.equal(stage.hubs.explain(parseNamespace('other'), at).remembered, false);
    assert.equal(stage.hubs.explain(defaultNamespace, { shard: 0, sequence: 99 }).remembered, false);
  });

  test('how many feeds a topic has at this moment', async () => {
    const stage = new Stage();
    const both = await stage.subscribe(['a', 'a/#']);
    await stage.subscribe('a');
    await stage.subscribe('b');
    assert.equal(stage.hubs.feedsOn(defaultNamespace, topic('a')), 2);
    assert.equal(stage.hubs.feedsOn(defaultNamespace, topic('c')), 0);
    assert.equal(stage.hubs.feedsOn(parseNamespace('other'), topic('a')), 0);
    both.feed.close();
    assert.equal(stage.hubs.feedsOn(defaultNamespace, topic('a')), 1);
  });

  test('an observer hears of every publication that some feed is offered', async () => {
    const heard: [string, number][] = [];
    const observer = {
      published: ({ id }: { id: string }, feeds: number) => void heard.push([id, feeds]),
    };
    const stage = new Stage({ hub: { observer } });
    await stage.subscribe(['a', '+']);
    const left = await stage.subscribe('a');
    await stage.publish('a', '1');
    await stage.settle();
    left.feed.close();
    await stage.publish('b', '2');
    await stage.publish('b/c', 'matches nothing');
    await stage.settle();
    assert.deepEqual(heard, [
      ['1', 2],
      ['2', 1],
    ]);
  });
});

suite('a hub told of a deletion', () => {
  test('gives the publication neither from an outbox nor from the ring', async () => {
    const stage = new Stage();
    const waiting = await stage.subscribe('#');
    const before = await stage.publish('a', 'stays');
    const gone = await stage.publish('a', 'gone');
    await stage.publish('b', 'other topic');
    await stage.settle();
    stage.hubs.forget(defaultNamespace, deletionOf('a', gone));
    assert.deepEqual(waiting.ids(), ['stays', 'other topic']);
    const resumed = await stage.subscribe('#', { after: before });
    await stage.settle();
    assert.deepEqual(resumed.ids(), ['other topic']);
  });

  test('keeps what was published on the topic afterwards, and what another namespace has', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a');
    const first = await stage.publish('a', '1');
    const last = await stage.publish('a', '2');
    await stage.settle();
    stage.hubs.forget(parseNamespace('other'), deletionOf('a', first, last));
    assert.deepEqual(client.ids(), ['1', '2']);
    await stage.publish('a', '3');
    await stage.settle();
    stage.hubs.forget(defaultNamespace, deletionOf('a', first, last));
    assert.deepEqual(client.ids(), ['3']);
    const { pending } = stage.hubs.explain(defaultNamespace, placeOf(last));
    assert.equal(pending, 0);
  });

  test('gives a slow reader nothing of the page it is at, and of the retained ones it waits for', async () => {
    const stage = new Stage({ hub: { ringCount: 1 } });
    const start = await stage.publish('b', '0');
    const bus = stage.backbone.bus(defaultNamespace);
    for (const name of ['a/1', 'a/2', 'a/3', 'a/4']) await stage.publish(name, name, { retain: true });
    await stage.publish('b', 'fills the ring');
    const replayed = await stage.subscribe('#', { after: start }, { count: 2 });
    const retained = await stage.subscribe('a/+', { retained: true }, { count: 2 });
    await stage.settle();
    for (const name of ['a/2', 'a/3', 'a/4'])
      stage.hubs.forget(defaultNamespace, await bus.delete(topic(name)));
    const taken: string[][] = [[], []];
    for (let turn = 0; turn < 6; turn++) {
      taken[0]?.push(...replayed.ids());
      taken[1]?.push(...retained.ids());
      await stage.settle();
    }
    assert.deepEqual(taken, [['a/1', 'fills the ring'], ['retained a/1']]);
  });

  test('serves from the log what it remembered before it lost its connection', async () => {
    const stage = new Stage();
    await stage.subscribe('a');
    const start = await stage.publish('a', '0');
    const gone = await stage.publish('a', '1');
    await stage.publish('a', '2');
    await stage.settle();
    stage.backbone.source.cut(new Error('lost'));
    stage.backbone.log.delete(defaultNamespace, topic('a'), placeOf(gone).sequence);
    stage.backbone.source.restore();
    await stage.settle(1_000);
    const resumed = await stage.subscribe('a', { after: start });
    await stage.settle();
    assert.deepEqual(resumed.ids(), ['2']);
  });

  test('reads a page again that it had in memory', async () => {
    const stage = new Stage({ hub: { ringCount: 1, pageLingerMs: 60_000 } });
    const start = await stage.publish('a', '0');
    const gone = await stage.publish('a', '1');
    await stage.publish('a', '2');
    await stage.publish('b', 'fills the ring');
    const before = await stage.subscribe('a', { after: start });
    await stage.settle();
    assert.deepEqual(before.ids(), ['1', '2']);
    const deletion = await stage.backbone.bus(defaultNamespace).delete(topic('a'), gone);
    stage.hubs.forget(defaultNamespace, deletion);
    const after = await stage.subscribe('a', { after: start });
    await stage.settle();
    assert.deepEqual(after.ids(), ['2'], 'and no gap');
  });
});
