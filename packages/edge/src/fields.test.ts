import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readConfig } from '@pushfleet/runtime';
import { sessionFields } from './fields.ts';

it('a client waits from 1 to 300 seconds for what has to be kept of its session', () => {
  const read = (seconds?: string) =>
    readConfig(sessionFields, { PUSHFLEET_SESSION_PATIENCE_SECONDS: seconds }).sessionPatienceMs;
  assert.deepEqual([read(), read('1'), read('300')], [10_000, 1_000, 300_000]);
  for (const wrong of ['0', '0.9', '301'])
    assert.throws(() => read(wrong), /PUSHFLEET_SESSION_PATIENCE_SECONDS/, wrong);
});
