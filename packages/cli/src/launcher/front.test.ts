import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, describe, test } from 'node:test';
import type { Route } from '@pushfleet/runtime';
import { WebSocket, WebSocketServer } from 'ws';
import { openFront } from './front.ts';

const route = (service: string, path: string, more: Partial<Route> = {}): Route => ({
  name: path,
  service,
  port: 1,
  path,
  pathType: 'Exact',
  ...more,
});
const routes = [
  route('stream', '/sse'),
  route('stream', '/v1/topics', { pathType: 'Prefix' }),
  route('stream', '/ws', { websocket: 'only' }),
  route('absent', '/absent', { websocket: 'only' }),
  route('dead', '/dead', { websocket: 'only' }),
];
const backend = createServer();
// As an edge does: whoever lacks the subprotocol is refused before the upgrade.
const sockets = new WebSocketServer({ noServer: true });
backend.on('upgrade', (request, socket, head) => {
  if (request.headers['sec-websocket-protocol'] === 'ours') {
    sockets.handleUpgrade(request, socket, head, (webSocket) =>
      sockets.emit('connection', webSocket, request),
    );
  } else socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nours');
});
backend.listen(0, '127.0.0.1');
await once(backend, 'listening');
const { port } = backend.address() as AddressInfo;
const addresses: Record<string, string> = { stream: `127.0.0.1:${port}`, dead: '127.0.0.1:1' };
const front = await openFront({ routes, addressOf: (service) => addresses[service] }, 0);
after(async () => {
  await front.close();
  backend.close();
  backend.closeAllConnections();
});

type Exchange = readonly [IncomingMessage, ServerResponse];
const arrival = async (): Promise<Exchange> => (await once(backend, 'request')) as unknown as Exchange;

/** Opens a stream through the front: both its ends. */
async function open(): Promise<{ near: IncomingMessage; far: ServerResponse; asked: IncomingMessage }> {
  const coming = arrival();
  const client = request(`${front.url}/sse?topic=a`).end();
  const [asked, far] = await coming;
  far.writeHead(200, { 'content-type': 'text/event-stream' });
  far.write('data: 1\n\n');
  const [near] = (await once(client, 'response')) as [IncomingMessage];
  near.setEncoding('utf8');
  return { near, far, asked };
}

test('each write of a stream comes through at once', async () => {
  const { near, far, asked } = await open();
  assert.equal(asked.url, '/sse?topic=a');
  assert.equal(asked.headers.host, new URL(front.url).host);
  assert.equal(near.headers['content-type'], 'text/event-stream');
  assert.deepEqual(await once(near, 'data'), ['data: 1\n\n']);
  far.write('data: 2\n\n');
  assert.deepEqual(await once(near, 'data'), ['data: 2\n\n']);
  far.end();
  await once(near, 'end');
});

test('a reader that leaves is gone for the service, too', async () => {
  const { near, far } = await open();
  near.destroy();
  await once(far, 'close');
  assert.equal(far.writableFinished, false);
});

test('a service that dies in the middle of a stream cuts its reader', async () => {
  const { near, far } = await open();
  const cut = once(near, 'error');
  near.resume();
  far.destroy();
  assert.equal(((await cut)[0] as Error).message, 'aborted');
});

test('a path below a prefix is handed on as it is', async () => {
  const coming = arrival();
  const client = request(`${front.url}/v1/topics/a%2Fb//c?x=1`, { method: 'POST' });
  client.end('body');
  const [asked, answer] = await coming;
  assert.equal(asked.url, '/v1/topics/a%2Fb//c?x=1');
  answer.end();
  await once(client, 'response');
});

for (const path of ['/v1/topics/a/../b', '/v1/topics/a/%2e/b', '/v1/topics/a\\b', '/v1/topics/a#b']) {
  test(`${path} is not turned into another topic`, async () => {
    const coming = arrival();
    const client = request(front.url, { path, method: 'POST' }).end();
    const [asked, answer] = await coming;
    assert.equal(asked.url, path);
    answer.end();
    await once(client, 'response');
  });
}

test('an upgrade that is no WebSocket is answered as if it had not been offered', async () => {
  const coming = arrival();
  const headers = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABk' };
  const client = request(`${front.url}/v1/topics/a`, { headers, agent: false }).end();
  const [, answer] = await coming;
  answer.end();
  const [near] = (await once(client, 'response')) as [IncomingMessage];
  assert.equal(near.statusCode, 200);
});

describe('connections', () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  after(() => agent.destroy());

  /** One exchange through the front: its answer, and the sockets at the client and at the service. */
  async function exchange(method: string, headers: Record<string, string> = {}, said = {}, body?: string) {
    const coming = arrival();
    const client = request(`${front.url}/v1/topics/a`, { method, headers, agent }).end(body);
    const [asked, far] = await coming;
    const received = await text(asked);
    far.writeHead(200, said).end('x');
    const [near] = (await once(client, 'response')) as [IncomingMessage];
    const { socket } = near;
    assert.equal(await text(near), 'x');
    return { near: socket as object, far: asked.socket as object, headers: near.headers, asked, received };
  }

  test('two requests use one on both sides', async () => {
    const one = await exchange('GET');
    const two = await exchange('POST', {}, {}, 'body');
    assert.equal(two.received, 'body');
    assert.equal(one.near, two.near);
    assert.equal(one.far, two.far);
    assert.equal(two.headers.connection, 'keep-alive');
  });

  test('what each side says of its own is not handed on', async () => {
    const one = await exchange('GET', {}, { connection: 'close' });
    assert.equal(one.headers.connection, 'keep-alive');
    const two = await exchange('GET', { connection: 'close', te: 'trailers' });
    assert.equal(one.near, two.near);
    assert.notEqual(one.far, two.far);
    assert.equal(two.headers.connection, 'close');
    assert.deepEqual([two.asked.headers.connection, two.asked.headers.te], ['keep-alive', undefined]);
  });

  test('a body without a length shares none with what comes behind it', async () => {
    const before = await exchange('GET');
    const one = await exchange('DELETE', { 'transfer-encoding': 'chunked' });
    const behind = await exchange('GET');
    assert.equal(one.asked.headers.connection, 'close');
    assert.notEqual(one.far, behind.far);
    assert.equal(before.far, behind.far);
  });
});

const url = (path: string): string => front.url.replace('http', 'ws') + path;

/** Opens a WebSocket through the front: both its ends. */
async function openWebSocket(): Promise<{ near: WebSocket; far: WebSocket; asked: IncomingMessage }> {
  const coming = once(sockets, 'connection');
  const near = new WebSocket(url('/ws?a=%2Fb'), 'ours', { headers: { origin: 'http://page.example' } });
  const [[far, asked]] = (await Promise.all([coming, once(near, 'open')])) as [
    [WebSocket, IncomingMessage],
    unknown,
  ];
  return { near, far, asked };
}

test('a WebSocket carries text and bytes both ways, and each end learns how the other closed', async () => {
  const { near, far, asked } = await openWebSocket();
  assert.equal(asked.url, '/ws?a=%2Fb');
  assert.deepEqual(
    [asked.headers.origin, asked.headers.host],
    ['http://page.example', new URL(front.url).host],
  );
  assert.equal(near.protocol, 'ours');
  far.send('hello');
  assert.equal(String((await once(near, 'message'))[0]), 'hello');
  near.send(Buffer.from([0, 255]));
  assert.deepEqual(await once(far, 'message'), [Buffer.from([0, 255]), true]);
  far.close(1012, 'come back');
  const [code, reason] = await once(near, 'close');
  assert.deepEqual([code, String(reason)], [1012, 'come back']);
});

test('a WebSocket that is cut at either end is cut at the other', async () => {
  const one = await openWebSocket();
  one.near.terminate();
  await once(one.far, 'close');
  const two = await openWebSocket();
  two.far.terminate();
  assert.equal((await once(two.near, 'close'))[0], 1006);
});

const answers: readonly (readonly [path: string, status: number, body: RegExp])[] = [
  ['/ws', 400, /^ours$/],
  ['/absent', 503, /absent does not run/],
  ['/nowhere', 404, /well-known/],
];
for (const [path, status, body] of answers) {
  test(`a WebSocket at ${path} that is refused is told with ${status}`, async () => {
    const near = new WebSocket(url(path));
    const [, answer] = (await once(near, 'unexpected-response')) as [unknown, IncomingMessage];
    assert.equal(answer.statusCode, status);
    assert.match(await text(answer), body);
  });
}

test('a WebSocket is not offered to what takes none', async () => {
  const coming = arrival();
  const near = new WebSocket(url('/sse'));
  const [, answer] = await coming;
  answer.end();
  const [, refused] = (await once(near, 'unexpected-response')) as [unknown, IncomingMessage];
  assert.equal(refused.statusCode, 200);
});

const refusals: readonly (readonly [path: string, status: number, words: RegExp])[] = [
  ['/', 404, /well-known/],
  ['/sse/more', 404, /well-known/],
  ['/v1/topicsmore', 404, /well-known/],
  ['/absent', 503, /absent does not run/],
  ['/dead', 503, /does not answer/],
];
for (const [path, status, words] of refusals) {
  test(`${path} is answered with ${status}`, async () => {
    const answer = await fetch(front.url + path);
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    assert.equal(answer.headers.has('retry-after'), status === 503);
    assert.match(await answer.text(), words);
  });
}
