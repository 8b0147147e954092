import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import { head, RawClient, token } from '@pushfleet/edge/testing';
import { startEdge, type TestEdge } from './testing.ts';

/** A client that asks for these topics, as an EventSource unless `accept` says otherwise. */
function ask(
  t: TestContext,
  edge: TestEdge,
  topics: readonly string[],
  accept = 'text/event-stream',
): RawClient {
  const query = topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join('&');
  const headers = { Authorization: `Bearer ${token()}`, Accept: accept };
  const client = new RawClient(edge.port, head(`GET /sse?${query} HTTP/1.1`, headers));
  t.after(() => client.close());
  return client;
}

const opened = (client: RawClient) => client.has('pushfleet.open');

test('connections below and at the quota open; one more is told to come back, and does when one has left', async (t) => {
  const edge = await startEdge(t, {}, { quota: { connections: 2 } });
  const first = await opened(ask(t, edge, ['a']));
  await opened(ask(t, edge, ['a']));
  const third = await ask(t, edge, ['a']).end();
  assert.equal(third.status, 200);
  assert.match(third.body, /"code":"quota_connections"/);
  const [, retry] = /^retry: ?(\d+)$/m.exec(third.body) ?? [];
  assert.ok(Number(retry) >= 10_000, third.body);
  const curl = await ask(t, edge, ['a'], '*/*').end();
  assert.equal(curl.status, 429);
  assert.match(curl.head, /retry-after: 1\b/);
  assert.match(curl.body, /"limit":2/);
  first.close();
  await until(() => edge.edge.size === 1, 'the first to be gone');
  await opened(ask(t, edge, ['a']));
});

test('subscriptions are the filters of all streams', async (t) => {
  const edge = await startEdge(t, {}, { quota: { subscriptions: 3 } });
  await opened(ask(t, edge, ['a', 'b']));
  const refused = await ask(t, edge, ['c', 'd']).end();
  assert.match(refused.body, /"code":"quota_subscriptions"/);
  await opened(ask(t, edge, ['c']));
  const none = await ask(t, edge, ['d'], '*/*').end();
  assert.equal(none.status, 429);
  assert.match(none.body, /quota_subscriptions/);
});

test('a stream that the hub refuses takes nothing from the quota', async (t) => {
  const edge = await startEdge(t, {}, { quota: { connections: 1 } });
  const refuse = () => {
    throw new PushfleetError('draining', 'The hub closes.');
  };
  t.mock.method(edge.hubs, 'of', refuse, { times: 1 });
  assert.match((await ask(t, edge, ['a']).end()).body, /"code":"draining"/);
  await opened(ask(t, edge, ['a']));
});
