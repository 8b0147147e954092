import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';

import { TimerWheel } from '@pushfleet/runtime';
import { WebSocket, WebSocketServer } from 'ws';
import { Link } from './link.ts';

/** What is below a WebSocket, for tests that say when it is full. */
class Below extends EventEmitter {
  writableNeedDrain = false;

  drain(): void {
    this.writableNeedDrain = false;
    this.emit('drain');
  }
}

/** A link and its client; each frame is answered by so many bytes. */
async function linked(t: TestContext, o: { bytes: number; beginMs?: number; below?: Below }) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new WebSocketServer({ noServer: true });
  const wheel = new TimerWheel();
  const counts = { answered: 0 };
  const now = [`"${'x'.repeat(o.bytes)}"`];
  const exchange = {
    answer: async () => {
      counts.answered++;
      return { now };
    },
  };
  const stranger = new PushfleetError('unauthenticated', 'Nobody.');
  const opened = new Promise<WebSocket>((resolve) => {
    server.on('upgrade', (request, socket: Socket, head) => {
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        new Link(webSocket, (o.below as unknown as Socket) ?? socket, {
          ...{ exchange, messages: 10, silenceMs: 60_000, wheel },
          ...{ beginMs: o.beginMs ?? 60_000, onKnown: () => {} },
          who: { visitor: undefined, stranger },
        });
        resolve(webSocket);
      });
    });
  });
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  client.on('error', () => {});
  const received = { frames: 0 };
  client.on('message', () => received.frames++);
  t.after(() => {
    client.terminate();
    server.close();
    wheel.close();
  });
  const socket = await opened;
  await until(() => client.readyState === WebSocket.OPEN, 'it opens');
  return { client, socket, counts, received };
}

const frames = 1_000;
const bytes = 64 * 1_024;
/** Far more than the kernel takes of one that does not read, and less than was asked for. */
const most = frames / 2;

test('a client that does not read is answered no more than its socket takes, and is cut', async (t) => {
  const { client, socket, counts } = await linked(t, { bytes, beginMs: 500 });
  client.pause();
  for (let n = 0; n < frames; n++) client.send('[{"channel":"/meta/nope"}]');
  await until(() => socket.isPaused, 'nothing is read');
  assert.ok(socket.bufferedAmount < 4 * bytes, `${socket.bufferedAmount} bytes wait`);
  await until(() => socket.readyState === WebSocket.CLOSED, 'it is cut');
  assert.ok(counts.answered < most, `${counts.answered} were answered`);
});

test('a client that reads again is answered all', async (t) => {
  const { client, socket, received } = await linked(t, { bytes });
  client.pause();
  for (let n = 0; n < frames; n++) client.send('[{"channel":"/meta/nope"}]');
  await until(() => socket.isPaused, 'nothing is read');
  client.resume();
  await until(() => received.frames === frames, 'all are answered');
});

test('while the socket is full nothing is answered, and pings are not read either', async (t) => {
  const below = new Below();
  const { client, socket, counts, received } = await linked(t, { bytes: 1, below });
  client.send('[{"channel":"/a"}]');
  await until(() => received.frames === 1, 'an answer');
  below.writableNeedDrain = true;
  client.ping();
  await until(() => socket.isPaused, 'nothing is read');
  below.drain();
  assert.equal(socket.isPaused, false);
  below.writableNeedDrain = true;
  client.send('[{"channel":"/a"}]');
  await until(() => socket.isPaused, 'nothing is read');
  assert.equal(counts.answered, 1);
  below.drain();
  await until(() => received.frames === 2, 'an answer');
});
