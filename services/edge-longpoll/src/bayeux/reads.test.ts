import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reads, requireShape } from './reads.ts';
import { UnknownClient } from './reply.ts';

const held = { value: Buffer.from('{}'), revision: 1 };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a client id is 40 hexadecimal digits', () => {
  requireShape('0a'.repeat(20));
  for (const bad of [
    '',
    '0'.repeat(39),
    '0'.repeat(41),
    'A'.repeat(40),
    'g'.repeat(40),
    `${'0'.repeat(40)}\n`,
  ])
    assert.throws(() => requireShape(bad), UnknownClient);
});

test('what is not there is not looked for again within a second, nor what ended', async (t) => {
  let now = 1_000;
  t.mock.method(performance, 'now', () => now);
  const asked: string[] = [];
  const reads = new Reads({
    async get(key) {
      asked.push(key);
      if (key === 'here') return held;
      return key === 'ended' ? { value: new Uint8Array(), revision: 7 } : undefined;
    },
  });
  for (const key of ['gone', 'ended', 'gone', 'ended']) await assert.rejects(reads.get(key), UnknownClient);
  for (let i = 0; i < 2; i++) assert.equal(await reads.get('here'), held);
  assert.deepEqual(asked.splice(0), ['gone', 'ended', 'here', 'here']);
  now += 999;
  await assert.rejects(reads.get('gone'), UnknownClient);
  assert.deepEqual(asked, []);
  now += 1;
  await assert.rejects(reads.get('gone'), UnknownClient);
  assert.deepEqual(asked, ['gone']);
});

test('10,000 misses are remembered, the newest', async (t) => {
  t.mock.method(performance, 'now', () => 0);
  let asked = 0;
  const reads = new Reads({ get: async () => void asked++ as undefined });
  for (let i = 0; i <= 10_000; i++) await assert.rejects(reads.get(String(i)), UnknownClient);
  asked = 0;
  await assert.rejects(reads.get('1'), UnknownClient);
  assert.equal(asked, 0);
  await assert.rejects(reads.get('0'), UnknownClient);
  assert.equal(asked, 1);
});

test('what could not be read is no miss', async () => {
  let fails = true;
  const reads = new Reads({
    async get() {
      if (fails) throw new Error('out of reach');
      return held;
    },
  });
  await assert.rejects(reads.get('a'), /out of reach/);
  fails = false;
  assert.equal(await reads.get('a'), held);
});

test('64 are read at once, 10,000 wait, and more are refused', async () => {
  const answers: (() => void)[] = [];
  const reads = new Reads({
    get: () => new Promise((resolve) => void answers.push(() => resolve(held))),
  });
  const under = Array.from({ length: 10_064 }, (_, i) => reads.get(String(i)));
  await assert.rejects(reads.get('one more'), { code: 'unavailable', retryAfterMs: 1_000 });
  assert.equal(answers.length, 64);
  for (let answered = 0; answered < 10_064; await turn()) {
    assert.ok(answers.length <= 64);
    for (const answer of answers.splice(0)) {
      answer();
      answered++;
    }
  }
  assert.equal((await Promise.all(under)).length, 10_064);
  const again = reads.get('again');
  answers[0]?.();
  assert.equal(await again, held);
});
