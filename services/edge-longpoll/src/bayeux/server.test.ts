import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataOf, HandClient, startBayeux } from './testing.ts';

test('a client shakes hands, subscribes, publishes and receives', async (t) => {
  const { url } = await startBayeux(t);
  const client = new HandClient(url);
  const shaken = await client.handshake();
  assert.equal(shaken.successful, true);
  assert.match(client.clientId, /^[a-z0-9]{32,}$/);
  assert.deepEqual(shaken.advice, { reconnect: 'retry', interval: 0, timeout: 30_000 });
  assert.equal((await client.subscribe('/a/*')).successful, true);
  const waiting = client.connect();
  const [published] = await client.post([
    { channel: '/a/b', clientId: client.clientId, data: { n: 1 }, id: 'x' },
  ]);
  assert.equal(published?.successful, true);
  assert.equal(published?.id, 'x');
  const received = await waiting;
  assert.deepEqual(dataOf(received), [{ n: 1 }]);
  assert.equal(received[0]?.channel, '/a/b');
  assert.equal(received.at(-1)?.channel, '/meta/connect');
});
