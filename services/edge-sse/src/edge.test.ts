import assert from 'node:assert/strict';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { limits } from '@pushfleet/core';
import { head, RawClient, token } from '@pushfleet/edge/testing';
import { startEdge, type TestEdge } from './testing.ts';

const auth = { Authorization: `Bearer ${token()}`, Accept: 'text/event-stream' };
const get = (query: string, headers: Record<string, string> = auth): string =>
  head(`GET /sse?${query} HTTP/1.1`, headers);
const withBody = (method: string, type: string, body: string, query = ''): string =>
  head(`${method} /sse${query} HTTP/1.1`, {
    ...auth,
    'Content-Type': type,
    'Content-Length': String(Buffer.byteLength(body)),
  }) + body;

suite('the SSE edge over raw HTTP', () => {
  let edge: TestEdge;
  let stop: () => Promise<void>;
  after(() => stop());
  before(async () => {
    const keep = (given: () => Promise<void>): void => {
      stop = given;
    };
    edge = await startEdge({ after: keep }, { PUSHFLEET_CORS_ORIGINS: 'https://app.example' });
  });
  const ask = (request: string): RawClient => new RawClient(edge.port, request);
  const live = (request: string): Promise<RawClient> => ask(request).has('event: pushfleet.open');

  test('a stream begins at once with headers that keep every proxy from holding it back', async () => {
    const client = await ask(get('topic=begin')).has(': pushfleet\nretry: ');
    assert.equal(client.status, 200);
    for (const line of [
      'content-type: text/event-stream\r\n',
      'cache-control: no-store, no-transform\r\n',
      'x-accel-buffering: no\r\n',
      'x-content-type-options: nosniff\r\n',
      'cross-origin-resource-policy: same-origin\r\n',
      'transfer-encoding: chunked\r\n',
      'vary: origin\r\n',
      'access-control-expose-headers: pushfleet-connection\r\n',
    ]) {
      assert.ok(client.head.includes(line), line);
    }
    assert.doesNotMatch(client.head, /\r\ncontent-length:/);
    assert.match(client.head, /\r\nconnection: close\r\n/);
    client.close();
  });

  test('two streams of one token have ids that begin alike', async () => {
    const clients = await Promise.all([live(get('topic=named')), live(get('topic=named'))]);
    const [one, two] = clients.map(
      ({ received }) => /\r\npushfleet-connection: ([\w-]{16})\.([\w-]{8})\r\n/.exec(received) ?? [],
    );
    assert.ok(one?.[1] !== undefined && one[1] === two?.[1]);
    assert.notEqual(one[2], two[2]);
    for (const client of clients) client.close();
  });

  test('a publication is one chunk', async () => {
    const client = await live(get('topic=one'));
    const { cursor } = await edge.publish('one', 'hällo');
    const text = `id: ${cursor}\ndata: hällo\n\n`;
    await client.has('llo\n\n\r\n');
    const chunk = `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
    assert.ok(Buffer.from(client.received, 'latin1').includes(chunk), client.received);
    client.close();
  });

  test('a scrape shows the streams and what the hubs hold', async (t) => {
    const other = await startEdge(t);
    const client = new RawClient(other.port, get('topic=a&topic=b/%2B'));
    await client.has('event: pushfleet.open');
    const server = createServer((request, response) => other.metrics.handle(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const text = await (await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)).text();
    for (const line of ['pushfleet_edge_streams 1', 'pushfleet_hub_feeds 1', 'pushfleet_hub_filters 2']) {
      assert.ok(text.includes(`\n${line}\n`), `${line} in:\n${text}`);
    }
    client.close();
  });

  test('HTTP/1.0 gets the stream without chunks, to the end of the connection', async () => {
    const client = await live(`GET /sse?topic=old HTTP/1.0\r\nAuthorization: ${auth.Authorization}\r\n\r\n`);
    await edge.publish('old', 'x');
    await client.has('\ndata: x\n\n');
    assert.match(client.head, /\r\nconnection: close\r\n/);
    assert.doesNotMatch(client.head, /transfer-encoding/);
    assert.match(client.body, /^: pushfleet\nretry: \d+\n\nid: /);
    client.close();
  });

  test('Connection: close is granted', async () => {
    const client = await live(get('topic=c', { ...auth, Connection: 'close' }));
    assert.match(client.head, /\r\nconnection: close\r\n/);
    assert.match(client.head, /\r\ntransfer-encoding: chunked\r\n/);
    client.close();
  });

  test('an offer to upgrade is passed over', async () => {
    const offer = {
      ...auth,
      Connection: 'Upgrade, HTTP2-Settings',
      Upgrade: 'h2c',
      'HTTP2-Settings': 'AAMAAABk',
    };
    const client = await live(get('topic=c', offer));
    assert.equal(client.status, 200);
    client.close();
  });

  const bodies: readonly [string, string, string][] = [
    ['POST', 'application/json', '{"topic": ["body/+", "other"]}'],
    ['POST', 'application/x-www-form-urlencoded', 'topic=body/+&topic=other'],
    ['QUERY', 'application/json', '{"topic": "body/#"}'],
  ];
  for (const [method, type, body] of bodies) {
    test(`${method} takes topics as ${type}`, async () => {
      const client = await live(withBody(method, type, body, '?format=cloudevents'));
      await edge.publish('body/1', 'x');
      await client.has('"subject":"body/1"');
      client.close();
    });
  }

  test('a long list of topics goes into a body', async () => {
    const topics = Array.from({ length: 100 }, (_, i) => `${'x'.repeat(1_000)}/${i}`);
    const client = await live(withBody('POST', 'application/json', JSON.stringify({ topic: topics })));
    await edge.publish(topics[99] as string, 'last');
    await client.has('data: last');
    client.close();
  });

  test('a body that comes in pieces', async () => {
    const body = '{"topic":["pieces"]}';
    const client = ask(
      head('POST /sse HTTP/1.1', {
        ...auth,
        'Content-Type': 'application/json',
        'Transfer-Encoding': 'chunked',
      }),
    );
    for (const piece of body) client.socket.write(`1\r\n${piece}\r\n`);
    client.socket.write('0\r\n\r\n');
    await client.has('event: pushfleet.open');
    client.close();
  });

  test('HEAD shows the headers of a stream and spends nothing', async () => {
    const ticket = edge.registry.ticket(token());
    const client = await ask(
      head(`HEAD /sse?topic=a&ticket=${ticket} HTTP/1.1`, { Connection: 'close' }),
    ).end();
    assert.equal(client.status, 200);
    assert.match(client.head, /content-type: text\/event-stream\r\n/);
    assert.equal(client.body, '');
    assert.equal(await edge.registry.redeemTicket(ticket).then(() => 'unspent'), 'unspent');
  });

  test('a preflight of a listed origin is granted, one of another is not', async () => {
    const preflight = (origin: string): Promise<RawClient> =>
      ask(
        head('OPTIONS /sse HTTP/1.1', {
          Origin: origin,
          'Access-Control-Request-Method': 'GET',
          'Access-Control-Request-Headers': 'authorization',
          Connection: 'close',
        }),
      ).end();
    const listed = await preflight('https://app.example');
    assert.equal(listed.status, 204);
    assert.match(listed.head, /access-control-allow-origin: https:\/\/app\.example\r\n/);
    assert.match(listed.head, /access-control-allow-credentials: true\r\n/);
    assert.match(listed.head, /access-control-allow-headers: .*authorization/);
    assert.doesNotMatch((await preflight('https://evil.example')).head, /access-control/);
  });

  test('streams and refusals carry the CORS headers of a listed origin', async () => {
    const origin = { Origin: 'https://app.example' };
    const stream = await live(get('topic=cors', { ...auth, ...origin }));
    const refusal = await ask(get('topic=cors', origin)).end();
    assert.equal(refusal.status, 401);
    for (const { head } of [stream, refusal]) {
      assert.match(head, /access-control-allow-origin: https:\/\/app\.example\r\n/);
      assert.match(head, /access-control-allow-credentials: true\r\n/);
    }
    stream.close();
  });

  test('a second request behind a stream on the same connection ends the connection', async () => {
    const pair = await ask(get('topic=a') + get('topic=b')).end();
    assert.doesNotMatch(pair.received, /pushfleet\.open.*pushfleet\.open/s);
    const posted = await live(withBody('POST', 'application/json', '{"topic":"a"}'));
    posted.socket.write(get('topic=b'));
    await posted.end();
  });

  test('a client that only closes its half has gone', async () => {
    const before = edge.edge.size;
    for (const request of [get('topic=half'), withBody('POST', 'application/json', '{"topic":"half"}')]) {
      const client = await live(request);
      client.socket.end();
      await client.end();
    }
    await until(() => edge.edge.size === before, 'both streams are forgotten');
  });

  const subscribeA = { Authorization: `Bearer ${token({ pushfleet: { subscribe: ['a/#'] } })}` };
  const bad: readonly [string, number, string, string][] = [
    ['no topic', 400, 'request_invalid', get('')],
    ['a bad filter', 400, 'filter_invalid', get('topic=a/%23/b')],
    ['a bad escape', 400, 'request_invalid', get('topic=%e4')],
    ['a bad cursor', 400, 'cursor_invalid', get('topic=a&last_event_id=nope')],
    ['a bad Last-Event-ID', 400, 'cursor_invalid', get('topic=a', { ...auth, 'Last-Event-ID': 'nope' })],
    ['a bad format', 400, 'request_invalid', get('topic=a&format=xml')],
    [
      'too many filters',
      400,
      'too_many_filters',
      get(Array.from({ length: limits.feedFilters + 1 }, (_, i) => `topic=${i}`).join('&')),
    ],
    ['too long a target', 400, 'request_invalid', get(`topic=${'a'.repeat(9_000)}`)],
    ['no token', 401, 'unauthenticated', get('topic=a', {})],
    ['a wrong scheme', 401, 'unauthenticated', get('topic=a', { Authorization: 'Basic YTpi' })],
    ['a forged token', 401, 'unauthenticated', get('topic=a', { Authorization: `Bearer ${token()}x` })],
    [
      'an expired token',
      401,
      'token_expired',
      get('topic=a', { Authorization: `Bearer ${token({ exp: 1 })}` }),
    ],
    ['an unknown ticket', 401, 'unauthenticated', get('topic=a&ticket=nope', {})],
    ['a topic that is not granted', 403, 'forbidden', get('topic=b', subscribeA)],
    ['a filter wider than the grant', 403, 'forbidden', get('topic=a/1&topic=%23', subscribeA)],
    [
      'a cookie from another site',
      403,
      'forbidden',
      get('topic=a', { Cookie: `pushfleet=${token()}`, Origin: 'https://evil.example' }),
    ],
    ['another path', 404, 'not_found', head('GET /sses?topic=a HTTP/1.1', { ...auth, Connection: 'close' })],
    [
      'another method',
      405,
      'method_not_allowed',
      head('DELETE /sse HTTP/1.1', { ...auth, Connection: 'close' }),
    ],
    ['a large body', 413, 'payload_too_large', withBody('POST', 'application/json', ' '.repeat(300_000))],
    ['a body of another type', 415, 'unsupported_media_type', withBody('POST', 'text/plain', 'topic=a')],
    ['a body that is no JSON', 400, 'request_invalid', withBody('POST', 'application/json', '{')],
  ];
  for (const [what, status, code, request] of bad) {
    test(`${what} is ${status} ${code}`, async () => {
      const client = await ask(request).end();
      assert.equal(client.status, status, client.received);
      assert.match(client.head, /content-type: application\/problem\+json\r\n/);
      const problem = JSON.parse(client.body);
      assert.equal(problem.code, code);
      assert.equal(problem.status, status);
      if (status === 401) assert.match(client.head, /www-authenticate: bearer/);
      if (status === 405) assert.match(client.head, /allow: get, head, post, query, options\r\n/);
    });
  }

  const noHttp: readonly [string, number, string][] = [
    ['a head that is too large', 431, get('topic=a', { ...auth, 'X-Large': 'x'.repeat(30_000) })],
    ['no HTTP', 400, 'hello\r\n\r\n'],
    ['a header with a bare CR', 400, 'GET /sse HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n'],
    ['two lengths', 400, 'POST /sse HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['no Host', 400, 'GET /sse?topic=a HTTP/1.1\r\n\r\n'],
  ];
  for (const [what, status, request] of noHttp) {
    test(`${what} is ${status}`, async () => {
      assert.equal((await ask(request).end()).status, status);
    });
  }

  test('no secret comes back in a refusal', async () => {
    const secret = token({ exp: 1 });
    const client = await ask(get(`topic=a&ticket=${secret}`, { Authorization: `Bearer ${secret}` })).end();
    assert.ok(!client.received.includes(secret));
  });

  test('node:http reads a stream', async () => {
    const body = await new Promise<string>((resolve, reject) => {
      const client = httpRequest(`${edge.url}?topic=node`, { headers: auth }, (response) => {
        response.once('data', (chunk) => {
          resolve(String(chunk));
          client.destroy();
        });
      });
      client.on('error', reject);
      client.end();
    });
    assert.match(body, /^: pushfleet\n/);
  });
});
