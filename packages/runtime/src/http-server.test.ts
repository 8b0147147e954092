import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import { connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { until } from '@pushfleet/contract';
import { HttpServer } from './http-server.ts';
import { createLog } from './log.ts';

const never = new AbortController().signal;

async function start(t: TestContext, handler: RequestListener, options: { asksForBodies?: boolean } = {}) {
  const lines: string[] = [];
  const server = new HttpServer({
    address: { host: '127.0.0.1', port: 0 },
    handler,
    log: createLog({ name: 'test', destination: { write: (line) => void lines.push(line) } }),
    headerBytes: 16_384,
    requestMs: 15_000,
    ...options,
  });
  await server.start();
  t.after(() => server.close());
  return { server, lines, url: `http://127.0.0.1:${server.port}` };
}

async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(text);
  let answer = '';
  for await (const chunk of socket) answer += chunk;
  return answer;
}

describe('HttpServer', () => {
  it('answers, and tells where it listens', async (t) => {
    const { url, lines, server } = await start(t, (_, response) => response.end('hello'));
    assert.equal(await (await fetch(url)).text(), 'hello');
    const { msg, listener, address } = JSON.parse(lines[0] ?? '');
    assert.deepEqual([msg, listener, address], ['listening', 'http', `127.0.0.1:${server.port}`]);
  });

  it('refuses what is no HTTP, also behind an answer, and never in the midst of one', async (t) => {
    const { server } = await start(t, (request, response) => {
      response.write('begun');
      if (request.url === '/whole') response.end();
    });
    assert.match(await exchange(server.port, 'NONSENSE\r\n\r\n'), /^HTTP\/1\.1 400 .*"request_invalid"/s);
    const socket = connect(server.port, '127.0.0.1');
    t.after(() => socket.destroy());
    let got = '';
    socket.on('data', (chunk) => {
      got += chunk;
    });
    socket.write('GET /whole HTTP/1.1\r\nHost: a\r\n\r\n');
    await until(() => got.endsWith('0\r\n\r\n'), 'the answer');
    socket.write('NONSENSE\r\n\r\n');
    await once(socket, 'close');
    assert.match(got, /0\r\n\r\nHTTP\/1\.1 400 /);

    const midway = connect(server.port, '127.0.0.1');
    let part = '';
    midway.on('data', (chunk) => {
      part += chunk;
    });
    midway.on('error', () => {});
    midway.write('GET /open HTTP/1.1\r\nHost: a\r\n\r\n');
    await until(() => part.includes('begun'), 'the beginning');
    midway.write('NONSENSE\r\n\r\n');
    await once(midway, 'close');
    assert.doesNotMatch(part, /HTTP\/1\.1 400/);
  });

  it('does not start on an address that is taken', async (t) => {
    const { server } = await start(t, (_, response) => response.end());
    const other = new HttpServer({
      address: { host: '127.0.0.1', port: server.port },
      handler: () => {},
      log: createLog({ name: 'test', level: 'silent' }),
      headerBytes: 16_384,
      requestMs: 15_000,
    });
    await assert.rejects(other.start(), /EADDRINUSE/);
  });

  it('finishes what was accepted and refuses what is new while it drains', async (t) => {
    const accepted = Promise.withResolvers<ServerResponse>();
    const { server, url } = await start(t, (_, response) => accepted.resolve(response));
    const slow = fetch(`${url}/slow`);
    const open = await accepted.promise;
    let drained = false;
    const drain = server.drain(never).then(() => {
      drained = true;
    });
    const refused = await fetch(`${url}/new?ticket=secret`, { method: 'POST', body: 'x' });
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get('connection'), 'close');
    assert.ok(refused.headers.has('retry-after'));
    const { code, instance } = (await refused.json()) as Record<string, string>;
    assert.deepEqual([code, instance], ['draining', '/new']);
    assert.equal(drained, false);
    open.end('done');
    const answer = await slow;
    assert.equal(answer.headers.get('connection'), 'close');
    assert.equal(await answer.text(), 'done');
    await drain;
  });

  it('waits no longer than the deadline', async (t) => {
    let waiting = false;
    const { server, url } = await start(t, () => {
      waiting = true;
    });
    const cut = assert.rejects(fetch(url));
    await until(() => waiting, 'the request');
    const deadline = new AbortController();
    const drain = server.drain(deadline.signal);
    deadline.abort();
    await drain;
    await server.close();
    await cut;
  });

  it('tells clients to go on, or leaves that to the handler', async (t) => {
    const told: string[] = [];
    const post = async (port: number) => {
      const request = httpRequest({
        port,
        method: 'POST',
        headers: { expect: '100-continue', 'content-length': '1' },
      });
      request.once('continue', () => {
        told.push('continue');
        request.end('x');
      });
      request.flushHeaders();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      response.resume();
      request.destroy();
    };
    const readAll: RequestListener = (request, response) =>
      void request.resume().once('end', () => response.end());
    await post((await start(t, readAll)).server.port);
    assert.deepEqual(told, ['continue']);
    const refuse: RequestListener = (_, response) => void response.writeHead(413).end();
    await post((await start(t, refuse, { asksForBodies: true })).server.port);
    assert.deepEqual(told, ['continue']);
  });

  for (const [name, text, detail] of [
    ['noise', '\x00\x01\x02\r\n\r\n', /not HTTP/],
    ['headers too large', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, /16384 bytes/],
  ] as const) {
    it(`answers ${name} with a problem document`, async (t) => {
      const { server } = await start(t, () => assert.fail('nothing to handle'));
      const [head = '', body = ''] = (await exchange(server.port, text)).split('\r\n\r\n');
      assert.match(head, /^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*application\/problem\+json/);
      assert.match(JSON.parse(body).detail, detail);
    });
  }
});
