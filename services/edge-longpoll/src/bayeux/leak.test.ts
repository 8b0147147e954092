import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queryObjects, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { until } from '@pushfleet/contract';

import { Session } from './session.ts';
import { allToken, HandClient, startBayeux } from './testing.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const moves = 20;

test('a session that goes from instance to instance leaves nothing behind', async (t) => {
  const env = { PUSHFLEET_EDGE_LONGPOLL_BAYEUX_TIMEOUT_SECONDS: '1' };
  const first = await startBayeux(t, { env });
  const second = await startBayeux(t, { env, beside: first });
  const instances = [first, second] as const;
  await until(
    () => instances.every(({ fleet }) => fleet.instances().length === 2),
    'both know of each other',
  );
  const client = new HandClient(first.url, {});
  await client.handshake({ ext: { pushfleet: { token: allToken() } } });
  await client.subscribe('/a');
  const other = new HandClient(second.url, {});
  other.clientId = client.clientId;
  for (let skipped = 0; skipped < 1_000; skipped++) other.nextId();
  for (let move = 0; move < moves; move++) {
    await other.connect({ advice: { timeout: 0 } });
    await client.connect({ advice: { timeout: 0 } });
  }
  const alive = (): number => {
    collect();
    return queryObjects(Session, { format: 'count' });
  };
  // The last ones may still be in the hands of a write.
  await until(() => alive() <= 2, 'the sessions that moved away to be let go of');
  assert.deepEqual([first.edge.size, second.edge.size], [1, 0]);
});
