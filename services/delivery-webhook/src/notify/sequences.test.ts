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
    assert.equal(await sequences.of(one, 'test', true), 2);
    assert.equal(await sequences.of(one, 'a'), 1);
    assert.equal(await sequences.of(one, 'b'), 3);
  });

  test('are given once where two workers count at the same moment', async () => {
    const ledger = createMemoryBackbone().ledger('sequences');
    const given = await Promise.all(
      ['a', 'b', 'c'].map((delivery) => new Sequences(ledger).of(one, delivery, true)),
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
      const held = { given: before, delivery: 'a', number: before };
      await ledger.put('default/one', Buffer.from(JSON.stringify(held)));
      assert.equal(await new Sequences(ledger).of(one, 'b'), after);
    });
  }
});
