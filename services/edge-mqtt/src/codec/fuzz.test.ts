import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forSeeds } from '@pushfleet/contract/simulation';
import { fuzzOne, Seen } from './testing-fuzz.ts';

test('whatever comes, the decoder reads it or names the rule that it breaks', async () => {
  const seen = new Seen();
  await forSeeds(20_000, async (random) => fuzzOne(random, seen));
  if (process.env.PUSHFLEET_SEED === undefined) {
    assert.ok(seen.packets > 20_000);
    assert.deepEqual(seen.unbroken, []);
  }
});
