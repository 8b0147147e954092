import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import type { Route } from '@pushfleet/runtime';
import { openFront } from './front.ts';

const route = (service: string, path: string, pathType: Route['pathType'] = 'Exact'): Route => ({
  name: path,
  service,
  port: 1,
  path,
  pathType,
});
const routes = [
  route('stream', '/sse'),
  route('stream', '/v1/topics', 'Prefix'),
  route('absent', '/absent'),
  route('dead', '/dead'),
];
const backend = createServer();
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
