import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '@pushfleet/contract';

import { dataOf, HandClient, type Received, startBayeux } from './testing.ts';

const name = (suffix: string): string => `PUSHFLEET_EDGE_LONGPOLL_${suffix}`;

describe('limits', () => {
  test('messages of a request', async (t) => {
    const { url } = await startBayeux(t, { env: { [name('BAYEUX_MESSAGES')]: '3' } });
    const client = new HandClient(url);
    const of = (count: number) => client.post(Array(count).fill({ channel: '/a', data: 1 }));
    assert.equal((await of(2)).length, 2);
    assert.equal((await of(3)).length, 3);
    const [refused, ...more] = await of(4);
    assert.deepEqual(more, []);
    assert.match(refused?.error ?? '', /^400:/);
    assert.deepEqual([refused?.ext?.pushfleet?.code, refused?.ext?.pushfleet?.limit], ['request_invalid', 3]);
  });

  test('bytes of a request', async (t) => {
    const { url } = await startBayeux(t, { env: { [name('BODY_BYTES')]: '1024' } });
    const client = new HandClient(url);
    const of = (bytes: number): Promise<Received[]> => {
      const empty = JSON.stringify([{ channel: '/a', data: '' }]).length;
      return client.post([{ channel: '/a', data: 'x'.repeat(bytes - empty) }]);
    };
    assert.equal((await of(1_023))[0]?.successful, true);
    assert.equal((await of(1_024))[0]?.successful, true);
    assert.match((await of(1_025))[0]?.error ?? '', /^413:/);
  });

  test('subscriptions of a session', async (t) => {
    const { url } = await startBayeux(t, { env: { [name('BAYEUX_SUBSCRIPTIONS')]: '3' } });
    const client = new HandClient(url);
    await client.handshake();
    assert.equal((await client.subscribe(['/a', '/b'])).successful, true);
    const both = await client.subscribe(['/c', '/d']);
    assert.equal(both.ext?.pushfleet?.code, 'too_many_filters');
    assert.equal((await client.subscribe('/c')).successful, true);
    assert.equal((await client.subscribe('/c')).successful, true);
    assert.equal((await client.subscribe('/d')).ext?.pushfleet?.limit, 3);
    assert.equal((await client.subscribe(['/1', '/2', '/3', '/4'])).ext?.pushfleet?.code, 'too_many_filters');
    assert.equal((await client.subscribe('/service/x')).successful, true);
  });

  test('sessions of a process, and of a subject', async (t) => {
    for (const [suffix, code] of [
      ['CONNECTIONS', 'too_many_connections'],
      ['CONNECTIONS_PER_SUBJECT', 'too_many_connections'],
    ] as const) {
      const { url } = await startBayeux(t, { env: { [name(suffix)]: '2' } });
      const client = new HandClient(url);
      await client.handshake();
      assert.equal((await client.handshake()).successful, true);
      const refused = await client.handshake();
      assert.match(refused.error ?? '', /^503:/);
      assert.equal(refused.ext?.pushfleet?.code, code);
      assert.equal(refused.advice?.reconnect, 'handshake');
      assert.ok((refused.advice?.interval ?? 0) >= 1_000);
    }
  });

  test('the quotas of a namespace', async (t) => {
    const { url } = await startBayeux(t, { quota: { connections: 2, subscriptions: 2 } });
    const client = new HandClient(url);
    await client.handshake();
    assert.equal((await client.subscribe(['/a', '/b'])).successful, true);
    assert.equal((await client.subscribe('/c')).ext?.pushfleet?.code, 'quota_subscriptions');
    const { clientId } = client;
    await client.post([{ channel: '/meta/unsubscribe', clientId, subscription: '/a' }]);
    assert.equal((await client.subscribe('/c')).successful, true);
    const other = new HandClient(url);
    await other.handshake();
    assert.equal((await other.subscribe('/x')).ext?.pushfleet?.code, 'quota_subscriptions');
    assert.equal((await new HandClient(url).handshake()).ext?.pushfleet?.code, 'quota_connections');
    await client.post([{ channel: '/meta/disconnect', clientId }]);
    assert.equal((await other.subscribe(['/x', '/y'])).successful, true);
  });

  test('the rate of a subject', async (t) => {
    const { url } = await startBayeux(t, { env: { [name('RATE')]: '1', [name('BURST')]: '3' } });
    const client = new HandClient(url);
    const answers = await client.post(Array(4).fill({ channel: '/a', data: 1 }));
    assert.deepEqual(
      answers.map(({ error }) => error?.slice(0, 3)),
      [undefined, undefined, undefined, '429'],
    );
  });

  test('a slow client is given all of it from the log, answer by answer', async (t) => {
    const env = { [name('OUTBOX_COUNT')]: '5', [name('BATCH_COUNT')]: '10' };
    const { url, publish } = await startBayeux(t, { env });
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/n');
    for (let n = 0; n < 100; n++) await publish('n', String(n));
    const seen: unknown[] = [];
    while (seen.length < 100) {
      const data = dataOf(await client.connect());
      assert.ok(data.length <= 10);
      seen.push(...data);
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 100 }, (_, n) => String(n)),
    );
  });
});

describe('a request that is none', () => {
  for (const [what, init, status] of [
    ['no JSON', { body: '{' }, 400],
    ['no message', { body: '[1]' }, 400],
    ['of another type', { body: '[]', headers: { 'content-type': 'text/plain' } }, 415],
    ['by another method', { method: 'PUT', body: '[]' }, 405],
  ] as const) {
    test(`is refused: ${what}`, async (t) => {
      const { url } = await startBayeux(t);
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(url, { method: 'POST', headers, ...init });
      assert.equal(answer.status, status);
      await answer.json();
    });
  }

  test('of no messages is answered by none', async (t) => {
    const { url } = await startBayeux(t);
    assert.deepEqual(await new HandClient(url).post([]), []);
  });
});

describe('callback-polling and forms', () => {
  test('take messages as parameters', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a');
    await publish('a', '\u2028');
    const message = JSON.stringify(client.connectMessage({ connectionType: 'callback-polling' }));
    const script = await fetch(`${url}?jsonp=on.it&message=${encodeURIComponent(message)}`);
    assert.match(script.headers.get('content-type') ?? '', /^text\/javascript/);
    const text = await script.text();
    assert.match(text, /^\/\*\*\/on\.it\(\[.*\]\);$/);
    assert.ok(!text.includes('\u2028'));
    assert.deepEqual(dataOf(JSON.parse(text.slice(10, -2)) as Received[]), ['\u2028']);
    const body = new URLSearchParams([
      ['message', JSON.stringify([{ channel: '/x', clientId: client.clientId, data: 1 }])],
      ['message', JSON.stringify({ channel: '/y', clientId: client.clientId, data: 1 })],
    ]);
    const form = await fetch(url, { method: 'POST', body });
    const answers = (await form.json()) as Received[];
    assert.deepEqual(
      answers.map(({ channel, successful }) => [channel, successful]),
      [
        ['/x', true],
        ['/y', true],
      ],
    );
  });

  test('refuse a callback that is none, and a request without messages', async (t) => {
    const { url } = await startBayeux(t);
    for (const query of ['?jsonp=alert(1)&message=[]', '?jsonp=x', '']) {
      assert.equal((await fetch(url + query)).status, 400);
    }
  });
});

test('a client that is gone leaves nothing behind', async (t) => {
  const env = { [name('BAYEUX_IDLE_SECONDS')]: '1' };
  const { url, edge, hubs } = await startBayeux(t, { env });
  for (let n = 0; n < 20; n++) {
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a');
  }
  assert.equal(edge.size, 20);
  await until(() => edge.size === 0 && hubs.stats().feeds === 0, 'all are let go');
});
