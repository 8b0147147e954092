import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { detach, onDetached } from './detach.ts';
import { head, RawClient } from './testing.ts';

async function detaching(on: (request: IncomingMessage, socket: Socket) => void) {
  const server = createServer({ shouldUpgradeCallback: () => false }, detach);
  onDetached(server, on);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, stop: () => server.close() };
}

const requests: readonly [string, string][] = [
  ['HTTP/1.1', head('GET /sse HTTP/1.1')],
  ['HTTP/1.0', 'GET /sse HTTP/1.0\r\n\r\n'],
  ['an offer to upgrade', head('GET /sse HTTP/1.1', { Connection: 'Upgrade', Upgrade: 'h2c' })],
];
for (const [what, request] of requests) {
  test(`a socket leaves node:http with its request read: ${what}`, async () => {
    const held = Promise.withResolvers<Record<string, unknown> & Socket>();
    const { port, stop } = await detaching((_request, socket) => {
      held.resolve(socket as unknown as Record<string, unknown> & Socket);
      socket.write('bare');
    });
    const client = await new RawClient(port, request).has('bare');
    const socket = await held.promise;
    assert.deepEqual([socket.parser, socket._httpMessage], [null, null], 'no parser, no response');
    for (const event of ['data', 'drain', 'timeout', 'close']) {
      assert.equal(socket.listenerCount(event), 0, `no listener of ${event} is left`);
    }
    client.socket.write('whatever else it says');
    client.socket.resetAndDestroy();
    await new Promise((resolve) => socket.once('close', resolve));
    stop();
  });
}

test("a client's own upgrade is left to others", async () => {
  const server = createServer({ shouldUpgradeCallback: () => true });
  onDetached(server, () => assert.fail('nobody detached it'));
  server.on('upgrade', (_request, socket) => socket.end('upgraded'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const offer = head('GET /ws HTTP/1.1', { Connection: 'Upgrade', Upgrade: 'websocket' });
  const client = new RawClient((server.address() as AddressInfo).port, offer);
  assert.equal((await client.end()).received, 'upgraded');
  server.close();
});
