import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Errand } from '@pushfleet/delivery';
import type { Subscription } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { webhookOf } from './subscriptions/json.ts';
import {
  alice,
  bob,
  delivered,
  hook,
  type Json,
  manager,
  startWebhookFleet,
  type WebhookFleet,
} from './testing.ts';

describe('subscriptions', () => {
  let fleet: WebhookFleet;
  let made = 0;

  before(async () => {
    fleet = await startWebhookFleet();
  });
  after(() => fleet.close());

  const create = async (more: Json = {}, claims: Json = alice): Promise<Json> => {
    const body = { id: `s${++made}`, ...hook, ...more };
    const { status, body: created } = await fleet.ask('POST', '/v1/subscriptions', { claims, body });
    assert.equal(status, 201, JSON.stringify(created));
    return created;
  };
  const at = ({ id }: Json, below = ''): string => `/v1/subscriptions/${id}${below}`;
  const codeOf = async (...asked: Parameters<WebhookFleet['ask']>): Promise<unknown> =>
    (await fleet.ask(...asked)).body.code;

  /** The record as the worker is given it. */
  const recordOf = async (created: Json, claims: Json = alice): Promise<Subscription> => {
    assert.equal((await fleet.ask('POST', at(created, '/test'), { claims })).status, 200);
    const errand = fleet.errands.findLast(({ subscription }) => subscription.id === created.id);
    return (errand as Errand).subscription;
  };

  it('answers a creation with where it is, its revision, and the secret once', async () => {
    const { status, headers, body } = await fleet.ask('POST', '/v1/subscriptions', { body: hook });
    assert.equal(status, 201);
    assert.equal(headers.get('location'), `/v1/subscriptions/${body.id}`);
    assert.match(String(headers.get('etag')), /^"\d+"$/);
    assert.match(String(body.secret), /^whsec_[A-Za-z0-9+/]{43}=$/);
    assert.deepEqual(
      [body.filter, body.url, body.format, body.ordered, body.owner, body.state, body.handshake],
      [hook.filter, hook.url, 'binary', false, 'alice', 'active', 'echo'],
    );
    const read = await fleet.ask('GET', at(body));
    assert.equal(read.body.secret, undefined);
    assert.deepEqual(read.body.backlog, { queued: 0, retrying: 0, dead: 0 });
    assert.equal(read.headers.get('etag'), headers.get('etag'));
  });

  it('keeps every field, and shows all but the values of headers', async () => {
    const given = {
      format: 'structured',
      types: ['a', 'b'],
      expression: 'attributes.region == "eu"',
      rate: 5,
      concurrency: 2,
      ordered: true,
      timeout: 7,
      handshake: 'cloudevents',
      description: 'für die Läden',
      expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
    };
    const created = await create({ ...given, headers: { 'X-Api-Key': 'a secret' } });
    for (const [name, value] of Object.entries(given)) assert.deepEqual(created[name], value);
    assert.deepEqual(created.headerNames, ['X-Api-Key']);
    assert.doesNotMatch(JSON.stringify(created), /a secret/);
  });

  it('takes the names of REST Hooks', async () => {
    const body = { event: 'orders/new', target_url: 'https://hooks.example.com/1' };
    const created = await fleet.ask('POST', '/v1/subscriptions', { body });
    assert.deepEqual([created.body.filter, created.body.url], [body.event, body.target_url]);
  });

  it('signs by a secret that is given, or by a key of its own whose public half is shown', async () => {
    const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
    assert.equal((await create({ secret })).secret, secret);
    const { publicKey, secret: none, keys } = await create({ signing: 'ed25519' });
    assert.match(String(publicKey), /^whpk_[A-Za-z0-9+/]{43}=$/);
    assert.equal(none, undefined);
    assert.equal((keys as Json[])[0]?.publicKey, publicKey);
  });

  it('answers a creation that is repeated with its key the same, and refuses the key for another', async () => {
    const headers = { 'idempotency-key': 'order-hook-1' };
    const first = await fleet.ask('POST', '/v1/subscriptions', { headers, body: hook });
    const again = await fleet.ask('POST', '/v1/subscriptions', { headers, body: hook });
    assert.deepEqual(
      [again.status, again.body.id, again.body.secret],
      [201, first.body.id, first.body.secret],
    );
    const rotated = await fleet.ask('POST', at(first.body, '/rotate-secret'));
    const late = await fleet.ask('POST', '/v1/subscriptions', { headers, body: hook });
    assert.deepEqual([rotated.status, late.status, late.body.secret], [200, 201, undefined]);
    const other = { ...hook, filter: 'orders/other' };
    assert.equal(await codeOf('POST', '/v1/subscriptions', { headers, body: other }), 'conflict');
    const others = await fleet.ask('POST', '/v1/subscriptions', { headers, body: hook, claims: bob });
    assert.notEqual(others.body.id, first.body.id);
  });

  it('has no two of one id', async () => {
    const { id } = await create();
    assert.equal(await codeOf('POST', '/v1/subscriptions', { body: { ...hook, id } }), 'conflict');
    assert.equal(
      await codeOf('POST', '/v1/subscriptions', { body: { ...hook, id }, claims: bob }),
      'conflict',
    );
  });

  it('asks the receiver first, and keeps nothing of one that refuses', async () => {
    fleet.answer = () => ({ verdict: 'rejected', status: 404, durationMs: 1, error: 'It answered 404.' });
    const { status, body } = await fleet.ask('POST', '/v1/subscriptions', {
      body: { ...hook, id: 'refused' },
    });
    fleet.answer = () => delivered;
    assert.deepEqual([status, body.code, body.receiverStatus], [422, 'handshake_failed', 404]);
    assert.match(String(body.detail), /It answered 404/);
    assert.equal((await fleet.ask('GET', '/v1/subscriptions/refused')).status, 404);
  });

  it('takes a receiver without a handshake only where the operator allows it', async () => {
    const body = { ...hook, handshake: 'none' };
    const { body: problem } = await fleet.ask('POST', '/v1/subscriptions', { body });
    assert.equal(problem.code, 'request_invalid');
    assert.match(String(problem.detail), /PUSHFLEET_WEBHOOK_UNCONFIRMED/);
    const open = await startWebhookFleet({ PUSHFLEET_WEBHOOK_UNCONFIRMED: 'true' });
    try {
      const created = await open.ask('POST', '/v1/subscriptions', { body });
      assert.deepEqual([created.status, created.body.state, open.errands.length], [201, 'active', 0]);
    } finally {
      await open.close();
    }
  });

  it('changes what a merge patch names, and removes what it makes null', async () => {
    const created = await create({
      rate: 5,
      types: ['a'],
      headers: { 'X-One': '1', 'X-Two': '2' },
      lease: 600,
    });
    const { status, body } = await fleet.ask('PATCH', at(created), {
      headers: { 'content-type': 'application/merge-patch+json' },
      body: {
        rate: null,
        types: null,
        headers: { 'x-two': null, 'X-Three': '3' },
        timeout: 9,
        expiresAt: null,
      },
    });
    assert.equal(status, 200);
    assert.deepEqual(
      [body.rate, body.types, body.timeout, body.expiresAt],
      [undefined, undefined, 9, undefined],
    );
    assert.deepEqual(body.headerNames, ['X-One', 'X-Three']);
    const headers = webhookOf(await recordOf(created)).headers;
    assert.deepEqual(
      headers.map(({ name, value }) => `${name}: ${value}`),
      ['X-One: 1', 'X-Three: 3'],
    );
  });

  it('changes nothing that somebody else has changed since it was read', async () => {
    const created = await create();
    const { headers } = await fleet.ask('GET', at(created));
    const ifMatch = { 'if-match': String(headers.get('etag')) };
    const first = await fleet.ask('PATCH', at(created), { headers: ifMatch, body: { rate: 1 } });
    assert.equal(first.status, 200);
    const second = await fleet.ask('PATCH', at(created), { headers: ifMatch, body: { rate: 2 } });
    assert.deepEqual([second.status, second.body.code], [412, 'precondition_failed']);
    assert.equal((await fleet.ask('DELETE', at(created), { headers: ifMatch })).status, 412);
    assert.equal((await fleet.ask('DELETE', at(created), { headers: { 'if-match': 'x y' } })).status, 400);
    assert.equal((await fleet.ask('DELETE', at(created), { headers: { 'if-match': '*' } })).status, 204);
    assert.equal((await fleet.ask('DELETE', at(created))).status, 404);
  });

  it('makes concurrent changes one after the other', async () => {
    const created = await create();
    const names = ['rate', 'concurrency', 'timeout'];
    await Promise.all(names.map((name) => fleet.ask('PATCH', at(created), { body: { [name]: 7 } })));
    const { body } = await fleet.ask('GET', at(created));
    assert.deepEqual(
      names.map((name) => body[name]),
      [7, 7, 7],
    );
  });

  it('asks a receiver at a new address first, and stays where it was while that one does not confirm', async () => {
    const created = await create();
    const url = 'https://other.example.com/hooks';
    fleet.answer = ({ why }) =>
      why === 'handshake' ? { verdict: 'rejected', status: 400, durationMs: 1 } : delivered;
    const refused = await fleet.ask('PATCH', at(created), { body: { url } });
    fleet.answer = () => delivered;
    assert.deepEqual([refused.status, refused.body.code], [422, 'handshake_failed']);
    const { body } = await fleet.ask('GET', at(created));
    assert.deepEqual([body.url, body.state], [hook.url, 'active']);
    const moved = await fleet.ask('PATCH', at(created), { body: { url } });
    assert.deepEqual([moved.body.url, moved.body.state], [url, 'active']);
    const { subscription } = fleet.errands.at(-1) as Errand;
    assert.deepEqual(
      webhookOf(subscription).secrets.map(({ secret }) => `whsec_${secret.toString('base64')}`),
      [created.secret],
      'the handshake is signed as deliveries are',
    );
    const { body: all } = await fleet.ask('GET', '/v1/subscriptions', { claims: manager });
    assert.ok((all.subscriptions as Json[]).every(({ state }) => state !== 'pending'));
  });

  it('rotates the secret, with two of them for a while', async () => {
    const created = await create();
    const rotated = await fleet.ask('POST', at(created, '/rotate-secret'));
    assert.notEqual(rotated.body.secret, created.secret);
    const keys = rotated.body.keys as Json[];
    const left = Date.parse(String(keys[1]?.expiresAt)) - Date.now();
    assert.ok(keys.length === 2 && left > 86_390_000 && left <= 86_400_000);
    const again = await fleet.ask('POST', at(created, '/rotate-secret'), {
      body: { signing: 'ed25519', overlap: 60 },
    });
    assert.deepEqual(
      (again.body.keys as Json[]).map(({ signing }) => signing),
      ['ed25519', 'hmac'],
    );
    const alone = await fleet.ask('POST', at(created, '/rotate-secret'), { body: { overlap: 0 } });
    assert.deepEqual([(alone.body.keys as Json[]).length, typeof alone.body.publicKey], [1, 'string']);
  });

  it('pauses and resumes', async () => {
    const created = await create();
    assert.equal((await fleet.ask('POST', at(created, '/pause'))).body.state, 'paused');
    assert.equal((await fleet.ask('POST', at(created, '/pause'))).body.state, 'paused');
    assert.equal((await fleet.ask('POST', at(created, '/resume'))).body.state, 'active');
    assert.equal((await fleet.ask('POST', at(created, '/resume'))).status, 200);
  });

  describe('who may', () => {
    it('subscribe only what one grant covers', async () => {
      for (const filter of ['#', 'orders/', 'other', 'orders/#/x', '$hooks/#']) {
        const { status } = await fleet.ask('POST', '/v1/subscriptions', { body: { ...hook, filter } });
        assert.ok(
          status === (filter === 'orders/' ? 201 : filter === 'orders/#/x' ? 400 : 403),
          `${filter}: ${status}`,
        );
      }
    });

    it('not see what belongs to others, unless they manage its filter', async () => {
      const created = await create();
      const part = { sub: 'part', pushfleet: { manage: ['orders/#'] } };
      const elsewhere = { sub: 'else', pushfleet: { manage: ['orders/+', 'news/#'] } };
      const namesake = { ...alice, ns: 'another' };
      for (const [claims, expected] of [
        [alice, 200],
        [manager, 200],
        [part, 200],
        [bob, 404],
        [elsewhere, 404],
        [namesake, 404],
      ] as const) {
        assert.equal((await fleet.ask('GET', at(created), { claims })).status, expected, claims.sub);
        for (const [method, below] of [
          ['GET', '/attempts'],
          ['GET', '/dead-letters'],
        ] as const) {
          assert.equal((await fleet.ask(method, at(created, below), { claims })).status, expected);
        }
      }
      for (const [method, below, body] of [
        ['PATCH', '', { rate: 1 }],
        ['DELETE', '', undefined],
        ['POST', '/pause', undefined],
        ['POST', '/resume', undefined],
        ['POST', '/rotate-secret', undefined],
        ['POST', '/test', undefined],
        ['POST', '/replay', { since: '2030-01-01T00:00:00Z' }],
        ['POST', '/dead-letters/redeliver', undefined],
        ['POST', '/dead-letters/1/redeliver', undefined],
      ] as const) {
        assert.equal((await fleet.ask(method, at(created, below), { claims: bob, body })).status, 404);
      }
    });

    it('list their own, or all that they manage', async () => {
      const mine = await create({ filter: 'orders/mine' });
      const others = await create({ filter: 'orders/mine' }, bob);
      const list = async (query: string, claims: Json): Promise<unknown[]> => {
        const { body } = await fleet.ask('GET', `/v1/subscriptions?filter=orders/mine${query}`, { claims });
        return (body.subscriptions as Json[]).map(({ id }) => id).toSorted();
      };
      const both = [mine.id, others.id].toSorted();
      assert.deepEqual(await list('', alice), [mine.id]);
      assert.deepEqual(await list('&owner=alice', alice), [mine.id]);
      assert.deepEqual(await list('', manager), both);
      assert.deepEqual(await list('', { sub: 'x', pushfleet: { manage: ['orders/mine'] } }), both);
      assert.deepEqual(await list('&owner=bob', manager), [others.id]);
      assert.deepEqual(await list('&state=paused', manager), []);
      assert.equal(await codeOf('GET', '/v1/subscriptions?owner=bob'), 'forbidden');
    });

    it('not make deliveries happen with a token that does not grant them', async () => {
      const created = await create();
      const less = { ...alice, pushfleet: { subscribe: ['news/#'] } };
      assert.equal((await fleet.ask('GET', at(created), { claims: less })).status, 200);
      for (const [method, below, body] of [
        ['PATCH', '', { rate: 1 }],
        ['POST', '/rotate-secret', undefined],
        ['POST', '/test', undefined],
        ['POST', '/resume', undefined],
        ['POST', '/replay', { since: '2030-01-01T00:00:00Z' }],
      ] as const) {
        assert.equal((await fleet.ask(method, at(created, below), { claims: less, body })).status, 403);
      }
      assert.equal((await fleet.ask('POST', at(created, '/pause'), { claims: less })).status, 200);
      assert.equal((await fleet.ask('DELETE', at(created), { claims: less })).status, 204);
    });

    it('change the filter only as its owner, within a grant', async () => {
      const created = await create();
      const path = at(created);
      assert.equal((await fleet.ask('PATCH', path, { claims: manager, body: { rate: 3 } })).status, 200);
      assert.equal(
        (await fleet.ask('PATCH', path, { claims: manager, body: { filter: 'orders/1' } })).status,
        403,
      );
      assert.equal((await fleet.ask('PATCH', path, { body: { filter: 'news/#' } })).status, 403);
      const both = {
        sub: 'alice',
        jti: 'token-2',
        pushfleet: { subscribe: ['news/#', 'orders/#', 'news/1'] },
      };
      const changed = await fleet.ask('PATCH', path, { claims: both, body: { filter: 'news/1' } });
      assert.deepEqual([changed.status, changed.body.filter], [200, 'news/1']);
      const { authority } = await recordOf(created, both);
      assert.deepEqual([authority?.tokenId, authority?.subscribeGrants], ['token-2', ['news/#', 'news/1']]);
    });

    it('not have the headers of others sent elsewhere', async () => {
      const created = await create({ headers: { Authorization: 'Bearer of the owner' } });
      const moved = { url: 'https://elsewhere.example.com/', headers: { 'X-Mine': '1' } };
      const patch = (body: Json) => fleet.ask('PATCH', at(created), { claims: manager, body });
      assert.equal((await patch({ url: moved.url })).status, 403);
      assert.equal((await patch(moved)).status, 403);
      const bare = await patch({ url: moved.url, headers: null });
      assert.deepEqual([bare.status, bare.body.headerNames], [200, []]);
      assert.equal((await patch(moved)).status, 200);
    });
  });

  it('pages through a list', async () => {
    const claims = { ...alice, sub: 'collector' };
    const ids: unknown[] = [];
    for (let n = 0; n < 5; n++) ids.push((await create({}, claims)).id);
    const seen: unknown[] = [];
    for (let after = ''; ; ) {
      const { body } = await fleet.ask('GET', `/v1/subscriptions?limit=2&after=${after}`, { claims });
      seen.push(...(body.subscriptions as Json[]).map(({ id }) => id));
      if (body.next === undefined) break;
      after = encodeURIComponent(String(body.next));
    }
    assert.deepEqual(seen, ids.toSorted());
  });

  it('holds back who asks too often', async () => {
    const slow = await startWebhookFleet({
      PUSHFLEET_SUBSCRIPTION_RATE: '1',
      PUSHFLEET_SUBSCRIPTION_BURST: '2',
    });
    try {
      const statuses = [];
      for (let n = 0; n < 3; n++)
        statuses.push((await slow.ask('POST', '/v1/subscriptions', { body: hook })).status);
      assert.deepEqual(statuses, [201, 201, 429]);
      assert.equal((await slow.ask('POST', '/v1/subscriptions', { claims: bob, body: hook })).status, 201);
      assert.equal((await slow.ask('GET', '/v1/subscriptions')).status, 200);
    } finally {
      await slow.close();
    }
  });
});
