import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { Door } from './door.ts';

const left: (() => void)[] = [];
after(() => {
  for (const leave of left) leave();
});

/** A server behind a door, and a caller whose connection has just been heard by both. */
async function conversation() {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const door = await Door.open(() => [`127.0.0.1:${(server.address() as AddressInfo).port}`]);
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const near = listen(connect({ host: '127.0.0.1', port: door.port }));
  const far = listen((await accepted)[0]);
  near.socket.write('hello');
  far.socket.write('welcome');
  await until(() => near.heard === 'welcome' && far.heard === 'hello', 'both to be heard');
  left.push(() => {
    door.close();
    server.close();
    for (const { socket } of [near, far]) socket.destroy();
  });
  return { door, near, far };
}

function listen(socket: Socket) {
  const ear = { socket, heard: '', ended: false, reset: false };
  socket.on('data', (bytes) => (ear.heard += bytes));
  socket.on('end', () => (ear.ended = true));
  socket.on('error', ({ code }: NodeJS.ErrnoException) => (ear.reset = code === 'ECONNRESET'));
  return ear;
}

/** Something that went by another door meanwhile: whatever could have come through this one has come. */
const meanwhile = async (): Promise<void> => void (await conversation());

test('a silent door passes nothing and ends nothing; all of it comes afterwards, the end included', async () => {
  const { door, near, far } = await conversation();
  door.weather = { silent: true };
  near.socket.write(' again');
  near.socket.end();
  far.socket.write(' too');
  const late = listen(connect({ host: '127.0.0.1', port: door.port }));
  await once(late.socket, 'connect');
  await meanwhile();
  assert.deepEqual([near.heard, near.ended, far.heard, far.ended], ['welcome', false, 'hello', false]);
  assert.equal(door.passages, 1);
  door.weather = {};
  await until(() => far.ended, 'the end');
  await until(() => near.heard === 'welcome too' && door.passages === 2, 'the rest, and who came late');
  assert.equal(far.heard, 'hello again');
  late.socket.destroy();
});

test('where a caller goes while the door is silent, nobody is told before it is over', async () => {
  const { door, near, far } = await conversation();
  door.weather = { silent: true };
  near.socket.resetAndDestroy();
  await meanwhile();
  assert.deepEqual([far.ended, far.reset], [false, false]);
  door.weather = {};
  far.socket.write('are you there?');
  await until(() => far.ended || far.socket.destroyed, 'the end');
});

test('a door that resets does so to who is there and to who comes', async () => {
  const { door, near, far } = await conversation();
  door.weather = { reset: true };
  await until(() => near.reset && far.reset, 'both to be reset');
  const next = listen(connect({ host: '127.0.0.1', port: door.port }));
  await until(() => next.reset, 'the next to be reset');
});

test('delay holds everything up and keeps its order; a narrow way lets bytes pass one after the other', async () => {
  const { door, near, far } = await conversation();
  door.weather = { delayMs: 50 };
  const sent = performance.now();
  near.socket.write(' one');
  near.socket.end(' two');
  await until(() => far.ended, 'the end');
  assert.equal(far.heard, 'hello one two');
  assert.ok(performance.now() - sent >= 49);
  door.weather = { bytesPerSecond: 1_000_000 };
  const began = performance.now();
  const much = 'x'.repeat(200_000);
  far.socket.write(much);
  await until(() => near.heard.length === 'welcome'.length + much.length, 'all of it');
  assert.ok(performance.now() - began >= 150);
});
