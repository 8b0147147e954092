import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryBackbone } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import type { Namespace } from '@pushfleet/core';
import { createLog } from '@pushfleet/runtime';
import type { RevocationIndex } from './revocation-index.ts';
import { RevocationRegister } from './revocations.ts';

test('what changes while the index is made good is written behind it', async (t) => {
  const written: string[] = [];
  let making = Promise.withResolvers<void>();
  const index = {
    rebuild: async (entries: readonly unknown[]) => {
      written.push(`rebuild of ${entries.length}`);
      await making.promise;
      written.push('rebuilt');
    },
    put: async () => void written.push('put'),
    remove: async () => void written.push('remove'),
  } as unknown as RevocationIndex;
  const ledger = createMemoryBackbone().ledger('revocations');
  const register = new RevocationRegister({
    ledger,
    index,
    log: createLog({ name: 'test', level: 'silent' }),
    most: 10,
  });
  t.after(() => register.close());
  await register.start();
  await until(() => written.includes('rebuild of 0'), 'the first');
  making.resolve();
  const namespace = 'default' as Namespace;
  const { entry } = await register.revoke(namespace, { subject: 'kim', until: Date.now() + 60_000 }, 'ann');
  await until(() => written.at(-1) === 'put', 'the revocation');
  written.length = 0;
  making = Promise.withResolvers();
  const made = register.indexReturned();
  await until(() => written.length === 1, 'the copy');
  await register.lift(namespace, entry.id);
  assert.deepEqual(written, ['rebuild of 1']);
  making.resolve();
  await made;
  await until(() => written.includes('remove'), 'the removal');
  assert.deepEqual(written.slice(0, 3), ['rebuild of 1', 'rebuilt', 'remove']);
});
