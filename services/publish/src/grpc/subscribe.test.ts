import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { Namespace } from '@pushfleet/core';
import { authorized, type DynamicClient, startGrpc } from './testing.ts';

type Api = Awaited<ReturnType<typeof startGrpc>>;

// biome-ignore lint/suspicious/noExplicitAny: a client made at run time has no types
type Message = any;

/** A subscription whose messages are waited for. */
function follow(client: DynamicClient, request: object, metadata: Metadata = authorized()) {
  const messages: Message[] = [];
  const call = client.subscribe(request, metadata);
  const { promise: ended, resolve } =
    Promise.withResolvers<Pick<ServiceError, 'code' | 'details' | 'metadata'>>();
  call.on('data', (message: Message) => messages.push(message));
  call.on('error', () => {});
  call.on('status', resolve);
  const brought = async (count: number): Promise<readonly Message[]> => {
    while (messages.length < count) {
      if (call.destroyed) assert.fail(`ended after ${messages.length} messages: ${(await ended).details}`);
      await new Promise((done) => setImmediate(done));
    }
    return messages;
  };
  return { call, messages, ended, brought };
}

async function publish(api: Api, topic: string, ids: readonly string[], retain = false): Promise<void> {
  const drafts = ids.map((id) => ({
    ...{ id, source: 's', topic, contentType: 'text/plain', payload: Buffer.from(id), retain },
  }));
  await api.backbone.bus('default' as Namespace).publish(drafts as never);
}

const idsOf = (messages: readonly Message[]): string[] =>
  messages.filter(({ event }) => event === 'delivery').map(({ delivery }) => delivery.publication.id);

test('says that it stands, then delivers what matches, with a cursor each', async (t) => {
  const api = await startGrpc();
  t.after(() => api.stop());
  const { brought } = follow(api.client, { filters: ['a/#', 'a/+', 'a/#'] });
  const [first] = await brought(1);
  assert.equal(first.event, undefined);
  assert.notEqual(first.cursor, '');
  await publish(api, 'b', ['0']);
  await publish(api, 'a/b', ['1', '2']);
  const messages = await brought(3);
  assert.deepEqual(idsOf(messages), ['1', '2']);
  const { delivery, cursor } = messages[1];
  assert.equal(new Set([first.cursor, cursor, messages[2].cursor]).size, 3);
  assert.deepEqual(delivery.filters.toSorted(), ['a/#', 'a/+']);
  const { topic, source, contentType, payload, type, publishTime, expireTime } = delivery.publication;
  assert.deepEqual(
    [topic, source, contentType, payload.toString(), type, expireTime],
    ['a/b', 's', 'text/plain', '1', 'pushfleet.publication', null],
  );
  assert.ok(Math.abs(publishTime.seconds * 1_000 - Date.now()) < 10_000);
});

test('a resume brings what came meanwhile, once', async (t) => {
  const api = await startGrpc();
  t.after(() => api.stop());
  const before = follow(api.client, { filters: ['#'] });
  await before.brought(1);
  await publish(api, 'a', ['1', '2', '3']);
  const after = (await before.brought(4))[2].cursor;
  before.call.cancel();
  await publish(api, 'a', ['4', '5']);
  const resumed = follow(api.client, { filters: ['#'], after });
  assert.deepEqual(idsOf(await resumed.brought(4)), ['3', '4', '5']);
});

test('retained publications come first where they are asked for', async (t) => {
  const api = await startGrpc();
  t.after(() => api.stop());
  await publish(api, 'a', ['kept'], true);
  const asked = follow(api.client, { filters: ['a'], retained: true });
  const [, kept] = await asked.brought(2);
  assert.deepEqual([kept.delivery.publication.id, kept.delivery.retained], ['kept', true]);
  const not = follow(api.client, { filters: ['a'] });
  await not.brought(1);
  await publish(api, 'a', ['new']);
  assert.deepEqual(idsOf(await not.brought(2)), ['new']);
});

test('what the log no longer holds is told as a gap', async (t) => {
  const api = await startGrpc();
  t.after(() => api.stop());
  const before = follow(api.client, { filters: ['a'] });
  await before.brought(1);
  await publish(api, 'a', ['1', '2', '3']);
  const after = (await before.brought(4))[1].cursor;
  api.backbone.log.purge(0, 2);
  // Another instance of the hub, whose ring remembers nothing.
  before.call.cancel();
  const other = await startGrpc({ hubsOf: api.backbone });
  t.after(() => other.stop());
  const resumed = follow(other.client, { filters: ['a'], after });
  const messages = await resumed.brought(3);
  assert.deepEqual(
    messages.slice(1).map(({ event }) => event),
    ['gap', 'delivery'],
  );
  assert.equal(messages[1].cursor, messages[1].gap.to);
});

test('a quiet subscription is told where to resume', async (t) => {
  const api = await startGrpc({ keepAliveMs: 20 });
  t.after(() => api.stop());
  const { brought } = follow(api.client, { filters: ['quiet'] });
  const [first] = await brought(1);
  // What the instance sees for others tells it how far the log has come.
  await follow(api.client, { filters: ['other'] }).brought(1);
  await publish(api, 'other', ['1']);
  const [, second] = await brought(2);
  assert.equal(second.event, undefined);
  assert.notEqual(second.cursor, first.cursor);
});

const refusals: readonly (readonly [
  what: string,
  request: object,
  code: number,
  word: string,
  claims?: object,
])[] = [
  ['no filter', { filters: [] }, status.INVALID_ARGUMENT, 'filter_invalid'],
  ['a bad filter', { filters: ['a/#/b'] }, status.INVALID_ARGUMENT, 'filter_invalid'],
  [
    'too many filters',
    { filters: Array.from({ length: 101 }, (_, i) => `${i}`) },
    status.INVALID_ARGUMENT,
    'too_many_filters',
  ],
  ['a bad cursor', { filters: ['a'], after: 'x' }, status.INVALID_ARGUMENT, 'cursor_invalid'],
  [
    'a filter not granted',
    { filters: ['a/#'] },
    status.PERMISSION_DENIED,
    'forbidden',
    { pushfleet: { subscribe: ['a/+'] } },
  ],
  ["the fleet's own topics", { filters: ['$sys/#'] }, status.PERMISSION_DENIED, 'forbidden'],
  ['an expired token', { filters: ['a'] }, status.UNAUTHENTICATED, 'token_expired', { exp: 1_000_000 }],
];
for (const [what, request, code, word, claims] of refusals) {
  test(`refuses ${what}`, async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const { ended, messages } = follow(api.client, request, authorized(claims));
    const answer = await ended;
    assert.deepEqual([answer.code, answer.metadata.get('pushfleet-code')], [code, [word]]);
    assert.equal(messages.length, 0);
    assert.equal(api.streams.size, 0);
    assert.equal(api.api.subscriptions, 0);
  });
}

test('more subscriptions than an instance takes are refused', async (t) => {
  const api = await startGrpc({ subscriptions: 1 });
  t.after(() => api.stop());
  const first = follow(api.client, { filters: ['a'] });
  await first.brought(1);
  const second = await follow(api.client, { filters: ['a'] }).ended;
  assert.deepEqual(
    [second.code, second.metadata.get('pushfleet-code')],
    [status.RESOURCE_EXHAUSTED, ['too_many_connections']],
  );
  first.call.cancel();
  while (api.api.subscriptions > 0) await new Promise((done) => setImmediate(done));
  await follow(api.client, { filters: ['a'] }).brought(1);
});

test('a subscriber that does not read is let go, and can resume', async (t) => {
  const api = await startGrpc({ outbox: { count: 10, bytes: 65_536 } });
  t.after(() => api.stop());
  const slow = follow(api.client, { filters: ['a'] });
  const [first] = await slow.brought(1);
  slow.call.pause();
  const ids = Array.from({ length: 400 }, (_, i) => String(i));
  for (const id of ids) {
    await api.backbone
      .bus('default' as Namespace)
      .publish([{ id, source: 's', topic: 'a' as never, contentType: 'x', payload: Buffer.alloc(10_000) }]);
  }
  while (api.streams.size > 0 && api.api.subscriptions > 0 && !slow.call.destroyed) {
    slow.call.resume();
    await new Promise((done) => setImmediate(done));
  }
  const { code, details, metadata } = await slow.ended;
  assert.deepEqual([code, metadata.get('pushfleet-code')], [status.RESOURCE_EXHAUSTED, ['slow_consumer']]);
  assert.match(details, /"after"/);
  const got = idsOf(slow.messages);
  assert.ok(got.length < ids.length);
  const after = slow.messages.at(-1)?.cursor ?? first.cursor;
  const resumed = follow(api.client, { filters: ['a'], after });
  const rest = ids.slice(got.length);
  assert.deepEqual(idsOf(await resumed.brought(1 + rest.length)), rest);
});

test('ends when its token expires, when it is revoked, and at a drain', async (t) => {
  const api = await startGrpc();
  t.after(() => api.stop());
  const expiring = follow(
    api.client,
    { filters: ['a'] },
    authorized({ exp: Math.floor(Date.now() / 1_000) + 2 }),
  );
  const revoked = follow(api.client, { filters: ['a'] }, authorized({ sub: 'mallory' }));
  const staying = follow(api.client, { filters: ['a'] });
  await Promise.all([expiring.brought(1), revoked.brought(1), staying.brought(1)]);
  api.revoke('mallory');
  const ends = [await revoked.ended, await expiring.ended];
  void api.api.drain(new AbortController().signal);
  ends.push(await staying.ended);
  assert.deepEqual(
    ends.map(({ code, metadata }) => [code, metadata.get('pushfleet-code')[0]]),
    [
      [status.UNAUTHENTICATED, 'token_revoked'],
      [status.UNAUTHENTICATED, 'token_expired'],
      [status.UNAVAILABLE, 'draining'],
    ],
  );
  assert.equal(api.api.subscriptions, 0);
});

test('two namespaces do not see each other', async (t) => {
  const api = await startGrpc();
  t.after(() => api.stop());
  const mine = follow(api.client, { filters: ['#'] }, authorized({ ns: 'mine' }));
  await mine.brought(1);
  await publish(api, 'a', ['theirs']);
  await api.backbone
    .bus('mine' as Namespace)
    .publish([{ id: 'mine', source: 's', topic: 'a' as never, contentType: 'x', payload: Buffer.alloc(1) }]);
  assert.deepEqual(idsOf(await mine.brought(2)), ['mine']);
});
