import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Cursor } from '@pushfleet/core';
import { type LastAnswer, type Poll, proves } from './poll.ts';
import { Unproven } from './unproven.ts';

const at = (n: number): Cursor => `g-0-${n}` as Cursor;

describe('what is not proven to have arrived', () => {
  test('stays until its batch is acknowledged', () => {
    const unproven = new Unproven(0);
    unproven.add('a', at(1));
    unproven.add('b', at(2));
    assert.equal(unproven.seal(), 1);
    unproven.add('c', at(3));
    assert.equal(unproven.end, at(2));
    assert.equal(unproven.prove(0), undefined);
    assert.equal(unproven.prove(1), at(2));
    assert.deepEqual(unproven.texts(), ['c']);
    assert.equal(unproven.bytes, 1);
    assert.equal(unproven.prove(unproven.seal()), at(3));
    assert.equal(unproven.size, 0);
  });

  test('is acknowledged by the batch that repeated it', () => {
    const unproven = new Unproven(0);
    unproven.add('a', at(1));
    unproven.seal();
    unproven.add('b', at(2));
    unproven.seal();
    assert.equal(unproven.prove(1), undefined);
    assert.equal(unproven.prove(2), at(2));
  });

  test('moves its place on past what is not sent', () => {
    const unproven = new Unproven(0);
    assert.equal(unproven.pass(at(1)), false);
    unproven.add('a', at(2));
    assert.equal(unproven.pass(at(5)), true);
    assert.equal(unproven.prove(unproven.seal()), at(5));
  });

  test('forgets its places where something is owed that lies before them', () => {
    const unproven = new Unproven(0);
    unproven.add('a', at(5));
    unproven.seal();
    unproven.forget();
    assert.equal(unproven.end, undefined);
    unproven.add('b', at(1));
    unproven.add('c', at(2));
    assert.equal(unproven.prove(1), undefined);
    unproven.seal();
    unproven.forget();
    unproven.add('d', at(3));
    assert.equal(unproven.prove(unproven.seal()), at(3));
  });

  test('is not acknowledged by the batches of another instance', () => {
    const unproven = new Unproven(2);
    unproven.add('a', at(1));
    assert.equal(unproven.seal(), 3);
    assert.equal(unproven.known(7), -1);
    assert.equal(unproven.seal(), 8);
    assert.equal(unproven.known(7), 7);
    assert.equal(unproven.prove(7), undefined);
    assert.equal(unproven.prove(unproven.known(8)), at(1));
  });

  for (const ack of [undefined, Number.NaN, 1.5, 2 ** 60, Number.POSITIVE_INFINITY]) {
    test(`is not acknowledged by ${ack}`, () => assert.equal(new Unproven(0).known(ack), -1));
  }
});

describe('a connect proves that the answer before it arrived', () => {
  const way = {};
  const socket = { push: () => {} };
  const last = (o: Partial<LastAnswer> = {}): LastAnswer => ({
    ...{ id: '1', way, receipt: { broken: false } },
    ...o,
  });
  const poll = (o: Partial<Poll> = {}): Poll => ({
    ...{ id: '2', way: {}, receipt: { broken: false }, ack: undefined, timeout: undefined, alone: true },
    answer: () => {},
    ...o,
  });
  const cases: readonly (readonly [string, boolean, Poll, LastAnswer, boolean?])[] = [
    ['with another id', true, poll(), last()],
    ['without ids', true, poll({ id: undefined }), last({ id: undefined })],
    ['not with the same id', false, poll({ id: '1' }), last()],
    ['not where the answer broke', false, poll(), last({ receipt: { broken: true } })],
    ['not where it asks not to wait', false, poll({ timeout: 0 }), last()],
    ['where it asks so in a batch', true, poll({ timeout: 0, alone: false }), last()],
    ['where its client never waits', true, poll({ timeout: 0 }), last(), true],
    ['on the same WebSocket', true, poll({ way: socket }), last({ way: socket })],
    ['there although it does not wait', true, poll({ way: socket, timeout: 0 }), last({ way: socket })],
    ['not on another WebSocket', false, poll({ way: { push: () => {} } }), last({ way: socket })],
    ['not by polling after a WebSocket', false, poll(), last({ way: socket })],
    ['not on the same one with the same id', false, poll({ id: '1', way: socket }), last({ way: socket })],
  ];
  for (const [name, expected, one, before, polling = false] of cases) {
    test(name, () => assert.equal(proves(one, before, polling), expected));
  }
});
