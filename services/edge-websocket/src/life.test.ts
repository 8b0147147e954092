import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { formatCursor, PushfleetError, parseCursor } from '@pushfleet/core';

import { startEdge, type TestEdge, token } from './testing.ts';
import { Client, clientFrame, RawSocket, type Said } from './testing-client.ts';

async function live(t: TestContext, edge: TestEdge, claims: object = {}, filters = ['t']): Promise<Client> {
  const client = await Client.open(edge, claims);
  t.after(() => client.close());
  await client.subscribe(filters);
  return client;
}

const seconds = (): number => Math.floor(Date.now() / 1_000);
const closing = (client: Client) => {
  const [said] = client.of('closing');
  const { code, reconnect, retryMs } = said as Said;
  return { code, reconnect, waits: typeof retryMs === 'number' };
};

test('drain: each ends in its own time with 1012, and is told when to come back', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_DRAIN_SECONDS: '1' });
  const clients = await Promise.all(Array.from({ length: 20 }, () => live(t, edge)));
  const guest = new Client(edge.url);
  await until(() => edge.edge.guests === 1, 'one has yet to say who it is');
  const leftAtEnds: number[] = [];
  for (const { socket } of clients) socket.once('close', () => leftAtEnds.push(edge.edge.size));
  const drained = edge.edge.drain(AbortSignal.timeout(5_000));
  assert.equal((await guest.end()).code, 1012);
  const late = new Client(edge.url, { origin: 'https://any.example' });
  assert.deepEqual(await late.end(), { code: 1012, reason: 'draining' });
  const program = new Client(edge.url, { headers: { authorization: `Bearer ${token()}` } });
  await until(() => program.refused !== undefined, 'it is refused');
  assert.equal(program.refused?.status, 503);
  assert.notEqual(edge.edge.ready(), undefined);
  await drained;
  for (const client of clients) {
    assert.deepEqual(await client.end(), { code: 1012, reason: 'draining' });
    assert.deepEqual(closing(client), { code: 'draining', reconnect: true, waits: true });
  }
  assert.equal(edge.edge.size, 0);
  assert.ok((leftAtEnds[0] ?? 0) > 0, 'when the first had gone, others were still served');
});

test('nothing is lost over a drain: a client goes on at another edge', async (t) => {
  const first = await startEdge(t, { PUSHFLEET_DRAIN_SECONDS: '0' });
  const second = await startEdge(t, {}, first);
  const one = await live(t, first);
  await first.publish('t', '1');
  assert.deepEqual(await one.texts(1), ['1']);
  const [publication] = one.of('publication') as [Said];
  const { pushfleetcursor: after } = publication.event as { pushfleetcursor: string };
  await first.edge.drain(AbortSignal.timeout(5_000));
  await first.publish('t', '2');
  const other = await Client.open(second);
  t.after(() => other.close());
  await other.subscribe(['t'], { after });
  await first.publish('t', '3');
  assert.deepEqual(await other.texts(2), ['2', '3']);
});

test('a connection ends when its token does', async (t) => {
  const edge = await startEdge(t);
  const client = await live(t, edge, { exp: seconds() + 2 });
  assert.deepEqual(await client.end(), { code: 4401, reason: 'token_expired' });
  assert.deepEqual(closing(client), { code: 'token_expired', reconnect: false, waits: false });
});

test('a renewed token moves the end on; one of somebody else, or for less, does not', async (t) => {
  const edge = await startEdge(t);
  const exp = seconds() + 3;
  const client = await live(t, edge, { exp });
  const refused = [
    await client.ask({ type: 'auth', token: token({ sub: 'bob' }) }),
    await client.ask({ type: 'auth', token: token({ ns: 'other' }) }),
    await client.ask({ type: 'auth', token: token({ pushfleet: { subscribe: ['x'] } }) }),
    await client.ask({ type: 'auth', token: 'nonsense' }),
  ];
  assert.deepEqual(
    refused.map(({ code }) => code),
    ['forbidden', 'forbidden', 'forbidden', 'unauthenticated'],
  );
  const renewed = await client.ask({ type: 'auth', token: token({ exp: exp + 3_600 }) });
  assert.deepEqual([renewed.type, renewed.expires], ['renewed', (exp + 3_600) * 1_000]);
  const [welcome] = client.of('welcome');
  assert.notEqual(renewed.connection, welcome?.connection);
  await until(() => Date.now() > (exp + 1) * 1_000, 'the first token to be over');
  await edge.publish('t', 'still there');
  assert.deepEqual(await client.texts(1), ['still there']);
});

test('a connection ends when its token is revoked, others stay', async (t) => {
  const edge = await startEdge(t);
  const [bob, ann] = [await live(t, edge, { sub: 'bob' }), await live(t, edge)];
  edge.registry.revoke('bob');
  assert.deepEqual(await bob.end(), { code: 4401, reason: 'token_revoked' });
  await edge.publish('t', 'x');
  assert.deepEqual(await ann.texts(1), ['x']);
});

test('an old connection is asked to come back', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_WEBSOCKET_CONNECTION_AGE_SECONDS: '300ms' });
  const client = await live(t, edge);
  assert.deepEqual(await client.end(), { code: 1012, reason: 'connection_age' });
});

test('a slow consumer is cut, others are not, and it resumes without a loss', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_WEBSOCKET_OUTBOX_COUNT: '50' });
  const [slow, quick] = [await live(t, edge), await live(t, edge)];
  const raw = (slow.socket as unknown as { _socket: { pause(): void; resume(): void } })._socket;
  raw.pause();
  // Deflated, bytes that repeat would be too few for the kernel's buffers ever to be full.
  const big = randomBytes(75_000).toString('base64');
  let sent = 0;
  while (edge.edge.size === 2 && sent < 500) {
    await edge.publish('t', `${sent++} ${big}`);
    await quick.has('publication', sent);
  }
  assert.equal(edge.edge.size, 1, `cut after ${sent}`);
  raw.resume();
  await slow.end();
  const got = slow.of('publication');
  const { pushfleetcursor: after } = (got.at(-1)?.event ?? {}) as { pushfleetcursor?: string };
  const resumed = await Client.open(edge);
  t.after(() => resumed.close());
  await resumed.subscribe(['t'], { after });
  const texts = await resumed.texts(sent - got.length);
  const numbers = texts.map((text) => Number(String(text).split(' ')[0]));
  assert.deepEqual(
    numbers,
    Array.from({ length: sent - got.length }, (_, i) => got.length + i),
  );
});

test('a client that reads no answers gets to ask for no more', async (t) => {
  const edge = await startEdge(t);
  const client = await RawSocket.open(edge.port);
  t.after(() => client.close());
  client.socket.pause();
  const ping = clientFrame(0x81, JSON.stringify({ type: 'ping', id: 'x'.repeat(64) }));
  const many = Buffer.concat(Array.from({ length: 1_000 }, () => ping));
  let blocked = false;
  for (let i = 0; i < 1_000 && !blocked; i++) {
    if (client.socket.write(many)) continue;
    blocked = await Promise.race([
      new Promise<false>((resolve) => client.socket.once('drain', () => resolve(false))),
      new Promise<true>((resolve) => setTimeout(resolve, 2_000, true)),
    ]);
  }
  assert.ok(blocked, 'the edge reads on without end');
});

test('while the log is away a subscribe is refused, and those that stand stay', async (t) => {
  const edge = await startEdge(t);
  const client = await live(t, edge);
  edge.backbone.source.cut(new PushfleetError('unavailable', 'The log is away.'));
  const refused = await client.subscribe(['other']);
  assert.deepEqual([refused.code, typeof refused.retryAfterMs], ['unavailable', 'number']);
  edge.backbone.source.restore();
  edge.backbone.source.suspect({ kind: 'connection_lost' });
  await edge.publish('t', 'back again');
  assert.deepEqual(await client.texts(1), ['back again']);
  assert.equal((await client.subscribe(['other'])).type, 'subscribed');
});

test('a gap is told, and the connection goes on behind it', async (t) => {
  const edge = await startEdge(t);
  const { cursor } = await edge.publish('t', 'kept');
  const lost = formatCursor({ ...parseCursor(cursor), generation: 'lost' });
  const client = await Client.open(edge);
  t.after(() => client.close());
  await client.subscribe(['t'], { after: lost });
  const [gap] = await client.has('gap');
  assert.equal(gap?.from, lost);
  await edge.publish('t', 'after');
  assert.deepEqual(await client.texts(2), ['kept', 'after']);
});
