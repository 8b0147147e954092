import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { scrape, valueIn } from '@pushfleet/runtime/testing-metrics';
import { answer, callerWith, ok, startReceiver } from './testing.ts';

/** A receiver that answers only when told. */
function holding(): { readonly held: Socket[]; serve(socket: Socket): void; answerAll(): void } {
  const held: Socket[] = [];
  return {
    held,
    serve: (socket) => void held.push(socket),
    answerAll: () => {
      for (const socket of held.splice(0)) ok(socket);
    },
  };
}

describe('connections to one origin', () => {
  test('are used again', async (t) => {
    const receiver = await startReceiver(t, ok);
    const { post } = callerWith(t, { ALLOW: '127.0.0.1' });
    for (let i = 0; i < 5; i++) await post(`http://127.0.0.1:${receiver.port}/${i}`);
    assert.equal(receiver.connections, 1);
  });

  test('are at most so many; further calls wait for one, in order', async (t) => {
    const { held, serve, answerAll } = holding();
    const receiver = await startReceiver(t, serve);
    const { post } = callerWith(t, { ALLOW: '127.0.0.1', CONNECTIONS_PER_ORIGIN: '2' });
    const done: number[] = [];
    const calls = [1, 2, 3, 4].map(async (n) => {
      await post(`http://127.0.0.1:${receiver.port}/${n}`);
      done.push(n);
    });
    await until(() => held.length === 2, 'two requests');
    answerAll();
    await until(() => held.length === 2, 'the next two requests');
    assert.deepEqual(done.toSorted(), [1, 2]);
    answerAll();
    await Promise.all(calls);
    assert.equal(receiver.connections, 2);
  });

  test('that hang make others wait no longer than their own time', async (t) => {
    const { held, serve, answerAll } = holding();
    const receiver = await startReceiver(t, serve);
    const { post, refusal } = callerWith(t, { ALLOW: '127.0.0.1', CONNECTIONS_PER_ORIGIN: '1' });
    const url = `http://127.0.0.1:${receiver.port}/`;
    const first = post(url);
    await until(() => held.length === 1, 'the first request');
    const error = await refusal(url, { timeoutMs: 50 });
    assert.equal(error.failure, 'timeout');
    assert.match(error.message, /all connections to the host were busy/);
    answerAll();
    assert.equal((await first).status, 200);
    const last = post(url);
    await until(() => held.length === 1, 'the last request');
    answerAll();
    assert.equal((await last).status, 200);
    assert.equal(receiver.connections, 1);
  });

  test('that fail make room for who waits', async (t) => {
    const receiver = await startReceiver(t, (socket) => void socket.destroy());
    const { refusal } = callerWith(t, { ALLOW: '127.0.0.1', CONNECTIONS_PER_ORIGIN: '1' });
    const errors = await Promise.all([1, 2, 3].map((n) => refusal(`http://127.0.0.1:${receiver.port}/${n}`)));
    assert.deepEqual(
      errors.map((error) => error.failure),
      ['protocol', 'protocol', 'protocol'],
    );
    assert.equal(receiver.connections, 3);
  });
});

describe('connections without a call', () => {
  test('are at most so many of all origins; the one unused for longest goes', async (t) => {
    const receivers = await Promise.all([1, 2, 3].map(() => startReceiver(t, ok)));
    const { post, metrics } = callerWith(t, { ALLOW: '127.0.0.1', IDLE_CONNECTIONS: '2' });
    const urls = receivers.map(({ port }) => `http://127.0.0.1:${port}/`) as [string, string, string];
    await post(urls[0]);
    await post(urls[1]);
    await post(urls[0]);
    await post(urls[2]);
    const [first, second, third] = receivers;
    await until(() => second?.sockets.size === 0, 'the second receiver to be let go');
    assert.deepEqual([first?.sockets.size, third?.sockets.size], [1, 1]);
    assert.equal(valueIn(await scrape(metrics), 'pushfleet_outbound_connections'), 2);
  });

  test('are not kept at all where none may be', async (t) => {
    const receiver = await startReceiver(t, ok);
    const { post } = callerWith(t, { ALLOW: '127.0.0.1', IDLE_CONNECTIONS: '0' });
    await post(`http://127.0.0.1:${receiver.port}/`);
    await until(() => receiver.sockets.size === 0, 'the connection to be closed');
  });

  test('end when their time is over, and leave nothing behind', async (t) => {
    const receiver = await startReceiver(t, ok);
    const { post, metrics } = callerWith(t, { ALLOW: '127.0.0.1', IDLE_TIMEOUT: '1' });
    await post(`http://127.0.0.1:${receiver.port}/`);
    await until(() => receiver.sockets.size === 0, 'the connection to be closed');
    await until(
      async () => valueIn(await scrape(metrics), 'pushfleet_outbound_connections') === 0,
      'the connection to be forgotten',
    );
  });

  test('end when the receiver ends them, and the next call has a new one', async (t) => {
    const receiver = await startReceiver(t, ok);
    const { post } = callerWith(t, { ALLOW: '127.0.0.1' });
    const url = `http://127.0.0.1:${receiver.port}/`;
    for (let i = 0; i < 20; i++) {
      await post(url);
      for (const socket of receiver.sockets) socket.end();
    }
    assert.equal(receiver.connections, 20);
  });

  test('may have ended when a call is sent: it is sent again, once, by a new connection', async (t) => {
    const served = new Set<Socket>();
    const receiver = await startReceiver(t, (socket) => {
      // Every connection dies of its second request, and from the third on of the first.
      if (served.has(socket) || served.size === 2) socket.destroy();
      else ok(socket);
      served.add(socket);
    });
    const { post, refusal } = callerWith(t, { ALLOW: '127.0.0.1' });
    const url = `http://127.0.0.1:${receiver.port}/`;
    await post(url);
    assert.equal((await post(url)).status, 200);
    assert.equal(receiver.connections, 2);
    assert.equal((await refusal(url)).failure, 'protocol');
    assert.equal(receiver.connections, 3);
  });

  test('are not sent again by when a part of the answer has come', async (t) => {
    let served = 0;
    const receiver = await startReceiver(t, (socket) => {
      if (++served === 1) ok(socket);
      else socket.end('HTTP/1.1 200 OK\r\n');
    });
    const { post, refusal } = callerWith(t, { ALLOW: '127.0.0.1' });
    const url = `http://127.0.0.1:${receiver.port}/`;
    await post(url);
    assert.equal((await refusal(url)).failure, 'protocol');
    assert.equal(receiver.connections, 1);
  });

  test('are not kept by a receiver that says so', async (t) => {
    const receiver = await startReceiver(
      t,
      (socket) => void socket.write(answer('', '200 OK', 'connection: close\r\n')),
    );
    const { post } = callerWith(t, { ALLOW: '127.0.0.1' });
    const url = `http://127.0.0.1:${receiver.port}/`;
    await Promise.all([1, 2, 3, 4].map(() => post(url)));
    await post(url);
    await until(() => receiver.sockets.size === 0, 'the connections to be closed');
    assert.equal(receiver.connections, 5);
  });
});

test('closing ends every call, and begins none', async (t) => {
  const { held, serve } = holding();
  const receiver = await startReceiver(t, serve);
  const { caller, refusal } = callerWith(t, { ALLOW: '127.0.0.1', CONNECTIONS_PER_ORIGIN: '1' });
  const url = `http://127.0.0.1:${receiver.port}/`;
  const calls = [refusal(url), refusal(url)];
  await until(() => held.length === 1, 'the first request');
  await caller.close();
  for (const error of [...(await Promise.all(calls)), await refusal(url)]) {
    assert.equal(error.failure, 'connect');
    assert.match(error.message, /stopping/);
  }
  await until(() => receiver.sockets.size === 0, 'the connection to be closed');
  assert.equal(receiver.connections, 1);
});

test('calls are counted by what came of them', async (t) => {
  const receiver = await startReceiver(t, ok);
  const { post, refusal, metrics } = callerWith(t, { ALLOW: '127.0.0.1' });
  const url = `http://127.0.0.1:${receiver.port}/`;
  await post(url);
  await post(url);
  await refusal('https://localhost/');
  await receiver.close();
  assert.equal((await refusal(url)).failure, 'connect');
  const text = await scrape(metrics);
  for (const [result, count] of Object.entries({ answered: 2, refused: 1, connect: 1, timeout: 0 })) {
    assert.equal(valueIn(text, `pushfleet_outbound_calls_total{result="${result}"}`), count, result);
  }
  assert.equal(valueIn(text, 'pushfleet_outbound_connections_opened_total'), 2);
});
