import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import { head, RawClient, token } from '@pushfleet/edge/testing';
import { startEdge, type TestEdge } from './testing.ts';
import { Page } from './testing-client.ts';

const stream = { Accept: 'text/event-stream' };
const bearer = (claims: object = {}) => ({ Authorization: `Bearer ${token(claims)}`, ...stream });
const open = (edge: TestEdge, query: string, headers: Record<string, string> = bearer()): RawClient =>
  new RawClient(edge.port, head(`GET /sse?${query} HTTP/1.1`, headers));
const live = (edge: TestEdge, query: string, headers?: Record<string, string>): Promise<RawClient> =>
  open(edge, query, headers).has('event: pushfleet.open');
const closeOf = (client: RawClient): { code: string; reconnect: boolean } =>
  JSON.parse(/event: pushfleet\.close\ndata: (.*)\n/.exec(client.received)?.[1] ?? 'null');

test('drain: each stream ends in its own time, told when to come back; those who come are told too', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_DRAIN_SECONDS: '1' });
  const clients = await Promise.all(Array.from({ length: 20 }, () => live(edge, 'topic=t')));
  const leftAtEnds: number[] = [];
  for (const client of clients) client.socket.once('close', () => leftAtEnds.push(edge.edge.size));
  const drained = edge.edge.drain(AbortSignal.timeout(5_000));
  const late = await open(edge, 'topic=t').end();
  assert.equal(late.status, 200);
  assert.match(late.body, /^[0-9a-f]+\r\nretry: \d+\nevent: pushfleet.close\n.*\n\n\r\n0\r\n\r\n$/);
  const curl = await open(edge, 'topic=t', { ...bearer(), Accept: '*/*' }).end();
  assert.deepEqual([curl.status, JSON.parse(curl.body).code], [503, 'draining']);
  assert.match(curl.head, /retry-after: \d+\r\n/);
  assert.notEqual(edge.edge.ready(), undefined);
  await drained;
  await Promise.all(clients.map((client) => client.end()));
  assert.equal(edge.edge.size, 0);
  for (const client of clients) {
    assert.equal(closeOf(client).code, 'draining');
    assert.match(client.received, /retry: \d+\nevent: pushfleet.close\n/);
    assert.ok(client.received.endsWith('\r\n0\r\n\r\n'));
  }
  assert.ok((leftAtEnds[0] ?? 0) > 0, 'when the first had gone, others were still served');
});

test('nothing is lost over a drain: EventSource goes on at another edge', async (t) => {
  const first = await startEdge(t, { PUSHFLEET_DRAIN_SECONDS: '0' });
  const second = await startEdge(t, {}, first);
  const page = new Page({ url: `${first.url}?topic=t` });
  await page.live();
  await first.publish('t', '1');
  await page.has(1);
  page.port = second.port;
  await first.edge.drain(AbortSignal.timeout(5_000));
  await first.publish('t', '2');
  await page.live(2);
  await first.publish('t', '3');
  assert.deepEqual(await page.has(3), ['1', '2', '3']);
  assert.equal(page.data('pushfleet.close').length, 1);
  page.close();
});

test('a stream ends when its token does, for good', async (t) => {
  const edge = await startEdge(t);
  const client = await live(edge, 'topic=t', bearer({ exp: Math.floor(Date.now() / 1_000) + 2 }));
  await client.end();
  assert.deepEqual(closeOf(client).code, 'token_expired');
  assert.equal(closeOf(client).reconnect, false);
});

test('a stream ends when its token is revoked, others stay', async (t) => {
  const edge = await startEdge(t);
  const bob = await live(edge, 'topic=t', bearer({ sub: 'bob' }));
  const ann = await live(edge, 'topic=t');
  edge.registry.revoke('bob');
  await bob.end();
  assert.equal(closeOf(bob).code, 'token_revoked');
  await edge.publish('t', 'x');
  await ann.has('data: x');
  const again = await open(edge, 'topic=t', bearer({ sub: 'bob' })).end();
  assert.deepEqual([again.status, JSON.parse(again.body).code], [401, 'token_revoked']);
  ann.close();
});

test('an old connection is asked to come back', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_SSE_CONNECTION_AGE_SECONDS: '300ms' });
  const client = await (await live(edge, 'topic=t')).end();
  assert.deepEqual([closeOf(client).code, closeOf(client).reconnect], ['connection_age', true]);
});

test("EventSource's own reconnect, with its ticket spent, works by the cookie; once that is over it is stopped", async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_SSE_CONNECTION_AGE_SECONDS: '1' });
  const exp = Math.floor(Date.now() / 1_000) + 60;
  const ticket = edge.registry.ticket(token({ exp }));
  const page = new Page({ url: `${edge.url}?topic=t&ticket=${ticket}`, headers: {} });
  await page.live(2);
  assert.match(page.cookie ?? '', /^pushfleet=ey/);
  page.cookie = undefined;
  await until(() => page.source.readyState === page.source.CLOSED, 'EventSource gives up');
  assert.deepEqual(page.statuses, [200, 200, 204]);
});

test('the cookie of a ticket: HttpOnly, for this host alone, until the token ends', async (t) => {
  const edge = await startEdge(t);
  const ticket = edge.registry.ticket(token());
  const client = await live(edge, `topic=t&ticket=${ticket}`, { ...stream, Host: 'push.example' });
  assert.match(
    client.head,
    /\r\nset-cookie: pushfleet=[\w.-]+; path=\/; max-age=3[56]\d\d; httponly; secure; samesite=strict\r\n/,
  );
  const again = await open(edge, `topic=t&ticket=${ticket}`, stream).end();
  assert.equal(again.status, 401);
  client.close();
});

test('a refusal after the ticket was spent hands the cookie over all the same', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_SSE_CONNECTIONS_PER_SUBJECT: '1' });
  const first = await live(edge, 'topic=t');
  const ticket = edge.registry.ticket(token());
  const second = await open(edge, `topic=t&ticket=${ticket}`, stream).end();
  assert.equal(second.status, 200);
  assert.equal(closeOf(second).code, 'too_many_connections');
  assert.match(second.head, /set-cookie: pushfleet=/);
  first.close();
});

test('while the registry is away, a ticket is told to come back', async (t) => {
  const edge = await startEdge(t);
  edge.registry.away = true;
  const client = await open(edge, 'topic=t&ticket=x', stream).end();
  assert.deepEqual([client.status, closeOf(client).code], [200, 'unavailable']);
});

test('a full instance and a full subject are told to come back, and let in once there is room', async (t) => {
  const edge = await startEdge(t, {
    PUSHFLEET_EDGE_SSE_CONNECTIONS: '3',
    PUSHFLEET_EDGE_SSE_CONNECTIONS_PER_SUBJECT: '2',
  });
  const clients = [await live(edge, 'topic=t'), await live(edge, 'topic=t')];
  assert.equal(closeOf(await open(edge, 'topic=t').end()).code, 'too_many_connections');
  clients.push(await live(edge, 'topic=t', bearer({ sub: 'bob' })));
  assert.equal(
    closeOf(await open(edge, 'topic=t', bearer({ sub: 'cid' })).end()).code,
    'too_many_connections',
  );
  clients.pop()?.close();
  await until(() => edge.edge.size === 2, 'one has gone');
  (await live(edge, 'topic=t', bearer({ sub: 'cid' }))).close();
  for (const client of clients) client.close();
});

test('a slow consumer is cut, others are not, and it resumes without a loss', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_EDGE_SSE_OUTBOX_COUNT: '50' });
  const slow = await live(edge, 'topic=t');
  const quick = await live(edge, 'topic=t');
  slow.socket.pause();
  const big = 'x'.repeat(100_000);
  let sent = 0;
  while (edge.edge.size === 2 && sent < 500) {
    await edge.publish('t', `${sent++} ${big}`);
    await until(() => quick.received.length > sent * big.length, 'the quick one has it');
  }
  assert.equal(edge.edge.size, 1, `cut after ${sent}`);
  await quick.has(`data: ${sent - 1} `);
  slow.socket.resume();
  await slow.end();
  // The last whole event: a client throws away what stands behind the last empty line.
  const whole = slow.received.slice(0, slow.received.lastIndexOf('\n\n'));
  const last = [...whole.matchAll(/id: (\S+)\n(?:event: \S+\n)?data: (\d+)? ?/g)].at(-1);
  const next = Number(last?.[2] ?? -1) + 1;
  const resumed = await live(edge, 'topic=t', { ...bearer(), 'Last-Event-ID': last?.[1] as string });
  await resumed.has(`data: ${sent - 1} `);
  const numbers = [...resumed.received.matchAll(/data: (\d+) /g)].map(([, number]) => Number(number));
  assert.deepEqual(
    numbers,
    Array.from({ length: sent - next }, (_, i) => next + i),
  );
  resumed.close();
  quick.close();
});

test('while the log is away, new streams are told to come back and old ones stay', async (t) => {
  const edge = await startEdge(t);
  const old = await live(edge, 'topic=t');
  edge.backbone.source.cut(new PushfleetError('unavailable', 'The log is away.'));
  const late = await open(edge, 'topic=other').end();
  assert.deepEqual([late.status, closeOf(late).code, closeOf(late).reconnect], [200, 'unavailable', true]);
  edge.backbone.source.restore();
  edge.backbone.source.suspect({ kind: 'connection_lost' });
  await edge.publish('t', 'back again');
  await old.has('data: back again');
  old.close();
});
