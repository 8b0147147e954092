import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { until } from '@pushfleet/contract';
import type { Stored } from '@pushfleet/core';

import { startEdge, type TestEdge, type TestEdgeOptions, token } from './testing.ts';
import { Client, clientFrame, RawSocket } from './testing-client.ts';

async function start(t: TestContext, env: Record<string, string> = {}, shared: TestEdgeOptions = {}) {
  const edge: TestEdge = await startEdge(t, env, shared);
  const open = async (claims: object = {}): Promise<Client> => {
    const client = await Client.open(edge, claims);
    t.after(() => client.close());
    return client;
  };
  return { edge, open };
}

const code = (answer: { readonly type: string; readonly code?: unknown }): unknown =>
  answer.code ?? answer.type;

test('a message below and at the limit is read; one byte more closes with 1009', async (t) => {
  const { edge } = await start(t, { PUSHFLEET_EDGE_WEBSOCKET_MESSAGE_BYTES: '2000' });
  const ping = (length: number) => clientFrame(0x81, `{"type":"ping","id":${length}}`.padEnd(length));
  const client = await RawSocket.open(edge.port);
  client.write(ping(1_999));
  await client.has('"id":1999');
  client.write(ping(2_000));
  await client.has('"id":2000');
  client.write(clientFrame(0x01, ' '.repeat(1_990)), clientFrame(0x80, '{"type":"x"'));
  assert.deepEqual(await client.closing(), { code: 1009, reason: 'payload_too_large' });
});

test('filters below and at the limit are taken, one more is an error, and the connection stays', async (t) => {
  const { open } = await start(t, { PUSHFLEET_EDGE_WEBSOCKET_FILTERS: '3' });
  const client = await open();
  assert.equal(client.of('welcome').length, 1);
  assert.equal(code(await client.subscribe(['a', 'b'])), 'subscribed');
  assert.equal(code(await client.subscribe(['c', 'd'])), 'too_many_filters');
  assert.equal(code(await client.subscribe(['c'])), 'subscribed');
  const refused = await client.subscribe(['d']);
  assert.deepEqual([code(refused), refused.limit], ['too_many_filters', 3]);
  assert.equal(code(await client.subscribe(['c'])), 'subscribed');
  await client.ask({ type: 'unsubscribe', filters: ['a'] });
  assert.equal(code(await client.subscribe(['d'])), 'subscribed');
});

test('publications of a subject within its burst are stored, one more is told to wait, others are not', async (t) => {
  const { open } = await start(t, {
    PUSHFLEET_EDGE_WEBSOCKET_RATE: '1',
    PUSHFLEET_EDGE_WEBSOCKET_BURST: '2',
  });
  const [one, other, bob] = [await open(), await open(), await open({ sub: 'bob' })];
  const publish = { type: 'publish', topic: 't', text: 'x' };
  assert.equal(code(await one.ask(publish)), 'published');
  assert.equal(code(await other.ask(publish)), 'published');
  const refused = await one.ask(publish);
  assert.equal(code(refused), 'rate_limited');
  assert.ok((refused.retryAfterMs as number) > 0 && (refused.retryAfterMs as number) <= 1_000);
  assert.equal(code(await bob.ask(publish)), 'published');
});

test('payloads below and at the limit are stored, larger ones are an error', async (t) => {
  const { open } = await start(t, { PUSHFLEET_EDGE_WEBSOCKET_PAYLOAD_BYTES: '100' });
  const client = await open();
  const publish = (length: number) => client.ask({ type: 'publish', topic: 't', text: 'x'.repeat(length) });
  const answers = [await publish(99), await publish(100), await publish(101)];
  assert.deepEqual(answers.map(code), ['published', 'published', 'payload_too_large']);
});

test('bytes of publishes that are not answered are bounded over all connections', async (t) => {
  const waiting: (() => void)[] = [];
  const intake = {
    publish: () =>
      new Promise<Stored[]>((resolve) =>
        waiting.push(() => resolve([{ id: 'p', cursor: 'c', duplicate: false } as unknown as Stored])),
      ),
  };
  const { open } = await start(t, { PUSHFLEET_EDGE_WEBSOCKET_PENDING_BYTES: '1MiB' }, { intake });
  const [one, other] = [await open(), await open()];
  const publish = (client: Client, id: string, length: number) =>
    client.send({ type: 'publish', id, topic: 't', text: 'x'.repeat(length) });
  publish(one, 'most', 1_048_000);
  await until(() => waiting.length === 1, 'the first is under way');
  publish(other, 'fits', 576);
  publish(other, 'more', 1);
  const refused = await other.answer('more');
  assert.deepEqual([code(refused), refused.retryAfterMs], ['unavailable', 1_000]);
  assert.equal(waiting.length, 2);
  for (const done of waiting) done();
  assert.equal(code(await one.answer('most')), 'published');
  assert.equal(code(await other.answer('fits')), 'published');
});

test('what comes faster than the rate of messages is read later, and all of it', async (t) => {
  const { edge } = await start(t, { PUSHFLEET_EDGE_WEBSOCKET_MESSAGE_RATE: '20' });
  const client = await RawSocket.open(edge.port);
  t.after(() => client.close());
  const frames = Array.from({ length: 40 }, (_, i) => clientFrame(0x81, `{"type":"ping","id":${i + 1}}`));
  client.write(...frames);
  await client.has('"id":40}');
  client.write(clientFrame(0x81, '{"type":"ping","id":99}'));
  assert.doesNotMatch(client.received.toString('latin1'), /"id":99/);
  await client.has('"id":99}');
});

test('a full instance and a full subject are told to come back, and let in once there is room', async (t) => {
  const { edge, open } = await start(t, {
    PUSHFLEET_EDGE_WEBSOCKET_CONNECTIONS: '3',
    PUSHFLEET_EDGE_WEBSOCKET_CONNECTIONS_PER_SUBJECT: '2',
  });
  const clients = [await open(), await open()];
  const refuse = async (claims: object): Promise<unknown> => {
    const page = new Client(edge.url, {
      headers: { authorization: `Bearer ${token(claims)}`, 'sec-fetch-mode': 'websocket' },
    });
    assert.deepEqual((await page.end()).code, 1013);
    const [closing] = page.of('closing');
    assert.ok((closing?.retryMs as number) >= 5_000);
    return closing?.code;
  };
  assert.equal(await refuse({}), 'too_many_connections');
  await open({ sub: 'bob' });
  assert.equal(await refuse({ sub: 'cid' }), 'too_many_connections');
  clients[0]?.close();
  await until(() => edge.edge.size === 2, 'one has gone');
  await open({ sub: 'cid' });
});

test('connections and subscriptions of a namespace are within its quota', async (t) => {
  const { edge, open } = await start(t, {}, { quota: { connections: 2, subscriptions: 3 } });
  const [one, two] = [await open(), await open()];
  const third = new Client(edge.url, {
    headers: { authorization: `Bearer ${token()}` },
  });
  await until(() => third.refused !== undefined, 'it is refused');
  assert.deepEqual(
    [third.refused?.status, JSON.parse(third.refused?.body ?? '').code],
    [429, 'quota_connections'],
  );
  assert.equal(code(await one.subscribe(['a', 'b'])), 'subscribed');
  assert.equal(code(await two.subscribe(['c', 'd'])), 'quota_subscriptions');
  assert.equal(code(await two.subscribe(['c'])), 'subscribed');
  one.close();
  await until(() => edge.edge.size === 1, 'one has gone');
  assert.equal(code(await two.subscribe(['d', 'e'])), 'subscribed');
  assert.equal(code(await two.subscribe(['f'])), 'quota_subscriptions');
});

test('whoever does not say who it is in time is sent away, and is told so', async (t) => {
  const { edge } = await start(t, { PUSHFLEET_EDGE_WEBSOCKET_AUTH_SECONDS: '200ms' });
  const client = new Client(edge.url);
  assert.deepEqual(await client.end(), { code: 4401, reason: 'unauthenticated' });
  assert.match(client.of('closing')[0]?.detail as string, /0\.2 s/);
  await until(() => edge.edge.guests === 0, 'it is forgotten');
});
