import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import {
  NotifyForm,
  type Subscription,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { RateLimit } from '@pushfleet/runtime';
import { Subscribing } from '../subscribe/subscribing.ts';
import { startHttp, token } from '../testing.ts';

const gena = { NT: 'upnp:event', CALLBACK: '<https://a.example/events>' };
const webdav = { 'Notification-Type': 'update', 'Call-Back': 'https://a.example/in' };
const sidOf = (answer: Response): string => answer.headers.get('sid') ?? '';
const idIn = (sid: string): string => sid.slice('uuid:'.length);

/** Records and questions in memory, in place of a registry and its workers. */
class Registry {
  readonly records = new Map<string, Subscription>();
  readonly asked: string[] = [];
  readonly forgotten: string[] = [];
  failure: PushfleetError | undefined;
  askFails: PushfleetError | undefined;
  /** Changes that somebody else makes first. */
  overruns = 0;

  readonly calls = {
    find: async ({ id }: { readonly id: string }) => this.records.get(id),
    create: async (subscription: Subscription) => {
      if (this.failure?.code !== 'unavailable') this.#requireWell();
      this.records.set(subscription.id, subscription);
      this.#requireWell();
      return subscription;
    },
    change: async (subscription: Subscription, fields: readonly string[]) => {
      if (this.overruns-- > 0) throw new PushfleetError('conflict', 'somebody was first');
      assert.deepEqual(fields, ['expires_at', 'authority']);
      this.records.set(subscription.id, subscription);
      return subscription;
    },
    end: async ({ id }: { readonly id: string }) => {
      if (this.overruns-- > 0) throw new PushfleetError('conflict', 'somebody was first');
      this.records.delete(id);
    },
  };

  #requireWell(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  readonly control = {
    ask: async ({ id }: { readonly id: string }) => {
      if (this.askFails !== undefined) throw this.askFails;
      this.asked.push(id);
    },
    forget: async ({ id }: { readonly id: string }) => void this.forgotten.push(id),
  };
}

describe('SUBSCRIBE and UNSUBSCRIBE', () => {
  const registry = new Registry();
  const checkUrl = (url: string): void => {
    if (url.includes('10.0.0.1')) throw new PushfleetError('target_refused', 'an inner address');
  };
  let api: Awaited<ReturnType<typeof startHttp>>;
  before(async () => {
    api = await startHttp({
      subscribing: new Subscribing({
        registry: registry.calls,
        control: registry.control,
        checkUrl,
        lease: { usualMs: 1_800_000, leastMs: 60_000, mostMs: 86_400_000 },
        rate: new RateLimit({ perSecond: 1_000, burst: 1_000 }),
      }),
    });
  });
  after(() => api.stop());

  const ask = (
    method: string,
    headers: Record<string, string>,
    { claims = {}, path = '/orders/1' }: { readonly claims?: object; readonly path?: string } = {},
  ): Promise<Response> =>
    fetch(`${api.url}/v1/topics${path}`, {
      method,
      headers: { authorization: `Bearer ${token(claims)}`, ...headers },
    });
  const codeOf = async (answer: Response): Promise<readonly [number, string]> => [
    answer.status,
    ((await answer.json()) as { code: string }).code,
  ];

  test('GENA: a subscription is stored pending, its call-back is asked, and the answer names it', async () => {
    const answer = await ask('SUBSCRIBE', { ...gena, TIMEOUT: 'Second-600' }, { claims: { jti: 't1' } });
    assert.deepEqual([answer.status, answer.headers.get('timeout')], [200, 'Second-600']);
    assert.equal(await answer.text(), '');
    assert.match(sidOf(answer), /^uuid:[\da-f-]{36}$/);
    const id = idIn(sidOf(answer));
    const { filter, state, authority, target, expiresAt } = registry.records.get(id) as Subscription;
    assert.deepEqual(
      [filter, state, authority?.subject, authority?.tokenId, authority?.subscribeGrants],
      ['orders/1', SubscriptionState.SUBSCRIPTION_STATE_PENDING, 'publisher', 't1', ['#']],
    );
    const webhook = target?.$case === 'webhook' ? target.webhook : undefined;
    assert.deepEqual(
      [webhook?.url, webhook?.ordered, webhook?.secrets, webhook?.notify],
      ['https://a.example/events', true, [], { form: NotifyForm.NOTIFY_FORM_GENA, callbacks: [] }],
    );
    const leftMs = (expiresAt?.getTime() ?? 0) - Date.now();
    assert.ok(leftMs > 590_000 && leftMs <= 600_000, String(leftMs));
    assert.equal(registry.asked.at(-1), id);
  });

  test('WebDAV: the same, without an order', async () => {
    const answer = await ask('SUBSCRIBE', { ...webdav, 'Subscription-Lifetime': '3600' });
    const id = answer.headers.get('subscription-id') ?? '';
    assert.deepEqual([answer.status, answer.headers.get('subscription-lifetime')], [200, '3600']);
    const { target } = registry.records.get(id) as Subscription;
    const webhook = target?.$case === 'webhook' ? target.webhook : undefined;
    assert.deepEqual(
      [webhook?.url, webhook?.ordered, webhook?.notify?.form],
      ['https://a.example/in', false, NotifyForm.NOTIFY_FORM_WEBDAV],
    );
  });

  for (const [asked, granted] of [
    [undefined, 1_800],
    ['Second-0', 60],
    ['Second-59', 60],
    ['Second-60', 60],
    ['Second-61', 61],
    ['Second-86399', 86_399],
    ['Second-86400', 86_400],
    ['Second-86401', 86_400],
    ['Second-infinite', 86_400],
  ] as const) {
    test(`a lease of ${asked} is granted as ${granted} seconds`, async () => {
      const answer = await ask('SUBSCRIBE', { ...gena, ...(asked && { TIMEOUT: asked }) });
      assert.equal(answer.headers.get('timeout'), `Second-${granted}`);
    });
  }

  test('a topic that paths cannot name is subscribed to by its parameter', async () => {
    const answer = await ask('SUBSCRIBE', gena, { path: '?topic=a%2F..%2Fb' });
    assert.equal(registry.records.get(idIn(sidOf(answer)))?.filter, 'a/../b');
  });

  test('several call-backs are kept in their order', async () => {
    const CALLBACK = '<https://a.example/1><https://b.example/2>';
    const answer = await ask('SUBSCRIBE', { ...gena, CALLBACK });
    const { target } = registry.records.get(idIn(sidOf(answer))) as Subscription;
    const webhook = target?.$case === 'webhook' ? target.webhook : undefined;
    assert.deepEqual(
      [webhook?.url, webhook?.notify?.callbacks],
      ['https://a.example/1', ['https://b.example/2']],
    );
  });

  test('a renewal moves the end of the lease, and takes the right of the token at hand', async () => {
    const first = await ask('SUBSCRIBE', { ...gena, TIMEOUT: 'Second-60' }, { claims: { jti: 'old' } });
    const id = idIn(sidOf(first));
    const before = registry.records.get(id)?.expiresAt?.getTime() ?? 0;
    registry.overruns = 1;
    const headers = { SID: sidOf(first), TIMEOUT: 'Second-900' };
    const answer = await ask('SUBSCRIBE', headers, { claims: { jti: 'new' } });
    assert.deepEqual(
      [answer.status, sidOf(answer), answer.headers.get('timeout')],
      [200, sidOf(first), 'Second-900'],
    );
    const renewed = registry.records.get(id);
    assert.ok((renewed?.expiresAt?.getTime() ?? 0) > before + 800_000);
    assert.equal(renewed?.authority?.tokenId, 'new');
  });

  test('one that others change all the time is to be asked about again', async () => {
    const sid = sidOf(await ask('SUBSCRIBE', gena));
    registry.overruns = Number.POSITIVE_INFINITY;
    for (const method of ['SUBSCRIBE', 'UNSUBSCRIBE']) {
      const answer = await ask(method, { SID: sid });
      assert.equal(answer.headers.get('retry-after'), '1');
      assert.deepEqual(await codeOf(answer), [503, 'unavailable']);
    }
    registry.overruns = 0;
  });

  test('UNSUBSCRIBE ends it, with all that is kept of it', async () => {
    const sid = sidOf(await ask('SUBSCRIBE', gena));
    const answer = await ask('UNSUBSCRIBE', { SID: sid });
    assert.deepEqual([answer.status, await answer.text()], [200, '']);
    assert.equal(registry.records.has(idIn(sid)), false);
    assert.equal(registry.forgotten.at(-1), idIn(sid));
    assert.deepEqual(await codeOf(await ask('UNSUBSCRIBE', { SID: sid })), [412, 'precondition_failed']);
    assert.deepEqual(await codeOf(await ask('SUBSCRIBE', { SID: sid })), [412, 'precondition_failed']);
  });

  test('a subscription of another topic, form or subject is not there', async () => {
    const sid = sidOf(await ask('SUBSCRIBE', gena));
    const bob = { claims: { sub: 'bob' } };
    const strangers = [
      ask('SUBSCRIBE', { SID: sid }, { path: '/orders/2' }),
      ask('UNSUBSCRIBE', { SID: sid }, { path: '/orders/2' }),
      ask('SUBSCRIBE', { 'Subscription-ID': idIn(sid) }),
      ask('SUBSCRIBE', { SID: sid }, bob),
      ask('UNSUBSCRIBE', { SID: sid }, bob),
    ];
    for (const answer of await Promise.all(strangers)) {
      assert.deepEqual(await codeOf(answer), [412, 'precondition_failed']);
    }
    const manager = { sub: 'manager', pushfleet: { manage: true } };
    assert.equal((await ask('UNSUBSCRIBE', { SID: sid }, { claims: manager })).status, 200);
  });

  test('a suspended one is subscribed anew, not renewed', async () => {
    const sid = sidOf(await ask('SUBSCRIBE', gena));
    const held = registry.records.get(idIn(sid)) as Subscription;
    const state = SubscriptionState.SUBSCRIPTION_STATE_SUSPENDED;
    registry.records.set(held.id, { ...held, state });
    assert.deepEqual(await codeOf(await ask('SUBSCRIBE', { SID: sid })), [412, 'precondition_failed']);
  });

  for (const [what, headers, o, status, code] of [
    ['no grant', gena, { claims: { pushfleet: { subscribe: ['news'] } } }, 403, 'forbidden'],
    ['an expired token', gena, { claims: { exp: 1 } }, 401, 'token_expired'],
    ['a wildcard', gena, { path: '/orders/%2B' }, 400, 'topic_invalid'],
    ['a wildcard in a parameter', gena, { path: '?topic=orders/+' }, 400, 'topic_invalid'],
    ['another parameter', gena, { path: '/orders/1?x=1' }, 400, 'request_invalid'],
    ['an inner address', { ...gena, CALLBACK: '<https://10.0.0.1/>' }, {}, 412, 'precondition_failed'],
    ['incompatible headers', { ...gena, SID: 'uuid:1' }, {}, 400, 'request_invalid'],
  ] as const) {
    test(`SUBSCRIBE with ${what} is refused`, async () => {
      assert.deepEqual(await codeOf(await ask('SUBSCRIBE', headers, o)), [status, code]);
    });
  }

  test('without a token neither is answered', async () => {
    for (const method of ['SUBSCRIBE', 'UNSUBSCRIBE']) {
      const answer = await fetch(`${api.url}/v1/topics/orders/1`, { method, headers: gena });
      assert.deepEqual(await codeOf(answer), [401, 'unauthenticated']);
    }
  });

  test('a namespace that is full is 503 in GENA, as its standard wants it, and 429 otherwise', async () => {
    registry.failure = new PushfleetError('quota_subscriptions', 'full');
    const inGena = await ask('SUBSCRIBE', gena);
    assert.ok(inGena.headers.get('retry-after'));
    assert.deepEqual(await codeOf(inGena), [503, 'unavailable']);
    assert.deepEqual(await codeOf(await ask('SUBSCRIBE', webdav)), [429, 'quota_subscriptions']);
    registry.failure = undefined;
  });

  test('what its call-back could not be asked about is not kept', async () => {
    registry.askFails = new PushfleetError('unavailable', 'no log');
    const before = registry.records.size;
    assert.deepEqual(await codeOf(await ask('SUBSCRIBE', gena)), [503, 'unavailable']);
    assert.equal(registry.records.size, before);
    registry.askFails = undefined;
  });

  test('what may have been stored where the registry gave no answer is not kept', async () => {
    registry.failure = new PushfleetError('unavailable', 'no answer');
    const before = registry.records.size;
    assert.deepEqual(await codeOf(await ask('SUBSCRIBE', gena)), [503, 'unavailable']);
    assert.equal(registry.records.size, before);
    registry.failure = undefined;
  });

  test('OPTIONS names both', async () => {
    const allow = (await ask('OPTIONS', {})).headers.get('allow') ?? '';
    assert.match(allow, /SUBSCRIBE, UNSUBSCRIBE/);
  });

  test('POLL is refused with the reason, and so is the parser’s own', async () => {
    const { port } = new URL(api.url);
    const say = async (request: string): Promise<string> => {
      const socket = connect(Number(port), '127.0.0.1');
      await once(socket, 'connect');
      socket.write(request);
      return text(socket);
    };
    const poll = await say('POLL /v1/topics/orders/1 HTTP/1.1\r\nHost: a\r\nSubscription-ID: 1\r\n\r\n');
    assert.match(poll, /^HTTP\/1\.1 405 /);
    assert.match(poll, /allow: GET, HEAD, POST, DELETE, SUBSCRIBE, UNSUBSCRIBE, OPTIONS/);
    assert.match(poll, /"code":"method_not_allowed"/);
    assert.match(poll, /POLL is not offered/);
    assert.match(await say('NONSENSE /v1/topics/a HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 400 /);
    assert.match(await say('POLL /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 400 /);
  });
});

test('whoever asks too often is told to wait, with 503 in GENA', async () => {
  const registry = new Registry();
  const api = await startHttp({
    subscribing: new Subscribing({
      ...{ registry: registry.calls, control: registry.control, checkUrl: () => {} },
      lease: { usualMs: 60_000, leastMs: 60_000, mostMs: 60_000 },
      rate: new RateLimit({ perSecond: 0.001, burst: 1 }),
    }),
  });
  const ask = async (headers: Record<string, string>) =>
    (
      await fetch(`${api.url}/v1/topics/a`, {
        method: 'SUBSCRIBE',
        headers: { authorization: `Bearer ${token()}`, ...headers },
      })
    ).status;
  assert.deepEqual([await ask(gena), await ask(gena), await ask(webdav)], [200, 503, 429]);
  await api.stop();
});

test('without a registry there is nothing to subscribe to', async () => {
  const api = await startHttp();
  const headers = { authorization: `Bearer ${token()}`, ...gena };
  const answer = await fetch(`${api.url}/v1/topics/a`, { method: 'SUBSCRIBE', headers });
  const { detail } = (await answer.json()) as { detail: string };
  assert.equal(answer.status, 503);
  assert.match(detail, /PUSHFLEET_REGISTRY_URL/);
  await api.stop();
});
