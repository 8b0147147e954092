import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '@pushfleet/contract';
import { assertLeavesNothing, head, heapGrowth, RawClient, untilNobody } from '@pushfleet/edge/testing';
import fc from 'fast-check';
import { startEdge, type TestEdge } from './testing.ts';
import { authorization, begin } from './testing-client.ts';

const headers = { Authorization: authorization.authorization };
const ways = ['/poll', '/comet/stream', '/comet/frame'];

/** Asks by one of the ways and goes at one of the moments at which a client may go. */
async function comeAndGo(edge: TestEdge, number: number, after: string): Promise<void> {
  const path = ways[number % ways.length] as string;
  const query = `?topic=come/${number}&topic=go/%23&after=${after}`;
  const client = new RawClient(
    edge.port,
    number % 2 === 0
      ? head(`GET ${path}${query} HTTP/1.1`, headers)
      : `${head(`POST ${path}${query} HTTP/1.1`, { ...headers, 'Content-Type': 'application/json', 'Content-Length': '2' })}{}`,
  );
  if (number % 5 > 0 && path !== '/poll') await client.has('open');
  if (number % 5 > 1) await new Promise((resolve) => setImmediate(resolve));
  if (number % 5 > 3) client.socket.resetAndDestroy();
  else if (number % 5 > 2) client.socket.end();
  else client.close();
}

test('thousands who come and go leave neither interest nor memory behind', async (t) => {
  const edge = await startEdge(t);
  await assertLeavesNothing(edge, async (numbers) => {
    const after = (await begin(edge.url, '?topic=go/%23')).slice(1, -1);
    await Promise.all(numbers.map((n) => comeAndGo(edge, n, after)));
  });
});

test('thousands of polls of one client leave nothing behind', async (t) => {
  const edge = await startEdge(t);
  const after = (await begin(edge.url, '?topic=t')).slice(1, -1);
  const pollOften = async (count: number): Promise<void> => {
    const line = head(`GET /poll?topic=t&wait=0&after=${after} HTTP/1.1`, headers);
    const client = new RawClient(edge.port, '');
    for (let i = 1; i <= count; i++) {
      client.socket.write(line);
      await until(() => client.received.includes('\r\n\r\n'), 'an answer');
      client.received = '';
    }
    client.close();
    await untilNobody(edge);
  };
  await pollOften(500);
  const grown = await heapGrowth(() => pollOften(1_000));
  assert.ok(grown < 1_000_000, `${grown} bytes more after 1,000 polls`);
});

test('noise on the socket neither stops the edge nor leaves anything', async (t) => {
  const edge = await startEdge(t);
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(
      ...['GET ', 'POST ', 'OPTIONS ', 'HEAD ', ...ways, '?topic=', '%', '+', '&after=', '&wait=', '&count='],
      ...[' HTTP/1.1', '\r\n', '\r\n\r\n', 'Host: x', 'Content-Length: 3', 'Transfer-Encoding: chunked'],
      ...['If-None-Match: ', '"', ', ', 'W/"', 'Prefer: wait=', 'Upgrade: websocket', 'Connection: upgrade'],
      ...['0\r\n\r\n', 'Content-Type: application/json', '{"topic":', '"wait":1e999', '9'],
      `Authorization: ${headers.Authorization}`,
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...ways), fc.array(piece, { maxLength: 12 }), async (path, pieces) => {
      const client = new RawClient(edge.port, `GET ${path}?topic=a HTTP/1.1\r\n${pieces.join('')}`);
      client.socket.end();
      await client.end();
    }),
    { numRuns: 600 },
  );
  await begin(edge.url, '?topic=a');
  await untilNobody(edge);
});

test('any request that HTTP can carry is answered, and never by an error of ours', async (t) => {
  const edge = await startEdge(t);
  const name = fc.constantFrom('topic', 'after', 'wait', 'count', 'retained', 'ticket', 'x');
  const value = fc.oneof(
    fc.string(),
    fc.constantFrom('a/#', '0', '1', '-1', 'true', 'g-1-1', 'm1-zzzzzzzzzzz-1', '1e9'),
    fc.integer().map(String),
  );
  const header = fc.oneof(
    fc.constantFrom('*', '"m1-1-1"', 'W/"g-2-1"', '"', '"a", "b"', 'wait=0', 'wait=x', 'wait="0"'),
    fc.stringMatching(/^[!-~]{0,20}$/),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...ways),
      fc.array(fc.tuple(name, value), { maxLength: 5 }),
      ...[header, header, fc.boolean()],
      async (path, parameters, tag, prefer, inBody) => {
        const brief: [string, string][] = path === '/poll' ? [['wait', '0']] : [];
        const form = new URLSearchParams([...parameters, ['topic', 'b'], ...brief]).toString();
        const abort = new AbortController();
        const response = await fetch(`${edge.url}${path}${inBody ? '' : `?${form}`}`, {
          method: inBody ? 'POST' : 'GET',
          headers: {
            ...authorization,
            'if-none-match': tag,
            prefer,
            ...(inBody && { 'content-type': 'application/x-www-form-urlencoded' }),
          },
          ...(inBody && { body: form }),
          signal: abort.signal,
        });
        assert.ok([200, 204, 400, 401, 403].includes(response.status), `${response.status}`);
        abort.abort();
      },
    ),
    { numRuns: 300 },
  );
  await untilNobody(edge);
});
