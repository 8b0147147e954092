import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { until } from '@pushfleet/contract';

import { startEdge, token } from './testing.ts';
import { Client } from './testing-client.ts';

// Clients that others wrote: npm's `ws` in every other test too, and undici, which is Node's own WebSocket.

/** What undici's WebSocket is told, by the interface that browsers have as well. */
function page(t: TestContext, url: string) {
  const socket = new WebSocket(url, 'pushfleet.v1');
  const said: (Record<string, unknown> | ArrayBuffer)[] = [];
  let end: { code: number; reason: string; wasClean: boolean } | undefined;
  socket.binaryType = 'arraybuffer';
  socket.onmessage = ({ data }) => said.push(typeof data === 'string' ? JSON.parse(data) : data);
  socket.onclose = ({ code, reason, wasClean }) => {
    end = { code, reason, wasClean };
  };
  t.after(() => socket.close());
  const has = async (type: string): Promise<Record<string, unknown>> => {
    const found = () => said.find((message) => !(message instanceof ArrayBuffer) && message.type === type);
    await until(() => found() !== undefined, `${type} in ${JSON.stringify(said)}`);
    return found() as Record<string, unknown>;
  };
  return { socket, said, has, end: () => until(() => end !== undefined, 'the end').then(() => end) };
}

test("Node's own WebSocket says who it is by its first message, publishes and is given", async (t) => {
  const edge = await startEdge(t);
  const { socket, said, has, end } = page(t, edge.url);
  await until(() => socket.readyState === socket.OPEN, 'it is open');
  assert.deepEqual(
    [socket.protocol, socket.extensions.split(';')[0]],
    ['pushfleet.v1', 'permessage-deflate'],
  );
  socket.send(JSON.stringify({ type: 'auth', token: token() }));
  await has('welcome');
  socket.send(JSON.stringify({ type: 'subscribe', id: 1, filters: ['t'] }));
  await has('subscribed');
  socket.send(JSON.stringify({ type: 'publish', id: 2, topic: 't', data: 'long '.repeat(1_000) }));
  const { event } = await has('publication');
  assert.equal((event as { data: string }).data, 'long '.repeat(1_000));
  await edge.publish('t', Buffer.alloc(3_000, 7), { contentType: 'application/octet-stream' });
  await until(() => said.some((message) => message instanceof ArrayBuffer), 'bytes');
  socket.close(1000, 'done');
  assert.deepEqual(await end(), { code: 1000, reason: '', wasClean: true });
});

test("Node's own WebSocket is told why it may not come", async (t) => {
  const edge = await startEdge(t);
  const { has, end } = page(t, `${edge.url}?ticket=unknown`);
  assert.equal((await has('closing')).code, 'unauthenticated');
  assert.deepEqual(await end(), { code: 4401, reason: 'unauthenticated', wasClean: true });
});

for (const perMessageDeflate of [false, true]) {
  test(`a large message each way by ws, ${perMessageDeflate ? 'deflated' : 'plain'}`, async (t) => {
    const edge = await startEdge(t);
    const client = await Client.open(edge, {}, { perMessageDeflate });
    t.after(() => client.close());
    await client.subscribe(['t']);
    const data = 'wörter '.repeat(50_000);
    await client.ask({ type: 'publish', topic: 't', data });
    assert.deepEqual(await client.texts(1), [data]);
  });
}
