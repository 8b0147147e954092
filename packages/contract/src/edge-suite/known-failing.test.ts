import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expected } from './scene.ts';

const fails = (): Promise<void> => Promise.reject(new Error('it does not'));
const passes = (): Promise<void> => Promise.resolve();
const known = { retained: 'the protocol has no way to ask' };

test('what is not known to fail has to pass', async () => {
  assert.equal(await expected('order', 'P', known, passes), undefined);
  await assert.rejects(expected('order', 'P', known, fails), /it does not/);
});

test('what is known to fail has to fail, and gives its reason', async () => {
  assert.equal(await expected('retained', 'P', known, fails), known.retained);
  await assert.rejects(expected('retained', 'P', known, passes), /"retained" passes on P by now/);
});
