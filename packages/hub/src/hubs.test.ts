import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { defaultNamespace, parseNamespace } from '@pushfleet/core';
import { draft, filter, Stage } from './test/stage.ts';

suite('hubs', () => {
  test('namespaces do not see each other', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('#');
    await stage.backbone.bus(parseNamespace('other')).publish([draft('a', 'theirs')]);
    await stage.publish('a', 'ours');
    await stage.settle();
    assert.deepEqual(client.ids(), ['ours']);
  });

  test('a namespace is made at its first use, and gone a while after its last feed with all its interests', async () => {
    const stage = new Stage({ hub: { idleMs: 1_000, interestLingerMs: 100 } });
    assert.equal(stage.hubs.stats().namespaces, 0);
    const client = await stage.subscribe(['a', 'b']);
    await stage.settle(5_000);
    assert.deepEqual(
      [stage.hubs.stats().namespaces, stage.hubs.stats().feeds, stage.hubs.stats().filters],
      [1, 1, 2],
    );
    assert.equal(stage.backbone.source.interests, 2);
    client.feed.close();
    await stage.settle(2_000);
    assert.equal(stage.hubs.stats().namespaces, 0);
    assert.equal(stage.backbone.source.interests, 0);
    const again = await stage.subscribe('a');
    await stage.publish('a', '1');
    await stage.settle();
    assert.deepEqual(again.ids(), ['1']);
  });

  test('stats count what is held', async () => {
    const stage = new Stage();
    const client = await stage.subscribe(['a', 'a/#']);
    await stage.publish('a', '1');
    await stage.settle();
    const { ring, outbox, ...rest } = stage.hubs.stats();
    assert.equal(ring.count, 1);
    assert.ok(ring.bytes > 0 && outbox.bytes === ring.bytes && outbox.count === 1);
    assert.deepEqual(rest, {
      namespaces: 1,
      feeds: 1,
      filters: 2,
      followed: 2,
      replays: { reading: 0, waiting: 0 },
    });
    client.feed.close();
  });

  test('draining refuses new feeds and ends with the last of the old, closing tells them why', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a');
    const stays = await stage.subscribe('a');
    let drained = false;
    const draining = stage.hubs.drain(new AbortController().signal).then(() => {
      drained = true;
    });
    for (const name of ['default', 'other']) {
      assert.throws(() => stage.hubs.of(parseNamespace(name)).open({} as never), { code: 'draining' });
    }
    await stage.publish('a', '1');
    await stage.settle();
    assert.deepEqual(client.ids(), ['1'], 'old feeds go on');
    client.feed.close();
    await stage.settle();
    assert.equal(drained, false);
    stays.feed.close();
    await draining;
  });

  test('a drain ends at its deadline, and close tells who is left', async () => {
    const stage = new Stage();
    const client = await stage.subscribe('a');
    const deadline = new AbortController();
    const draining = stage.hubs.drain(deadline.signal);
    deadline.abort();
    await draining;
    await stage.hubs.close();
    await stage.hubs.close();
    await stage.settle();
    assert.deepEqual(client.reasons, [{ kind: 'draining' }]);
    await assert.rejects(client.feed.add([filter('b')]), { code: 'draining' });
    assert.throws(() => stage.hubs.of(defaultNamespace).open({} as never), { code: 'draining' });
    assert.equal(stage.backbone.source.interests, 0);
  });
});
