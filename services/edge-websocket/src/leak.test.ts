import { test } from 'node:test';
import { until } from '@pushfleet/contract';
import { assertLeavesNothing, untilNobody } from '@pushfleet/edge/testing';
import fc from 'fast-check';
import { startEdge, type TestEdge, token } from './testing.ts';
import { binaryMessage, clientFrame, RawSocket } from './testing-client.ts';

const headers = { Authorization: `Bearer ${token()}` };
const say = (message: object): Buffer => clientFrame(0x81, JSON.stringify(message));

/** Connects with filters of its own and goes away at one of the moments a client may go. */
async function comeAndGo(edge: TestEdge, number: number): Promise<void> {
  const moment = number % 6;
  const client = new RawSocket(edge.port, number % 2 === 0 ? headers : {});
  if (moment > 0) await client.has('101 Switching');
  if (number % 2 === 1) client.write(say({ type: 'auth', token: token() }));
  if (moment > 1) await client.has('"welcome"');
  client.write(say({ type: 'subscribe', id: 1, filters: [`come/${number}`, 'go/#'] }));
  if (moment > 2) await client.has('"subscribed"');
  if (moment > 3) client.write(clientFrame(0x01, '{"type":'));
  if (moment > 4) client.socket.resetAndDestroy();
  else if (moment > 3) client.write(clientFrame(0x88, ''));
  else client.close();
  if (moment === 4) await client.closing();
  client.close();
}

test('thousands who come and go leave neither interest nor memory behind', async (t) => {
  const edge = await startEdge(t);
  await assertLeavesNothing(edge, async (numbers) => {
    edge.presence.partings.length = 0;
    await Promise.all(numbers.map((n) => comeAndGo(edge, n)));
  });
});

const json = fc.record(
  {
    type: fc.constantFrom('auth', 'subscribe', 'unsubscribe', 'publish', 'presence', 'ping', 'nonsense'),
    id: fc.oneof(fc.integer(), fc.string({ maxLength: 5 }), fc.constant(null)),
    filters: fc.oneof(
      fc.array(fc.constantFrom('a', '#', '+/b', 'a/#/b', ''), { maxLength: 3 }),
      fc.jsonValue(),
    ),
    topic: fc.oneof(fc.constantFrom('a', 'b/c', '$x', '#', ''), fc.jsonValue()),
    ...{
      data: fc.jsonValue(),
      text: fc.string(),
      token: fc.string(),
      action: fc.constantFrom('enter', 'list', 'x'),
    },
    ...{ after: fc.string(), retained: fc.boolean(), retain: fc.boolean(), attributes: fc.jsonValue() },
  },
  { requiredKeys: ['type'] },
);
const piece = fc.oneof(
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 200 }))
    .map(([first, bytes]) => clientFrame(first, bytes)),
  json.map(say),
  fc.tuple(json, fc.uint8Array()).map(([header, bytes]) => clientFrame(0x82, binaryMessage(header, bytes))),
  fc.constantFrom(
    clientFrame(0x89, 'ping'),
    clientFrame(0x8a, ''),
    clientFrame(0x88, ''),
    clientFrame(0x01, '{'),
  ),
);

test('noise on the socket neither stops the edge nor leaves a connection', async (t) => {
  const edge = await startEdge(t);
  const extensions = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 8 }),
      fc.boolean(),
      fc.boolean(),
      async (pieces, known, deflate) => {
        const client = new RawSocket(edge.port, { ...(known && headers), ...(deflate && extensions) });
        client.write(...pieces);
        client.socket.end();
        await until(() => client.ended, `the end of ${client.received.toString('latin1')}`);
      },
    ),
    { numRuns: 500 },
  );
  const client = await RawSocket.open(edge.port);
  client.write(say({ type: 'subscribe', id: 1, filters: ['a'] }));
  await client.has('subscribed');
  client.close();
  await untilNobody(edge);
});
