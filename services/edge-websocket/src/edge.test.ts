import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '@pushfleet/edge/testing';
import { WebSocket } from 'ws';
import { startEdge, token } from './testing.ts';

test('a client subscribes, publishes and gets what it published', async (t) => {
  const edge = await startEdge(t);
  const ws = new WebSocket(edge.url, 'pushfleet.v1', { headers: { authorization: `Bearer ${token()}` } });
  const got: unknown[] = [];
  ws.on('message', (data, binary) => got.push(binary ? data : JSON.parse(data.toString())));
  ws.on('close', (code, reason) => got.push([code, reason.toString()]));
  await until(() => got.length > 0, 'welcome');
  ws.send('{"type":"subscribe","id":1,"filters":["a/#"]}');
  await until(() => got.length > 1, 'subscribed');
  ws.send('{"type":"publish","id":2,"topic":"a/b","data":{"x":12345678901234567890}}');
  await until(() => got.length > 3, 'published');
  await edge.publish('a/c', 'x'.repeat(3000));
  await edge.publish('a/c', Buffer.from([0, 255]), { contentType: 'application/octet-stream' });
  await until(() => got.length > 5, 'published');
  ws.close(1000);
  await until(() => got.length > 6, 'closed');
  assert.ok(true);
});
