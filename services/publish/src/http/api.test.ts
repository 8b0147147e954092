import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits, PushfleetError } from '@pushfleet/core';
import { createLog } from '@pushfleet/runtime';
import { core, startHttp, token } from '../testing.ts';

type Api = Awaited<ReturnType<typeof startHttp>>;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of many shapes
  readonly body: any;
}

async function send(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, { method: 'POST', ...init });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

const authorized = (headers: Record<string, string> = {}): Record<string, string> => ({
  authorization: `Bearer ${token()}`,
  ...headers,
});

/** Sends a target exactly as given, which fetch would normalise. */
async function raw(api: Api, options: RequestOptions, body?: string | Buffer): Promise<Answer> {
  const request = httpRequest({ host: '127.0.0.1', port: api.api.port, method: 'POST', ...options });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return {
    status: response.statusCode ?? 0,
    headers: new Headers(response.headers as never),
    body: await json(response),
  };
}

async function json(response: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of response) text += chunk;
  return text === '' ? undefined : JSON.parse(text);
}

const stored = (api: Api) =>
  api.backbone.log.shards.flatMap((shard) => shard.entries.map((entry) => entry.publication));

describe('POST /v1/topics/<topic>', () => {
  let api: Api;
  before(async () => {
    api = await startHttp();
  });
  after(() => api.stop());

  test('stores the body verbatim and answers once it is stored', async () => {
    const payload = Buffer.from([0, 1, 2, 0xff, 0x0d, 0x0a]);
    const before = Date.now();
    const { status, body } = await send(`${api.url}/v1/topics/orders/42`, {
      body: payload,
      headers: authorized({
        'content-type': 'application/x-thing; v=1',
        'idempotency-key': 'id-1',
        'pushfleet-type': 'order.made',
        'pushfleet-source': '/shop/%E2%82%AC',
        'pushfleet-retain': 'true',
        'pushfleet-ttl': '60',
        'pushfleet-attribute-Colour': 'gr%C3%BCn',
      }),
    });
    assert.equal(status, 201);
    assert.deepEqual(
      { ...body, cursor: typeof body.cursor },
      { id: 'id-1', topic: 'orders/42', cursor: 'string', duplicate: false },
    );
    const publication = stored(api).at(-1);
    assert.ok(publication?.expiresAt !== undefined);
    const arrived = publication.expiresAt - 60_000;
    assert.ok(arrived >= before && arrived <= publication.time);
    assert.deepEqual(Buffer.from(publication.payload), payload);
    const { contentType, type, source, retain, attributes } = publication;
    assert.deepEqual(
      { contentType, type, source, retain, attributes },
      {
        contentType: 'application/x-thing; v=1',
        type: 'order.made',
        source: '/shop/€',
        retain: true,
        attributes: [['colour', 'grün']],
      },
    );
  });

  test('fills in id, source and content type', async () => {
    const { status, body } = await raw(api, { path: '/v1/topics/plain', headers: authorized() }, 'x');
    assert.equal(status, 201);
    assert.match(body.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const publication = stored(api).at(-1);
    assert.equal(publication?.source, 'publisher');
    assert.equal(publication?.contentType, 'application/octet-stream');
    assert.equal('retain' in (publication ?? {}), false);
  });

  test('knows a retry by its id, quoted or not', async () => {
    const first = await send(`${api.url}/v1/topics/retry`, {
      body: 'a',
      headers: authorized({ 'idempotency-key': '"k-7"' }),
    });
    const again = await send(`${api.url}/v1/topics/retry`, {
      body: 'a',
      headers: authorized({ 'idempotency-key': 'k-7' }),
    });
    assert.deepEqual([first.status, again.status], [201, 201]);
    assert.deepEqual(again.body, { ...first.body, duplicate: true });
  });

  test('an empty body is a publication', async () => {
    const { status } = await send(`${api.url}/v1/topics/empty`, { headers: authorized() });
    assert.equal(status, 201);
  });

  const topics: readonly (readonly [target: string, topic: string])[] = [
    ['/v1/topics/a//b/', 'a//b/'],
    ['/v1/topics//a', '/a'],
    ['/v1/topics/a%2Fb', 'a/b'],
    ['/v1/topics/a%252Fb', 'a%2Fb'],
    ['/v1/topics/%E2%82%AC/%20', '€/ '],
    ['/v1/topics/a/./b/../c', 'a/./b/../c'],
    ['/v1/topics?topic=a/../b', 'a/../b'],
    ['/v1/topics?topic=%2E%2E', '..'],
    ['/v1/topics?x=1&topic=a+b%2Fc%2521', 'a b/c%21'],
    ['/v1/topics/a?', 'a'],
    ['http://somewhere/v1/topics/x//y', 'x//y'],
    ['/v1/topics/a%3Fb%25c', 'a?b%c'],
  ];
  for (const [path, topic] of topics) {
    test(`${path} names the topic ${topic}`, async () => {
      const { status, body } = await raw(api, { path, headers: authorized() }, 'x');
      assert.equal(status, 201);
      assert.equal(body.topic, topic);
    });
  }

  const long = 'x'.repeat(limits.topicBytes + 1);
  const refusals: readonly {
    readonly name: string;
    readonly path?: string;
    readonly method?: string;
    readonly headers?: Record<string, string | string[]>;
    readonly body?: string;
    readonly status: number;
    readonly code: string;
    readonly says: RegExp;
  }[] = [
    {
      name: 'a wildcard in the topic',
      path: '/v1/topics/a/+',
      status: 400,
      code: 'topic_invalid',
      says: /wildcard/,
    },
    {
      name: 'a "#" in the topic',
      path: '/v1/topics/a/%23',
      status: 400,
      code: 'topic_invalid',
      says: /wildcard/,
    },
    { name: 'NUL in the topic', path: '/v1/topics/a%00', status: 400, code: 'topic_invalid', says: /NUL/ },
    {
      name: 'a topic that is too long',
      path: `/v1/topics/${long}`,
      status: 400,
      code: 'topic_invalid',
      says: /1024 bytes.*1025/,
    },
    {
      name: 'an empty topic',
      path: '/v1/topics/',
      status: 400,
      code: 'topic_invalid',
      says: /at least one character/,
    },
    { name: 'no topic', path: '/v1/topics', status: 400, code: 'topic_invalid', says: /Name one topic/ },
    {
      name: 'two topics',
      path: '/v1/topics?topic=a&topic=b',
      status: 400,
      code: 'topic_invalid',
      says: /Name one topic/,
    },
    {
      name: 'a topic in both places',
      path: '/v1/topics/a?topic=b',
      status: 400,
      code: 'request_invalid',
      says: /not in both/,
    },
    { name: 'a broken escape', path: '/v1/topics/a%2', status: 400, code: 'topic_invalid', says: /%25/ },
    {
      name: 'a broken escape in the query',
      path: '/v1/topics?topic=a%zz',
      status: 400,
      code: 'topic_invalid',
      says: /%25/,
    },
    {
      name: 'bytes in the query that are not UTF-8',
      path: '/v1/topics?topic=a%ffb',
      status: 400,
      code: 'topic_invalid',
      says: /UTF-8/,
    },
    {
      name: 'bytes that are not UTF-8',
      path: '/v1/topics/a%ff',
      status: 400,
      code: 'topic_invalid',
      says: /UTF-8/,
    },
    {
      name: "the fleet's own topic",
      path: '/v1/topics/$sys/a',
      status: 403,
      code: 'forbidden',
      says: /fleet's own/,
    },
    {
      name: 'an id that is too long',
      headers: { 'idempotency-key': 'x'.repeat(257) },
      status: 400,
      code: 'id_invalid',
      says: /256/,
    },
    {
      name: 'an empty id',
      headers: { 'idempotency-key': '' },
      status: 400,
      code: 'id_invalid',
      says: /empty/,
    },
    {
      name: 'an id with a line break',
      headers: { 'idempotency-key': 'a%0Ab' },
      status: 400,
      code: 'id_invalid',
      says: /control/,
    },
    {
      name: 'two ids',
      headers: { 'idempotency-key': ['a', 'b'] },
      status: 400,
      code: 'request_invalid',
      says: /2 times/,
    },
    {
      name: 'a retain that is neither',
      headers: { 'pushfleet-retain': 'yes' },
      status: 400,
      code: 'request_invalid',
      says: /"yes"/,
    },
    {
      name: 'a time to live that is no number',
      headers: { 'pushfleet-ttl': '1.5' },
      status: 400,
      code: 'request_invalid',
      says: /"1.5"/,
    },
    {
      name: 'a time to live of 0',
      headers: { 'pushfleet-ttl': '0' },
      status: 400,
      code: 'attribute_invalid',
      says: /more than 0/,
    },
    {
      name: 'a header nobody reads',
      headers: { 'pushfleet-retained': 'true' },
      status: 400,
      code: 'request_invalid',
      says: /pushfleet-retain,/,
    },
    {
      name: 'attributes that are too large',
      headers: { 'pushfleet-attribute-a': 'x'.repeat(8_192) },
      status: 400,
      code: 'attribute_invalid',
      says: /8192/,
    },
    {
      name: 'an attribute without a name',
      headers: { 'pushfleet-attribute-': 'x' },
      status: 400,
      code: 'attribute_invalid',
      says: /no name/,
    },
    {
      name: 'a compressed body',
      headers: { 'content-encoding': 'gzip' },
      body: 'x',
      status: 415,
      code: 'unsupported_media_type',
      says: /gzip/,
    },
    {
      name: 'a payload too large by Content-Length',
      headers: { 'content-length': '2000000' },
      status: 413,
      code: 'payload_too_large',
      says: /2000000.*983040/,
    },
    {
      name: 'no token',
      headers: { authorization: '' },
      status: 401,
      code: 'unauthenticated',
      says: /Bearer/,
    },
    {
      name: 'a token that is none',
      headers: { authorization: 'Bearer x' },
      status: 401,
      code: 'unauthenticated',
      says: /./,
    },
    {
      name: 'an expired token',
      headers: { authorization: `Bearer ${token({ exp: 1_000_000 })}` },
      status: 401,
      code: 'token_expired',
      says: /expired/,
    },
    {
      name: 'a topic that is not granted',
      headers: { authorization: `Bearer ${token({ pushfleet: { publish: ['b/#'] } })}` },
      status: 403,
      code: 'forbidden',
      says: /publish/,
    },
    {
      name: 'another method',
      method: 'PUT',
      status: 405,
      code: 'method_not_allowed',
      says: /GET or HEAD or POST/,
    },
    { name: 'an unknown path', path: '/v1/topix', status: 404, code: 'not_found', says: /v1\/topix/ },
    { name: 'a path in other case', path: '/V1/publish', status: 404, code: 'not_found', says: /V1/ },
    { name: 'a slash too many', path: '/v1/publish/', status: 404, code: 'not_found', says: /publish/ },
  ];
  for (const {
    name,
    path = '/v1/topics/a',
    method = 'POST',
    headers = {},
    body,
    status,
    code,
    says,
  } of refusals) {
    test(`refuses ${name}`, async () => {
      const answer = await raw(api, { path, method, headers: { ...authorized(), ...headers } }, body);
      assert.equal(answer.status, status);
      assert.equal(answer.headers.get('content-type'), 'application/problem+json');
      assert.equal(answer.body.code, code);
      assert.equal(answer.body.status, status);
      assert.match(answer.body.detail, says);
    });
  }

  test('405 names the methods there are', async () => {
    const { headers } = await raw(api, { path: '/v1/publish', method: 'GET' });
    assert.equal(headers.get('allow'), 'POST, OPTIONS');
  });

  test('401 says how to authenticate', async () => {
    const { headers } = await raw(api, { path: '/v1/topics/a' });
    assert.match(headers.get('www-authenticate') ?? '', /^Bearer/);
  });

  test('pages of listed origins publish with a token of their own, others do not', async () => {
    const page = await startHttp({ corsOrigins: ['https://app.example'] });
    const asked = { path: '/v1/topics/a', method: 'OPTIONS' };
    const preflight = async (origin: string) => (await raw(page, { ...asked, headers: { origin } })).headers;
    const listed = await preflight('https://app.example');
    assert.equal(listed.get('access-control-allow-origin'), 'https://app.example');
    assert.equal(listed.get('access-control-allow-methods'), 'GET, POST, DELETE');
    assert.equal(listed.get('access-control-allow-headers'), 'Authorization, *');
    assert.equal(listed.get('access-control-allow-credentials'), null);
    assert.equal((await preflight('https://evil.example')).get('access-control-allow-origin'), null);
    const headers = { origin: 'https://app.example', ...authorized() };
    const answer = await raw(page, { path: '/v1/topics/a', method: 'POST', headers }, 'x');
    assert.deepEqual(
      [answer.status, answer.headers.get('access-control-allow-origin')],
      [201, 'https://app.example'],
    );
    await page.stop();
  });

  test('a cookie is no token here', async () => {
    const { body } = await raw(api, { path: '/v1/topics/a', headers: { cookie: `pushfleet=${token()}` } });
    assert.equal(body.code, 'unauthenticated');
  });
});

describe('bodies', () => {
  test('one that grows too large is refused before it ends, and the answer arrives', async (t) => {
    const api = await startHttp({ payloadBytes: 1_000 });
    t.after(() => api.stop());
    const request = httpRequest({
      port: api.api.port,
      method: 'POST',
      path: '/v1/topics/a',
      headers: authorized(),
    });
    request.on('error', () => {});
    request.write(Buffer.alloc(900));
    request.write(Buffer.alloc(900));
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 413);
    assert.equal(response.headers.connection, 'close');
    request.destroy();
  });

  test('a client that waits for 100 Continue is refused without sending', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    const request = httpRequest({
      port: api.api.port,
      method: 'POST',
      path: '/v1/topics/a',
      headers: authorized({ expect: '100-continue', 'content-length': '5000000' }),
    });
    request.on('error', () => {}).on('continue', () => assert.fail('the body was asked for'));
    request.flushHeaders();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 413);
    request.destroy();
  });

  test('a client that waits for 100 Continue is asked for a body that fits', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    const request = httpRequest({
      port: api.api.port,
      method: 'POST',
      path: '/v1/topics/a',
      headers: authorized({ expect: '100-continue', 'content-length': '3' }),
    });
    request.on('continue', () => request.end('abc'));
    request.flushHeaders();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 201);
    response.resume();
  });

  test('a slow one is given up on', async (t) => {
    const api = await startHttp({ bodyTimeoutMs: 50 });
    t.after(() => api.stop());
    const request = httpRequest({
      port: api.api.port,
      method: 'POST',
      path: '/v1/topics/a',
      headers: authorized({ 'content-length': '10' }),
    });
    request.on('error', () => {});
    request.write('x');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 400);
    assert.match(((await json(response)) as { detail: string }).detail, /within 0.05 s/);
    request.destroy();
  });

  test('bytes held are given back, whatever became of the request', async (t) => {
    const api = await startHttp({ payloadBytes: 1_000 });
    t.after(() => api.stop());
    await send(`${api.url}/v1/topics/a`, { body: 'x'.repeat(1_000), headers: authorized() });
    await send(`${api.url}/v1/topics/a`, { body: 'x'.repeat(1_001), headers: authorized() });
    const request = httpRequest({
      port: api.api.port,
      method: 'POST',
      path: '/v1/topics/a',
      headers: authorized({ 'content-length': '100' }),
    });
    request.on('error', () => {});
    request.write('x');
    while (api.budget.held === 0) await sleep(1);
    request.destroy();
    while (api.budget.held !== 0) await sleep(1);
  });

  test('nothing is held for a client that left while its token was checked', async (t) => {
    const grant = await core().tokens.check(token());
    const [asked, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const check = async () => {
      asked.resolve();
      await left.promise;
      return grant;
    };
    const logged: string[] = [];
    const destination = { write: (line: string) => void logged.push(line) };
    const api = await startHttp({ tokens: { check }, log: createLog({ name: 'test', destination }) });
    t.after(() => api.stop());
    const headers = authorized({ 'content-length': '100' });
    const request = httpRequest({ port: api.api.port, method: 'POST', path: '/v1/topics/a', headers });
    request.on('error', () => {});
    request.write('x');
    await asked.promise;
    request.destroy();
    await api.api.drain(AbortSignal.timeout(10_000));
    left.resolve();
    await sleep(10);
    assert.equal(api.budget.held, 0);
    assert.deepEqual(
      logged.filter((line) => !line.includes('"listening"')),
      [],
    );
  });

  test('more of them than there is room for get 503', async (t) => {
    const api = await startHttp({ pendingBytes: 100 });
    t.after(() => api.stop());
    const { status, headers } = await send(`${api.url}/v1/topics/a`, {
      body: 'x'.repeat(101),
      headers: authorized(),
    });
    assert.equal(status, 503);
    assert.equal(headers.get('retry-after'), '1');
    assert.equal(api.budget.held, 0);
  });
});

describe('POST /v1/publish', () => {
  let api: Api;
  before(async () => {
    api = await startHttp();
  });
  after(() => api.stop());

  const batch = (body: string, headers: Record<string, string> = {}) =>
    send(`${api.url}/v1/publish`, {
      body,
      headers: authorized({ 'content-type': 'application/json', ...headers }),
    });

  test('answers each draft by itself, in order', async () => {
    const { status, body } = await batch(
      JSON.stringify([
        { topic: 'a/1', id: 'one', payload: { n: 1 } },
        { topic: 'a/+' },
        { topic: 'a/2', contentType: 'text/plain', payload: 'text' },
        {
          topic: 'a/3',
          payloadBase64: 'AP8=',
          attributes: [
            ['x', '1'],
            ['x', '2'],
          ],
        },
        'no object',
      ]),
    );
    assert.equal(status, 200);
    assert.deepEqual(
      body.map((result: { status: number }) => result.status),
      [201, 400, 201, 201, 400],
    );
    assert.equal(body[0].id, 'one');
    assert.equal(body[1].code, 'topic_invalid');
    assert.equal(body[4].code, 'request_invalid');
    const [one, two, three] = stored(api).slice(-3);
    assert.deepEqual(
      [one?.contentType, Buffer.from(one?.payload ?? []).toString()],
      ['application/json', '{"n":1}'],
    );
    assert.deepEqual([two?.contentType, Buffer.from(two?.payload ?? []).toString()], ['text/plain', 'text']);
    assert.deepEqual(
      [three?.contentType, [...(three?.payload ?? [])]],
      ['application/octet-stream', [0, 255]],
    );
    assert.deepEqual(three?.attributes, [
      ['x', '1'],
      ['x', '2'],
    ]);
  });

  const drafts: readonly (readonly [draft: string, says: RegExp])[] = [
    ['{}', /no "topic"/],
    ['{"topic": 1}', /"topic" of a draft is a string, not number/],
    ['{"topic": "a", "id": null}', /null/],
    ['{"topic": "a", "payload": 1, "payloadBase64": ""}', /not both/],
    ['{"topic": "a", "payloadBase64": "AA"}', /base64/],
    ['{"topic": "a", "payloadBase64": "A A="}', /base64/],
    ['{"topic": "a", "contentType": "text/plain", "payload": {}}', /is a string/],
    ['{"topic": "a", "data": 1}', /no field "data"/],
    ['{"topic": "a", "attributes": {"x": 1}}', /"attributes"/],
    ['{"topic": "a", "ttl": -1}', /more than 0/],
    ['{"topic": "a", "ttl": 1e300}', /time to live/],
    ['{"topic": "$sys/a"}', /fleet's own/],
    ['{"topic": "a", "id": "\\ud800"}', /not valid Unicode/],
    ['[]', /JSON object/],
  ];
  for (const [draft, says] of drafts) {
    test(`refuses ${draft.slice(0, 60)}`, async () => {
      const { status, body } = await batch(`[${draft}]`);
      assert.equal(status, 200);
      assert.notEqual(body[0].status, 201);
      assert.match(body[0].detail, says);
    });
  }

  test('keeps JSON as it is written', async () => {
    const nested = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const payloads = ['{"n": 12345678901234567890.10, "n":1}', '1e400', '"\\u00e9]}"', 'null', nested];
    const drafts = payloads.map((payload) => `{"payload" : 0, "topic":"a", "payload" : ${payload} }`);
    const { body } = await batch(` [${drafts.join(' , ')}] `);
    assert.ok(body.every((result: { status: number }) => result.status === 201));
    const kept = stored(api).slice(-payloads.length);
    assert.deepEqual(
      kept.map(({ payload }) => Buffer.from(payload).toString()),
      payloads,
    );
  });

  test('takes as many drafts as a batch may have', async () => {
    const { body } = await batch(
      JSON.stringify(Array.from({ length: limits.batchDrafts }, () => ({ topic: 'a' }))),
    );
    assert.equal(body.length, limits.batchDrafts);
    assert.ok(body.every(({ status }: { status: number }) => status === 201));
  });

  const bodies: readonly (readonly [body: string, code: string, headers?: Record<string, string>])[] = [
    ['[]', 'request_invalid'],
    ['{}', 'request_invalid'],
    ['[', 'request_invalid'],
    ['', 'request_invalid'],
    [
      JSON.stringify(Array.from({ length: limits.batchDrafts + 1 }, () => ({ topic: 'a' }))),
      'request_invalid',
    ],
    ['[{"topic": "a"}]', 'unsupported_media_type', { 'content-type': 'text/plain' }],
    ['[{"topic": "a"}]', 'unsupported_media_type', { 'content-type': 'application/json; charset=utf-16' }],
    [' '.repeat(4 * 1_048_576 + 1), 'payload_too_large'],
  ];
  for (const [body, code, headers] of bodies) {
    test(`refuses the body ${body.slice(0, 30)} with ${code}`, async () => {
      const answer = await batch(body, headers);
      assert.equal(answer.body.code, code);
      assert.equal(answer.status, answer.body.status);
    });
  }
});

describe('refusals of the log', () => {
  const cases = [
    { code: 'unavailable', status: 503 },
    { code: 'storage_full', status: 507 },
  ] as const;
  for (const { code, status } of cases) {
    test(`${code} is ${status}, with Retry-After, and nothing is stored`, async (t) => {
      const api = await startHttp();
      t.after(() => api.stop());
      api.backbone.log.refusal = new PushfleetError(code, 'refused', { retryAfterMs: 2_500 });
      const answer = await send(`${api.url}/v1/topics/a`, { body: 'x', headers: authorized() });
      assert.equal(answer.status, status);
      assert.equal(answer.body.code, code);
      assert.equal(answer.headers.get('retry-after'), '3');
      assert.deepEqual(stored(api), []);
    });
  }

  test('a subject over its rate gets 429, others do not', async (t) => {
    const api = await startHttp({ ratePerSecond: 0.001, rateBurst: 2 });
    t.after(() => api.stop());
    const publish = (headers: Record<string, string>) =>
      send(`${api.url}/v1/topics/a`, { body: 'x', headers });
    assert.equal((await publish(authorized())).status, 201);
    assert.equal((await publish(authorized())).status, 201);
    const third = await publish(authorized());
    assert.equal(third.status, 429);
    assert.ok(Number(third.headers.get('retry-after')) >= 1);
    assert.equal((await publish({ authorization: `Bearer ${token({ sub: 'other' })}` })).status, 201);
  });
});

describe('discovery', () => {
  test('names what works', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    const fleet = await send(`${api.url}/.well-known/pushfleet`, { method: 'GET' });
    assert.equal(fleet.status, 200);
    assert.deepEqual(fleet.body.channels, [
      { protocol: 'sse', url: '/sse{?topic*}' },
      { protocol: 'websocket', url: '/ws' },
      { protocol: 'long-polling', url: '/poll{?topic*}' },
      { protocol: 'comet-stream', url: '/comet/stream{?topic*}' },
      { protocol: 'comet-frame', url: '/comet/frame{?topic*}' },
      { protocol: 'bayeux', url: '/bayeux' },
      { protocol: 'mqtt', url: '/mqtt' },
    ]);
    const topic = await send(`${api.url}/v1/topics/a//b%20c`, { method: 'GET' });
    assert.equal(topic.headers.get('link'), '</v1/topics?topic=a%2F%2Fb%20c>; rel="self"');
    const { channels } = topic.body;
    assert.deepEqual(channels[0], { protocol: 'sse', url: '/sse?topic=a%2F%2Fb%20c' });
    assert.deepEqual(channels[1], { protocol: 'websocket', url: '/ws' });
    const head = await fetch(`${api.url}/v1/topics/a`, { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal((await send(`${api.url}/v1/topics/a+`, { method: 'GET' })).body.code, 'topic_invalid');
  });
});

describe('drain', () => {
  test('finishes what was accepted and refuses what is new', async (t) => {
    const api = await startHttp();
    t.after(() => api.stop());
    const request = httpRequest({
      port: api.api.port,
      method: 'POST',
      path: '/v1/topics/a',
      headers: authorized({ 'content-length': '2' }),
    });
    request.write('x');
    while (api.budget.held === 0) await sleep(1);
    const drained = api.api.drain(new AbortController().signal);
    const refused = await send(`${api.url}/v1/topics/a`, { body: 'x', headers: authorized() });
    assert.equal(refused.status, 503);
    assert.equal(refused.body.code, 'draining');
    request.end('y');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 201);
    assert.equal(response.headers.connection, 'close');
    response.resume();
    await drained;
    assert.equal(stored(api).length, 1);
  });
});

describe('what is no HTTP', () => {
  for (const [name, text] of [
    ['noise', '\x00\x01\x02\r\n\r\n'],
    ['a request line too much', 'POST /v1/topics/a b HTTP/1.1\r\n\r\n'],
    ['headers too large', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`],
  ] as const) {
    test(`${name} gets a problem document`, async (t) => {
      const api = await startHttp();
      t.after(() => api.stop());
      const socket = connect(api.api.port, '127.0.0.1');
      socket.write(text);
      let answer = '';
      for await (const chunk of socket) answer += chunk;
      assert.match(
        answer,
        /^HTTP\/1\.1 400 [\s\S]*content-type: application\/problem\+json[\s\S]*request_invalid/,
      );
    });
  }
});
