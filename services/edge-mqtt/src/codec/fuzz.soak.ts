import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '@pushfleet/contract/simulation';
import { fuzzOne, Seen } from './testing-fuzz.ts';

// Ten minutes of fuzz.test.ts, with seeds that it does not have.
const minutes = 10;
const memoryBytes = 256 * 1_048_576;

test('whatever comes for ten minutes, the decoder reads it or names the rule that it breaks', () => {
  const seen = new Seen();
  const end = Date.now() + minutes * 60_000;
  let mostBytes = 0;
  let seed = 1_000_000;
  for (; Date.now() < end; seed++) {
    try {
      fuzzOne(new Random(seed), seen);
    } catch (error) {
      throw new Error(`seed ${seed} fails; PUSHFLEET_SEED=${seed} replays it in fuzz.test.ts`, {
        cause: error,
      });
    }
    if (seed % 10_000 === 0) {
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      mostBytes = Math.max(mostBytes, heapUsed + arrayBuffers);
    }
  }
  console.log(`${seed - 1_000_000} connections, ${seen.packets} packets, at most ${mostBytes >> 20} MiB`);
  console.log(Object.fromEntries(seen.violations));
  assert.deepEqual(seen.unbroken, []);
  assert.ok(mostBytes < memoryBytes);
});
