import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { draft, notified } from '../subscriptions/testing.ts';
import { alice, hook, type Json, startWebhookFleet, type WebhookFleet } from './testing.ts';

describe('a subscription by X-Callback', () => {
  let fleet: WebhookFleet;
  before(async () => {
    fleet = await startWebhookFleet();
  });
  after(() => fleet.close());

  const topic = '?topic=orders%2F%2B';
  const callback = { 'x-callback': hook.url };
  const create = (path: string, headers: Record<string, string>, body?: unknown) =>
    fleet.ask('POST', `/v1/subscriptions${path}`, { headers, body });

  it('needs no body, and is the webhook that a body would have made', async () => {
    const { status, headers, body } = await create(topic, callback);
    assert.equal(status, 201);
    assert.equal(headers.get('location'), `/v1/subscriptions/${body.id}`);
    assert.match(String(body.secret), /^whsec_/);
    assert.deepEqual(
      [body.filter, body.url, body.state, body.handshake, body.owner, body.notify],
      ['orders/+', hook.url, 'active', 'echo', 'alice', undefined],
    );
    const [{ why, subscription }] = fleet.errands as [(typeof fleet.errands)[0]];
    assert.deepEqual([why, subscription.id], ['handshake', body.id]);
  });

  for (const [query, filter] of [
    ['?topic=orders/+', 'orders/+'],
    ['?topic=orders/+/%23', 'orders/+/#'],
    ['?topic=orders/a+b', 'orders/a b'],
    ['?topic=orders/a?b=c', 'orders/a?b=c'],
    ['?topic=orders/%C3%BC', 'orders/ü'],
  ] as const) {
    it(`takes ${query} for ${filter}`, async () => {
      const { status, body } = await create(query, callback);
      assert.deepEqual([status, body.filter], [201, filter]);
    });
  }

  it('takes the rest from a body', async () => {
    const { status, body } = await create(topic, callback, { format: 'verbatim', lease: 60 });
    assert.deepEqual([status, body.format], [201, 'verbatim']);
    assert.ok(body.expiresAt);
    const byTopic = await create(topic, {}, { url: hook.url });
    assert.deepEqual([byTopic.status, byTopic.body.filter], [201, 'orders/+']);
    const byHeader = await create('', callback, { filter: 'orders/#' });
    assert.deepEqual([byHeader.status, byHeader.body.url], [201, hook.url]);
  });

  it('is answered the same when it is repeated with its key', async () => {
    const headers = { ...callback, 'idempotency-key': 'once' };
    const [first, second] = [await create(topic, headers), await create(topic, headers)];
    assert.deepEqual([first.status, second.status], [201, 201]);
    assert.equal(first.body.id, second.body.id);
  });

  const refusals: readonly [string, string, Record<string, string>, unknown, number, string][] = [
    ['a topic twice', `${topic}&topic=a`, callback, undefined, 400, 'request_invalid'],
    ['a topic there and in the body', topic, callback, { filter: 'orders/1' }, 400, 'request_invalid'],
    ['a URL there and in the body', topic, callback, { target_url: hook.url }, 400, 'request_invalid'],
    ['a topic that is not UTF-8', '?topic=orders%2F%FF', callback, undefined, 400, 'request_invalid'],
    ['a broken escape', '?topic=orders%2', callback, undefined, 400, 'request_invalid'],
    ['no topic', '', callback, undefined, 400, 'request_invalid'],
    ['no callback', topic, {}, undefined, 400, 'request_invalid'],
    ['two callbacks', topic, { 'x-callback': `${hook.url}, ${hook.url}` }, undefined, 400, 'request_invalid'],
    [
      'a callback in raw UTF-8',
      topic,
      { 'x-callback': Buffer.from('https://bücher.example/').toString('latin1') },
      undefined,
      400,
      'request_invalid',
    ],
    ['another parameter', `${topic}&lease=60`, callback, undefined, 400, 'request_invalid'],
    ['a body that is no object', topic, callback, [], 400, 'request_invalid'],
    ['no filter', '?topic=orders%2F%23%2Fa', callback, undefined, 400, 'request_invalid'],
    ['a filter that is not granted', '?topic=secrets', callback, undefined, 403, 'forbidden'],
    ['an inner address', topic, { 'x-callback': 'https://10.0.0.1/' }, undefined, 422, 'target_refused'],
  ];
  for (const [what, path, headers, body, status, code] of refusals) {
    it(`is refused with ${what}`, async () => {
      const answer = await create(path, headers, body);
      assert.deepEqual([answer.status, answer.body.code], [status, code], JSON.stringify(answer.body));
    });
  }

  it('is refused where the receiver does not confirm', async () => {
    fleet.answer = () => ({ verdict: 'rejected', status: 200, durationMs: 1 });
    const { status, body } = await create(topic, callback);
    assert.deepEqual([status, body.code], [422, 'handshake_failed']);
  });
});

describe('a receiver of notifications, among webhooks', () => {
  let fleet: WebhookFleet;
  const path = '/v1/subscriptions/notified';
  before(async () => {
    fleet = await startWebhookFleet();
    const authority = { subject: 'alice', tokenId: '', issuedAt: undefined, subscribeGrants: ['orders/#'] };
    const expiresAt = new Date(Date.now() + 60_000);
    const target = notified();
    await fleet.store.create(draft({ id: 'notified', filter: 'orders/1', authority, expiresAt, target }));
  });
  after(() => fleet.close());

  it('is listed and read with its form', async () => {
    const { body } = await fleet.ask('GET', path);
    assert.deepEqual([body.notify, body.handshake, body.ordered, body.keys], ['gena', 'notify', true, []]);
    const { body: list } = await fleet.ask('GET', '/v1/subscriptions', { claims: alice });
    assert.deepEqual(
      (list.subscriptions as Json[]).map(({ id }) => id),
      ['notified'],
    );
  });

  it('can be given a secret, a format and another lease', async () => {
    const { body } = await fleet.ask('POST', `${path}/rotate-secret`);
    assert.match(String(body.secret), /^whsec_/);
    const changed = await fleet.ask('PATCH', path, { body: { format: 'verbatim', lease: 90 } });
    assert.deepEqual([changed.status, changed.body.format], [200, 'verbatim']);
  });

  for (const body of [{ url: hook.url }, { filter: 'orders/2' }, { ordered: false }, { expiresAt: null }]) {
    it(`does not change by ${JSON.stringify(body)}`, async () => {
      const { status, body: problem } = await fleet.ask('PATCH', path, { body });
      assert.deepEqual([status, problem.code], [400, 'request_invalid']);
    });
  }

  it('is paused, resumed, tested and ended like any other', async () => {
    assert.equal((await fleet.ask('POST', `${path}/pause`)).body.state, 'paused');
    assert.equal((await fleet.ask('POST', `${path}/resume`)).body.state, 'active');
    assert.equal((await fleet.ask('POST', `${path}/test`)).status, 200);
    assert.equal((await fleet.ask('DELETE', path)).status, 204);
  });
});
