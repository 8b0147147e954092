import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { until } from '@pushfleet/contract';
import { defaultNamespace, PushfleetError, parseTopic } from '@pushfleet/core';
import { head, RawClient, token } from '@pushfleet/edge/testing';
import { Agent, request } from 'undici';
import { startEdge, type TestEdge } from '../testing.ts';
import { authorization, begin, type Polled, type PollRequest, poll } from '../testing-client.ts';

const run = promisify(execFile);
const env = (name: string, value: string | number) => ({
  [`PUSHFLEET_EDGE_LONGPOLL_${name}`]: String(value),
});
const as = (claims: object) => ({ authorization: `Bearer ${token(claims)}` });

/** Polls that wait, once the filters of all of them stand. */
async function waiting(edge: TestEdge, count: number, o: PollRequest = {}): Promise<Promise<Polled>[]> {
  const etag = await begin(edge.url, '?topic=t');
  const live = () => edge.hubs.feedsOn(defaultNamespace, parseTopic('t'));
  const before = live();
  const polls = Array.from({ length: count }, () => poll(edge.url, '?topic=t', { etag, wait: 30, ...o }));
  await until(() => live() === before + count, `${count} wait`);
  return polls;
}

test('any instance serves the next poll: nothing is lost and nothing comes twice', async (t) => {
  const first = await startEdge(t);
  const edges = [first, await startEdge(t, {}, first), await startEdge(t, {}, first)];
  const got: (string | undefined)[] = [];
  let etag = await begin(first.url, '?topic=a/%2B&topic=b');
  for (let i = 0; got.length < 30; i++) {
    const edge = edges[i % edges.length] as TestEdge;
    const answer = poll(edge.url, '?topic=a/%2B&topic=b&count=2', { etag, wait: 30 });
    if (i < 30) await first.publish(i % 2 === 0 ? `a/${i}` : 'b', String(i));
    const { texts, etag: next } = await answer;
    got.push(...texts);
    etag = next;
  }
  assert.deepEqual(
    got,
    Array.from({ length: 30 }, (_, i) => String(i)),
  );
});

test('a client that lost an instance in the middle of its wait goes on at another', async (t) => {
  const first = await startEdge(t);
  const second = await startEdge(t, {}, first);
  const etag = await begin(first.url, '?topic=t');
  const lost = poll(first.url, '?topic=t', { etag, wait: 30 });
  await until(() => first.edge.size === 1, 'it waits');
  await Promise.all([assert.rejects(lost), first.edge.close()]);
  await second.publish('t', 'meanwhile');
  assert.deepEqual((await poll(second.url, '?topic=t', { etag })).texts, ['meanwhile']);
});

test('drain: who waits is answered and asked to go, who comes is told to come back', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_DRAIN_SECONDS: '1' });
  const polls = await waiting(edge, 20);
  const drained = edge.edge.drain(AbortSignal.timeout(5_000));
  const late = await poll(edge.url, '?topic=t');
  assert.deepEqual([late.status, late.problem.code], [503, 'draining']);
  assert.match(late.headers.get('retry-after') ?? '', /^\d+$/);
  assert.equal(late.headers.get('connection'), 'close');
  assert.notEqual(edge.edge.ready(), undefined);
  await drained;
  for (const { status, headers, etag } of await Promise.all(polls)) {
    assert.deepEqual([status, headers.get('connection')], [204, 'close']);
    assert.match(etag, /^".+"$/);
  }
  assert.equal(edge.edge.size, 0);
});

test('a wait ends with its token, by a problem that says so', async (t) => {
  const edge = await startEdge(t);
  const exp = Math.floor(Date.now() / 1_000) + 2;
  const [answer] = await waiting(edge, 1, { headers: as({ exp }) });
  const { status, problem, headers } = (await answer) as Polled;
  assert.deepEqual([status, problem.code], [401, 'token_expired']);
  assert.match(headers.get('www-authenticate') ?? '', /invalid_token/);
});

test('a wait ends when its token is revoked, others go on', async (t) => {
  const edge = await startEdge(t);
  const [bob] = await waiting(edge, 1, { headers: as({ sub: 'bob' }) });
  const [ann] = await waiting(edge, 1);
  edge.registry.revoke('bob');
  const ended = (await bob) as Polled;
  assert.deepEqual([ended.status, ended.problem.code], [401, 'token_revoked']);
  await edge.publish('t', 'x');
  assert.deepEqual((await ann)?.texts, ['x']);
  assert.equal((await poll(edge.url, '?topic=t', { headers: as({ sub: 'bob' }) })).status, 401);
});

for (const leave of ['close', 'resetAndDestroy', 'end'] as const) {
  test(`a client that leaves by ${leave} leaves nothing behind`, async (t) => {
    const edge = await startEdge(t);
    const etag = await begin(edge.url, '?topic=t');
    const line = 'GET /poll?topic=t&wait=60 HTTP/1.1';
    const client = new RawClient(
      edge.port,
      head(line, { Authorization: authorization.authorization, 'If-None-Match': etag }),
    );
    await until(() => edge.edge.size === 1, 'it waits');
    if (leave === 'close') client.close();
    else client.socket[leave]();
    await until(() => edge.edge.size === 0, 'it is forgotten');
    await until(() => edge.hubs.stats().feeds === 0, 'its feed is closed');
    client.close();
  });
}

test('waiting polls of the process and of a subject: at the limit, above it, and again below', async (t) => {
  const edge = await startEdge(t, { ...env('CONNECTIONS', 3), ...env('CONNECTIONS_PER_SUBJECT', 2) });
  const etag = await begin(edge.url, '?topic=t');
  const polls = await waiting(edge, 2);
  const third = await poll(edge.url, '?topic=t', { etag });
  assert.deepEqual([third.status, third.problem.code], [503, 'too_many_connections']);
  assert.match(third.headers.get('retry-after') ?? '', /^\d+$/);
  const bob = poll(edge.url, '?topic=t', { etag, wait: 30, headers: as({ sub: 'bob' }) });
  await until(() => edge.edge.size === 3, 'bob waits');
  const cid = await poll(edge.url, '?topic=t', { headers: as({ sub: 'cid' }) });
  assert.deepEqual([cid.status, cid.problem.code], [503, 'too_many_connections']);
  await edge.publish('t', 'x');
  await Promise.all([...polls, bob]);
  await until(() => edge.edge.size === 0, 'all are answered');
  assert.equal((await poll(edge.url, '?topic=t')).status, 200);
});

test('the quota of a namespace counts who waits', async (t) => {
  const edge = await startEdge(t, {}, { quota: { connections: 1, subscriptions: 2 } });
  const [answer] = await waiting(edge, 1);
  const second = await poll(edge.url, '?topic=t');
  assert.deepEqual([second.status, second.problem.code], [429, 'quota_connections']);
  await edge.publish('t', 'x');
  await answer;
  await until(() => edge.edge.size === 0, 'it is answered');
  const filters = await poll(edge.url, '?topic=a&topic=b&topic=c');
  assert.deepEqual([filters.status, filters.problem.code], [429, 'quota_subscriptions']);
});

test('batches are bounded by bytes, and one publication always fits', async (t) => {
  const edge = await startEdge(t, env('BATCH_BYTES', 10_000));
  let etag = await begin(edge.url, '?topic=t');
  for (const size of [4_000, 4_000, 4_000, 20_000, 10]) await edge.publish('t', 'x'.repeat(size));
  const sizes: number[][] = [];
  while (sizes.flat().length < 5) {
    const { texts, etag: next } = await poll(edge.url, '?topic=t', { etag });
    sizes.push(texts.map((text = '') => text.length));
    etag = next;
  }
  assert.deepEqual(sizes, [[4_000, 4_000], [4_000], [20_000], [10]]);
});

test('retained publications at the limit come, one more is refused', async (t) => {
  const edge = await startEdge(t, env('RETAINED_COUNT', 3));
  const first = () => poll(edge.url, '?topic=s/%23&retained=1');
  for (const name of ['a', 'b', 'c']) await edge.publish(`s/${name}`, name, { retain: true });
  assert.equal((await first()).texts.length, 3);
  await edge.publish('s/d', 'd', { retain: true });
  let refused = await first();
  while (refused.status === 200) refused = await first(); // its place was before the fourth, which comes live then
  assert.deepEqual(
    [refused.status, refused.problem.code, refused.problem.limit],
    [400, 'request_invalid', 3],
  );
});

test('more retained publications than an outbox holds come in one answer', async (t) => {
  const edge = await startEdge(t, { ...env('OUTBOX_COUNT', 20), ...env('RETAINED_COUNT', 200) });
  for (let i = 0; i < 200; i++) await edge.publish(`s/${i}`, String(i), { retain: true });
  const { texts } = await poll(edge.url, '?topic=s/%23&retained=1');
  assert.equal(new Set(texts).size, 200);
});

test('limits of filters, URL, head and body: at and above', async (t) => {
  const edge = await startEdge(t, {
    ...env('FILTERS', 2),
    ...env('URL_BYTES', 300),
    ...env('HEADER_BYTES', 2_048),
    ...env('BODY_BYTES', 1_024),
  });
  const codeOf = async (target: string, o?: PollRequest) => {
    const { status, problem } = await poll(edge.url, target, o);
    return [status, problem?.code];
  };
  assert.equal((await codeOf('?topic=a&topic=b'))[0], 200);
  assert.deepEqual(await codeOf('?topic=a&topic=b&topic=c'), [400, 'too_many_filters']);
  const target = `?topic=${'x'.repeat(300 - '/poll?topic='.length)}`;
  assert.equal((await codeOf(target))[0], 200);
  assert.deepEqual(await codeOf(`${target}x`), [400, 'request_invalid']);
  assert.equal((await codeOf('?topic=a', { headers: { 'x-long': 'x'.repeat(2_048) } }))[0], 431);
  const post = (bytes: number): PollRequest => ({
    method: 'POST',
    body: `topic=${'x'.repeat(bytes - 'topic='.length)}`,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  assert.equal((await codeOf('', post(1_024)))[0], 200);
  assert.deepEqual(await codeOf('', post(1_025)), [413, 'payload_too_large']);
});

test('while the log is away, a poll is told to come back, and one that waits gets what came', async (t) => {
  const edge = await startEdge(t);
  const [answer] = await waiting(edge, 1);
  edge.backbone.source.cut(new PushfleetError('unavailable', 'The log is away.'));
  const late = await poll(edge.url, '?topic=other');
  assert.deepEqual([late.status, late.problem.code], [503, 'unavailable']);
  assert.match(late.headers.get('retry-after') ?? '', /^\d+$/);
  edge.backbone.source.restore();
  edge.backbone.source.suspect({ kind: 'connection_lost' });
  await edge.publish('t', 'back again');
  assert.deepEqual((await answer)?.texts, ['back again']);
});

test('a ticket lets the first poll in and lives on as a cookie; pages of other origins need to be listed', async (t) => {
  const edge = await startEdge(t, { PUSHFLEET_CORS_ORIGINS: 'https://app.example' });
  const target = `?topic=t&ticket=${edge.registry.ticket(token())}`;
  const page = { authorization: '', origin: 'https://app.example' };
  const { authorization: _, ...anonymous } = page;
  const ask = async (headers: Record<string, string>, etag?: string) => {
    const response = await fetch(`${edge.url}/poll${target}`, {
      headers: { ...headers, ...(etag !== undefined && { 'if-none-match': etag, prefer: 'wait=0' }) },
    });
    return { status: response.status, headers: response.headers, etag: response.headers.get('etag') ?? '' };
  };
  const first = await ask(anonymous);
  assert.equal(first.status, 200);
  assert.equal(first.headers.get('access-control-allow-origin'), 'https://app.example');
  assert.equal(first.headers.get('access-control-allow-credentials'), 'true');
  const cookie = first.headers.getSetCookie()[0]?.split(';')[0] as string;
  assert.equal((await ask({ ...anonymous, cookie }, first.etag)).status, 204);
  assert.equal((await ask({ origin: 'https://evil.example', cookie }, first.etag)).status, 403);
  const preflight = await fetch(`${edge.url}/poll`, {
    method: 'OPTIONS',
    headers: { ...anonymous, 'access-control-request-headers': 'if-none-match,prefer' },
  });
  const allowed = preflight.headers.get('access-control-allow-headers')?.toLowerCase() ?? '';
  for (const name of ['authorization', 'if-none-match', 'prefer', 'content-type']) {
    assert.ok(allowed.includes(name), name);
  }
});

test('curl polls as its manual says', async (t) => {
  const edge = await startEdge(t);
  const curl = (...args: string[]) =>
    run('curl', ['-sS', '-D', '-', '-H', `Authorization: ${authorization.authorization}`, ...args]);
  const first = await curl(`${edge.url}/poll?topic=a/%23`);
  const etag = /^etag: (\S+)\r$/im.exec(first.stdout)?.[1] as string;
  const poll = curl('-H', `If-None-Match: ${etag}`, '-H', 'Prefer: wait=20', `${edge.url}/poll?topic=a/%23`);
  await until(() => edge.edge.size === 1, 'curl waits');
  await edge.publish('a/b', 'for curl');
  assert.match((await poll).stdout, /"data":"for curl"/);
  const form = await curl(
    '--data-urlencode',
    'topic=a/+',
    '-d',
    'wait=0',
    '-H',
    `If-None-Match: ${etag}`,
    `${edge.url}/poll`,
  );
  assert.match(form.stdout, /^HTTP\/1\.1 200 [\s\S]*"data":"for curl"/);
});

test('one connection carries many polls: undici keeps it alive', async (t) => {
  const edge = await startEdge(t);
  const agent = new Agent({ connections: 1 });
  t.after(() => agent.close());
  let opened = 0;
  agent.on('connect', () => opened++);
  let etag: string | undefined;
  const got: string[] = [];
  for (let i = 0; i < 20; i++) {
    const headers = { ...authorization, ...(etag !== undefined && { 'if-none-match': etag }) };
    const answer = request(`${edge.url}/poll?topic=t`, { dispatcher: agent, headers });
    if (i > 0) await edge.publish('t', String(i));
    const { body, headers: told } = await answer;
    etag = told.etag as string;
    const { items } = (await body.json()) as { items: { event: { data: string } }[] };
    got.push(...items.map(({ event }) => event.data));
  }
  assert.deepEqual([opened, got], [1, Array.from({ length: 19 }, (_, i) => String(i + 1))]);
});

test('HTTP/1.0 and requests in a row on one connection', async (t) => {
  const edge = await startEdge(t);
  const auth = `Authorization: ${authorization.authorization}\r\n`;
  const old = await new RawClient(edge.port, `GET /poll?topic=t HTTP/1.0\r\n${auth}\r\n`).end();
  assert.equal(old.status, 200);
  const line = (topic: string) => `GET /poll?topic=${topic} HTTP/1.1\r\nHost: x\r\n${auth}\r\n`;
  const row = new RawClient(edge.port, line('a') + line('b') + line('c'));
  await until(() => row.received.split('"items":[]}').length === 4, 'three answers');
  row.close();
});

test('a client that does not read its answer is counted until it is cut', async (t) => {
  const edge = await startEdge(t, { ...env('BATCH_BYTES', '64MiB'), ...env('OUTBOX_BYTES', '64MiB') });
  const etag = await begin(edge.url, '?topic=t');
  // More than the system holds for a socket.
  for (let i = 0; i < 25; i++) await edge.publish('t', 'x'.repeat(900_000));
  const slow = new RawClient(edge.port, '');
  slow.socket.pause();
  slow.socket.write(
    head('GET /poll?topic=t HTTP/1.1', { Authorization: authorization.authorization, 'If-None-Match': etag }),
  );
  await until(() => edge.edge.size === 1, 'it is answered in vain');
  await until(() => edge.hubs.stats().feeds === 0, 'its feed is closed all the same');
  assert.equal(edge.edge.size, 1);
  slow.close();
  await until(() => edge.edge.size === 0, 'it is forgotten');
});

test('around a change of leader the log goes back: a poll is given that part once, and then waits again', async (t) => {
  const edge = await startEdge(t);
  await begin(edge.url, '?topic=t');
  for (let i = 0; i < 25; i++) await edge.publish('t', String(i));
  const etag = await begin(edge.url, '?topic=t');
  edge.backbone.log.leaderSince = Date.now();
  await edge.publish('t', '25');
  const other = await startEdge(t, {}, edge); // which has nothing in memory
  const got: (string | undefined)[] = [];
  let place = etag;
  for (let round = 0; round < 4; round++) {
    const {
      status,
      texts,
      etag: next,
    } = await poll(other.url, '?topic=t&count=10', { etag: place, wait: 0 });
    assert.equal(status, round < 3 ? 200 : 204);
    got.push(...texts);
    place = next;
  }
  assert.deepEqual(
    got,
    Array.from({ length: 26 }, (_, i) => String(i)),
  );
  const waiting = poll(other.url, '?topic=t', { etag: place, wait: 30 });
  await until(() => other.hubs.feedsOn(defaultNamespace, parseTopic('t')) === 1, 'it waits');
  await edge.publish('t', 'new');
  assert.deepEqual((await waiting).texts, ['new']);
});
