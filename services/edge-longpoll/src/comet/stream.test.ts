import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { until } from '@pushfleet/contract';
import { head, RawClient, token } from '@pushfleet/edge/testing';
import { startEdge, type TestEdge } from '../testing.ts';
import { authorization } from '../testing-client.ts';

interface Message {
  readonly type: string;
  readonly cursor?: string;
  readonly event?: { readonly data: unknown; readonly pushfleetcursor: string };
  readonly code?: string;
  readonly reconnect?: boolean;
  readonly retryMs?: number;
}

/** What XMLHttpRequest does: keeps all of the response, and parses the lines that are whole. */
class Xhr {
  text = '';
  done = false;
  status = 0;
  headers = new Headers();
  readonly #abort = new AbortController();

  constructor(url: string, init: RequestInit = {}) {
    void this.#read(url, init).catch(() => {
      this.done = true;
    });
  }

  async #read(url: string, init: RequestInit): Promise<void> {
    const headers = { ...authorization, ...(init.headers as Record<string, string>) };
    const response = await fetch(url, { ...init, headers, signal: this.#abort.signal });
    this.status = response.status;
    this.headers = response.headers;
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) this.text += chunk;
    this.done = true;
  }

  get messages(): Message[] {
    const whole = this.text.slice(0, this.text.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  }

  get texts(): unknown[] {
    return this.messages.flatMap(({ event }) => (event === undefined ? [] : [event.data]));
  }

  async has(type: string, count = 1): Promise<this> {
    const found = () => this.messages.filter((message) => message.type === type).length;
    await until(() => found() >= count, `${count} of ${type}`);
    return this;
  }

  async end(): Promise<this> {
    await until(() => this.done, 'the response ends');
    return this;
  }

  close(): void {
    this.#abort.abort();
  }
}

const open = (edge: TestEdge, query: string, init?: RequestInit): Promise<Xhr> =>
  new Xhr(`${edge.url}/comet/stream?${query}`, init).has('open');

test('begins at once, padded, with headers that keep every proxy from holding it back', async (t) => {
  const edge = await startEdge(t);
  const client = new RawClient(
    edge.port,
    head('GET /comet/stream?topic=t HTTP/1.1', { Authorization: authorization.authorization }),
  );
  await client.has('"type":"open"');
  for (const line of [
    'content-type: application/x-ndjson\r\n',
    'cache-control: no-store, no-transform\r\n',
    'x-accel-buffering: no\r\n',
    'x-content-type-options: nosniff\r\n',
    'transfer-encoding: chunked\r\n',
    'pushfleet-connection: ',
  ]) {
    assert.ok(client.head.includes(line), line);
  }
  assert.match(client.body, /^[0-9a-f]+\r\n {2048}/);
  client.close();
});

test('publications, one a line, whatever they hold', async (t) => {
  const edge = await startEdge(t);
  const client = await open(edge, 'topic=t');
  await edge.publish('t', 'a\nb\u2028c');
  await edge.publish('t', '{\n "a": 1\n}', { contentType: 'application/json' });
  await edge.publish('t', Buffer.from([0, 10]), { contentType: 'image/png' });
  await client.has('publication', 3);
  assert.deepEqual(client.texts, ['a\nb\u2028c', { a: 1 }, undefined]);
  client.close();
});

test('goes on at another edge from the last cursor, over all its topics', async (t) => {
  const first = await startEdge(t);
  const second = await startEdge(t, {}, first);
  const client = await open(first, 'topic=a/%2B&topic=b');
  await first.publish('a/1', 'one');
  await client.has('publication');
  await first.edge.close();
  await second.publish('b', 'two');
  const cursor = client.messages.at(-1)?.event?.pushfleetcursor;
  const resumed = await open(second, `topic=a/%2B&topic=b&after=${cursor}`);
  await second.publish('a/2', 'three');
  await resumed.has('publication', 2);
  assert.deepEqual([...client.texts, ...resumed.texts], ['one', 'two', 'three']);
  resumed.close();
});

test('is rotated by bytes, because a browser keeps all of it; nothing is lost over the turns', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_LONGPOLL_RESPONSE_BYTES: '16KiB' });
  const got: unknown[] = [];
  let client = await open(edge, 'topic=t');
  let turns = 0;
  const count = 200;
  let after = client.messages[0]?.cursor;
  for (let i = 0; i < count; i++) await edge.publish('t', `${i} ${'x'.repeat(2_000)}`);
  while (got.length < count) {
    await until(() => client.done || client.texts.length + got.length === count, 'it ends or has all');
    const last = client.messages.at(-1);
    if (client.done) {
      assert.deepEqual(
        [last?.type, last?.code, last?.reconnect, last?.retryMs],
        ['closing', 'connection_age', true, 0],
      );
      turns++;
    }
    got.push(...client.texts);
    after = client.messages.findLast(({ event }) => event !== undefined)?.event?.pushfleetcursor ?? after;
    client.close();
    client = await open(edge, `topic=t&after=${after}`);
  }
  client.close();
  assert.deepEqual(
    got.map((text) => Number.parseInt(String(text), 10)),
    Array.from({ length: count }, (_, i) => i),
  );
  assert.ok(turns >= 1);
});

test('a response below its bytes stays', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_LONGPOLL_RESPONSE_BYTES: '16KiB' });
  const client = await open(edge, 'topic=t');
  await edge.publish('t', 'x'.repeat(10_000));
  await client.has('publication');
  await edge.publish('t', 'x');
  await client.has('publication', 2);
  assert.equal(client.done, false);
  client.close();
});

test('retained publications come first and marked; a gap is told', async (t) => {
  const edge = await startEdge(t);
  await edge.publish('s/a', 'kept', { retain: true });
  const client = await open(edge, 'topic=s/%23&retained=1');
  await client.has('publication');
  assert.equal((client.messages[1] as { retained?: boolean }).retained, true);
  client.close();
  const lost = new Xhr(`${edge.url}/comet/stream?topic=s/%23&after=lost-1-1`);
  await lost.has('gap');
  lost.close();
});

test('drain, revocation, the end of a token: the last line says why and whether to come back', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_DRAIN_SECONDS: '0' });
  const as = (claims: object) => ({ headers: { authorization: `Bearer ${token(claims)}` } });
  const bob = await open(edge, 'topic=t', as({ sub: 'bob' }));
  edge.registry.revoke('bob');
  assert.deepEqual(closeOf(await bob.end()), ['token_revoked', false]);
  const short = await open(edge, 'topic=t', as({ exp: Math.floor(Date.now() / 1_000) + 2 }));
  assert.deepEqual(closeOf(await short.end()), ['token_expired', false]);
  const ann = await open(edge, 'topic=t');
  await edge.edge.drain(AbortSignal.timeout(5_000));
  assert.deepEqual(closeOf(await ann.end()), ['draining', true]);
  const late = await new Xhr(`${edge.url}/comet/stream?topic=t`).end();
  assert.deepEqual([late.status, JSON.parse(late.text).code], [503, 'draining']);
  assert.match(late.headers.get('retry-after') ?? '', /^\d+$/);
});

const closeOf = ({ messages }: Xhr) => {
  const last = messages.at(-1);
  assert.equal(last?.type, 'closing');
  return [last?.code, last?.reconnect];
};

test('a refusal is a problem with its status', async (t) => {
  const edge = await startEdge(t);
  for (const [path, init, status, code] of [
    ['/comet/stream', {}, 400, 'request_invalid'],
    ['/comet/stream?topic=t', { headers: { authorization: 'Bearer x' } }, 401, 'unauthenticated'],
    ['/comet/stream?topic=$presence/a', {}, 403, 'forbidden'],
    ['/comet/stream?topic=t&after=x', {}, 400, 'cursor_invalid'],
    ['/comet/stream?topic=t', { method: 'DELETE' }, 405, 'method_not_allowed'],
    ['/comet/other', {}, 404, 'not_found'],
    ['/elsewhere', {}, 404, 'not_found'],
  ] as const) {
    const { status: found, headers, text } = await new Xhr(`${edge.url}${path}`, init).end();
    assert.deepEqual([found, JSON.parse(text).code], [status, code], path);
    assert.equal(headers.get('content-type'), 'application/problem+json');
  }
});

test('a list of topics comes by POST', async (t) => {
  const edge = await startEdge(t);
  const init = {
    method: 'POST',
    body: '{"topic":["a","b/#"]}',
    headers: { 'content-type': 'application/json' },
  };
  const client = await open(edge, '', init);
  await edge.publish('b/c', 'x');
  await client.has('publication');
  client.close();
});

test('a slow reader is cut and resumes, others are not held up', async (t) => {
  const edge = await startEdge(t, {
    PUSHFLEET_EDGE_LONGPOLL_OUTBOX_COUNT: '50',
    PUSHFLEET_EDGE_LONGPOLL_RESPONSE_BYTES: '256MiB',
  });
  const slow = new RawClient(
    edge.port,
    head('GET /comet/stream?topic=t HTTP/1.1', { Authorization: authorization.authorization }),
  );
  await slow.has('"type":"open"');
  slow.socket.pause();
  const quick = await open(edge, 'topic=t');
  let sent = 0;
  while (edge.edge.size === 2 && sent < 500) {
    await edge.publish('t', `${sent++} ${'x'.repeat(100_000)}`);
    await until(() => quick.text.length > sent * 100_000, 'the quick one has it');
  }
  assert.equal(edge.edge.size, 1, `cut after ${sent}`);
  quick.close();
  slow.close();
});

test('curl reads it line by line', async (t) => {
  const edge = await startEdge(t);
  const url = `${edge.url}/comet/stream?topic=t`;
  const curl = spawn('curl', ['-sSN', '-H', `Authorization: ${authorization.authorization}`, url]);
  let text = '';
  curl.stdout.on('data', (chunk) => {
    text += chunk;
  });
  await until(() => text.includes('"open"'), 'curl is open');
  await edge.publish('t', 'for curl');
  await until(() => text.includes('"for curl"}}\n'), 'curl has it');
  curl.kill();
  await until(() => edge.edge.size === 0, 'it is forgotten');
});

test('HTTP/1.0 gets it without chunks, to the end of the connection', async (t) => {
  const edge = await startEdge(t);
  const auth = `Authorization: ${authorization.authorization}`;
  const client = new RawClient(edge.port, `GET /comet/stream?topic=t HTTP/1.0\r\n${auth}\r\n\r\n`);
  await client.has('"type":"open"');
  assert.match(client.head, /\r\nconnection: close\r\n/);
  assert.match(client.body, /^ {2048}\{"type":"open"/);
  client.close();
});
