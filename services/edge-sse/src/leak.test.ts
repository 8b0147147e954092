import { test } from 'node:test';
import { assertLeavesNothing, head, RawClient, token, untilNobody } from '@pushfleet/edge/testing';
import fc from 'fast-check';
import { startEdge, type TestEdge } from './testing.ts';

const headers = { Authorization: `Bearer ${token()}` };

/** Connects with a filter of its own and goes away at one of the moments a client may go. */
async function comeAndGo(edge: TestEdge, number: number): Promise<void> {
  const client = new RawClient(
    edge.port,
    number % 2 === 0
      ? head(`GET /sse?topic=come/${number}&topic=go/%23 HTTP/1.1`, headers)
      : `${head('POST /sse HTTP/1.1', { ...headers, 'Content-Type': 'application/json', 'Content-Length': '16' })}{"topic":"go/#"}`,
  );
  if (number % 5 > 0) await client.has('HTTP/1.1 200');
  if (number % 5 > 1) await client.has('pushfleet.open');
  if (number % 5 > 3) client.socket.resetAndDestroy();
  else client.close();
}

test('thousands who come and go leave neither interest nor memory behind', async (t) => {
  const edge = await startEdge(t);
  await assertLeavesNothing(edge, (numbers) => Promise.all(numbers.map((n) => comeAndGo(edge, n))));
});

test('noise on the socket neither stops the edge nor leaves a stream', async (t) => {
  const edge = await startEdge(t);
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(
      ...[
        'GET ',
        'POST ',
        'QUERY ',
        'OPTIONS ',
        '/sse',
        '?topic=',
        '%',
        '+',
        '&ticket=',
        ' HTTP/1.1',
        '\r\n',
        '\r\n\r\n',
      ],
      ...[
        'Host: x',
        'Content-Length: 3',
        'Transfer-Encoding: chunked',
        'Upgrade: h2c',
        'Connection: upgrade',
        '0\r\n\r\n',
      ],
      `Authorization: ${headers.Authorization}`,
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
      const client = new RawClient(edge.port, `GET /sse?topic=a HTTP/1.1\r\n${pieces.join('')}`);
      client.socket.end();
      await client.end();
    }),
    { numRuns: 500 },
  );
  const client = new RawClient(edge.port, head('GET /sse?topic=a HTTP/1.1', headers));
  await client.has('pushfleet.open');
  client.close();
  await untilNobody(edge);
});
