import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { defaultNamespace } from '@pushfleet/core';
import { createDeliveryControl } from '@pushfleet/delivery';
import { Sequences } from './sequences.ts';

const one = { namespace: defaultNamespace, id: 'one' };
const last = 4_294_967_295;

describe('the numbers of notifications', () => {
  test('begin behind that of the first notification, and rise by one with each delivery', async () => {
    const sequences = new Sequences(createMemoryBackbone().ledger('sequences'));
    assert.deepEqual([await sequences.of(one, 'a'), await sequences.of(one, 'b')], [1, 2]);
    assert.equal(await sequences.of({ ...one, id: 'two' }, 'a'), 1, 'another subscription has its own');
  });

  test('are the same at every attempt, also by a worker that knows nothing of the first', async () => {
    const ledger = createMemoryBackbone().ledger('sequences');
    assert.equal(await new Sequences(ledger).of(one, 'a'), 1);
    assert.equal(await new Sequences(ledger).of(one, 'a'), 1);
    assert.equal(await new Sequences(ledger).of(one, 'b'), 2);
  });

  test('are not taken from a delivery under way by a call in between', async () => {
    const sequences = new Sequences(createMemoryBackbone().ledger('sequences'));
    assert.equal(await sequences.of(one, 'a'), 1);
    assert.equal(await sequences.of(one, 'test'), 2);
    assert.equal(await sequences.of(one, 'a'), 1);
    assert.equal(await sequences.of(one, 'b'), 3);
  });

  test('stay those of a delivery that a worker makes once more which stood still', async () => {
    const ledger = createMemoryBackbone().ledger('sequences');
    const deliveries = Array.from({ length: 200 }, (_, i) => `msg_${i}`);
    for (const delivery of deliveries) await new Sequences(ledger).of(one, delivery);
    for (const number of [73, 100, 200]) {
      assert.equal(await new Sequences(ledger).of(one, deliveries[number - 1] as string), number);
    }
    assert.equal(await new Sequences(ledger).of(one, 'next'), 201);
    const { value } = (await ledger.get('default/one')) ?? {};
    assert.ok((value?.length ?? 0) < 1_100);
  });

  test('are given once where two workers count at the same moment', async () => {
    const ledger = createMemoryBackbone().ledger('sequences');
    const given = await Promise.all(
      ['a', 'b', 'c'].map((delivery) => new Sequences(ledger).of(one, delivery)),
    );
    assert.deepEqual(given.toSorted(), [1, 2, 3]);
  });

  test('of a subscription that has ended are not kept', async () => {
    const backbone = createMemoryBackbone();
    const ledger = backbone.ledger('sequences');
    const sequences = new Sequences(ledger);
    await sequences.of(one, 'a');
    await sequences.of({ ...one, id: 'two' }, 'a');
    await createDeliveryControl('webhook', backbone, backbone.signals).forget(one);
    assert.deepEqual([await ledger.get('default/one'), await sequences.of(one, 'b')], [undefined, 1]);
    assert.equal(await sequences.of({ ...one, id: 'two' }, 'b'), 2);
  });

  for (const [before, after] of [
    [last - 1, last],
    [last, 1],
  ] as const) {
    test(`${before} is followed by ${after}`, async () => {
      const ledger = createMemoryBackbone().ledger('sequences');
      await ledger.put('default/one', Buffer.from(JSON.stringify({ given: before - 1, marks: '' })));
      const given = [];
      for (const delivery of ['a', 'b', 'a']) given.push(await new Sequences(ledger).of(one, delivery));
      assert.deepEqual(given, [before, after, before]);
    });
  }
});
