import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { PushfleetError } from '@pushfleet/core';
import { createLog } from '@pushfleet/runtime';
import { callRegistry } from './registry-calls.ts';
import { namespace } from './testing.ts';

test('a registry that is away is told of without its address', async (t) => {
  const door = createServer().listen(0, '127.0.0.1');
  await once(door, 'listening');
  const { port } = door.address() as { port: number };
  door.close();
  await once(door, 'close');
  const client = { target: `127.0.0.1:${port}`, credentials: credentials.createInsecure(), options: {} };
  const calls = callRegistry(client, createLog({ name: 'test', level: 'silent' }));
  t.after(() => calls.close());
  await assert.rejects(calls.find({ namespace, id: 'one' }), (error) => {
    assert.ok(error instanceof PushfleetError);
    assert.deepEqual([error.code, error.retryAfterMs], ['unavailable', 1_000]);
    assert.doesNotMatch(error.message, /127\.0\.0\.1|ECONNREFUSED/);
    return true;
  });
});
