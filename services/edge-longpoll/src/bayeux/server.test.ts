import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { until } from '@pushfleet/contract';
import { token } from '@pushfleet/edge/testing';
import { allToken, dataOf, HandClient, type Received, startBayeux } from './testing.ts';

const seconds = (ms: number): number => Math.floor(ms / 1_000);
const expiringIn = (ms: number): string => allToken({ exp: seconds(Date.now() + ms) });

describe('a session', () => {
  test('shakes hands, subscribes, publishes and receives', async (t) => {
    const { url } = await startBayeux(t);
    const client = new HandClient(url);
    const shaken = await client.handshake();
    assert.equal(shaken.successful, true);
    assert.match(client.clientId, /^[a-z0-9]{32,}$/);
    assert.deepEqual(shaken.advice, { reconnect: 'retry', interval: 0, timeout: 30_000 });
    const subscribed = await client.subscribe('/a/*');
    assert.equal(subscribed.successful, true);
    assert.equal(subscribed.subscription, '/a/*');
    const waiting = client.connect();
    const [published] = await client.post([
      { channel: '/a/b', clientId: client.clientId, data: { n: 1 }, id: 'x' },
    ]);
    assert.equal(published?.successful, true);
    assert.equal(published?.id, 'x');
    const [event, answer] = (await waiting) as [Received, Received];
    assert.equal(event.channel, '/a/b');
    assert.deepEqual(event.data, { n: 1 });
    const { cursor, time, source, id } = event.ext?.pushfleet ?? {};
    assert.equal(cursor, published?.ext?.pushfleet?.cursor);
    assert.equal(id, event.id);
    assert.equal(source, 'ann');
    assert.ok(Math.abs(Date.parse(time as string) - Date.now()) < 60_000);
    assert.equal(answer.channel, '/meta/connect');
    assert.equal(answer.successful, true);
  });

  test('is given what is no JSON as text or as base64', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a');
    await publish('a', 'hi', { contentType: 'text/plain' });
    await publish('a', Buffer.from([0xff]), { contentType: 'image/png' });
    await publish('a', '{"n": 1}', { contentType: 'application/json' });
    await publish('a', '{broken', { contentType: 'application/json' });
    const received = await client.connect();
    while (dataOf(received).length < 4) received.push(...(await client.connect()));
    assert.deepEqual(dataOf(received), [
      'hi',
      { datacontenttype: 'image/png', data_base64: '/w==' },
      { n: 1 },
      { datacontenttype: 'application/json', data_base64: Buffer.from('{broken').toString('base64') },
    ]);
    assert.equal(received[0]?.ext?.pushfleet?.contentType, 'text/plain');
  });

  test('is not given what would speak in the name of the protocol', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/**');
    for (const topic of ['meta/connect', 'service/token', 'a/*', 'a']) await publish(topic, topic);
    assert.deepEqual(dataOf(await client.connect()), ['a']);
    assert.deepEqual(dataOf(await client.connect({ advice: { timeout: 0 } })), ['a']);
  });

  test('is not given a message before the answer is due that another request could overtake', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a');
    await publish('a', '1');
    const [answer, ...more] = await client.post([{ channel: '/b', clientId: client.clientId, data: 1 }]);
    assert.equal(answer?.successful, true);
    assert.deepEqual(more, []);
    assert.deepEqual(dataOf(await client.connect()), ['1']);
  });

  test('resumes a subscription from a cursor, and is given retained publications', async (t) => {
    const { url, publish } = await startBayeux(t);
    await publish('a', 'kept', { retain: true });
    const { cursor } = await publish('a', '1');
    await publish('a', '2');
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a', { after: cursor });
    assert.deepEqual(dataOf(await client.connect()), ['2']);
    const other = new HandClient(url);
    await other.handshake();
    await other.subscribe('/a', { retained: true });
    const [event] = await other.connect();
    assert.deepEqual([event?.data, event?.ext?.pushfleet?.retained], ['kept', true]);
    const refused = await other.subscribe('/b', { after: 'nonsense' });
    assert.match(refused.error ?? '', /^400:\/b:/);
  });

  test('hears of a gap on a service channel', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a', { after: 'zzz-0-5' });
    const [gap] = await client.connect();
    assert.equal(gap?.channel, '/service/gap');
    assert.equal((gap as { data: { from: string } }).data.from, 'zzz-0-5');
    await publish('a', '1');
    assert.deepEqual(dataOf(await client.connect()), ['1']);
  });

  test('unsubscribes', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe(['/a', '/b']);
    const { clientId } = client;
    const [gone] = await client.post([{ channel: '/meta/unsubscribe', clientId, subscription: '/a' }]);
    assert.equal(gone?.successful, true);
    await publish('a', '1');
    await publish('b', '2');
    assert.deepEqual(dataOf(await client.connect()), ['2']);
  });

  test('ends with a disconnect, which releases the connect that waits', async (t) => {
    const { url, edge } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    const waiting = client.connect();
    await until(() => edge.size === 1, 'it is there');
    const [gone] = await client.post([{ channel: '/meta/disconnect', clientId: client.clientId, id: '9' }]);
    assert.deepEqual([gone?.successful, gone?.id], [true, '9']);
    assert.equal((await waiting).at(-1)?.advice?.reconnect, 'none');
    assert.equal(edge.size, 0);
    const [unknown] = await client.connect();
    assert.match(unknown?.error ?? '', new RegExp(`^402:${client.clientId}:`));
    assert.equal(unknown?.advice?.reconnect, 'handshake');
  });

  test('that nobody connects to is let go, and comes back as long as its record is there', async (t) => {
    const env = { PUSHFLEET_EDGE_LONGPOLL_BAYEUX_IDLE_SECONDS: '1' };
    const { url, edge, publish } = await startBayeux(t, { env });
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a');
    await until(() => edge.size === 0, 'it is let go');
    await publish('a', '1');
    assert.deepEqual(dataOf(await client.connect()), ['1']);
    assert.equal(edge.size, 1);
  });
});

describe('a connect', () => {
  test('is answered after its time, or at once where it says so', async (t) => {
    const env = { PUSHFLEET_EDGE_LONGPOLL_BAYEUX_TIMEOUT_SECONDS: '1' };
    const { url } = await startBayeux(t, { env });
    const client = new HandClient(url);
    assert.equal((await client.handshake()).advice?.timeout, 1_000);
    const [answer] = await client.connect();
    assert.equal(answer?.successful, true);
    const [atOnce] = await client.connect({ advice: { timeout: 0 } });
    assert.equal(atOnce?.successful, true);
  });

  test('is answered at once beside other messages, and its answer comes last', async (t) => {
    const { url } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    const { clientId } = client;
    const answers = await client.post([
      client.connectMessage(),
      { channel: '/meta/subscribe', clientId, subscription: '/a' },
      { channel: '/a', clientId, data: 1 },
    ]);
    assert.deepEqual(
      answers.filter(({ data }) => data === undefined).map(({ channel }) => channel),
      ['/meta/subscribe', '/a', '/meta/connect'],
    );
  });

  test('is answered by the one behind it', async (t) => {
    const { url, publish, waiting } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a');
    await client.connect({ advice: { timeout: 0 } });
    const first = client.connect();
    await until(() => waiting() === 1, 'a connect waits');
    const second = client.connect();
    const [answer] = await first;
    assert.deepEqual([answer?.successful, answer?.advice?.interval], [true, 1_000]);
    await publish('a', '1');
    const received = await second;
    assert.deepEqual(dataOf(received), ['1']);
    assert.equal(received.at(-1)?.advice?.interval, 0);
  });

  test('sent again with its id, or without waiting, is given the same again', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a');
    await publish('a', '1');
    assert.deepEqual(dataOf(await client.connect({ id: 'x' })), ['1']);
    assert.deepEqual(dataOf(await client.connect({ id: 'x' })), ['1']);
    assert.deepEqual(dataOf(await client.connect({ advice: { timeout: 0 } })), ['1']);
    await publish('a', '2');
    assert.deepEqual(dataOf(await client.connect()), ['2']);
  });

  test('that never waits is a poll, and is not given the same for ever', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a');
    await publish('a', '1');
    const ask = async () => dataOf(await client.connect({ advice: { timeout: 0 } }));
    let seen = await ask();
    while (seen.length === 0) seen = await ask(); // the session is given it when it comes
    assert.deepEqual(seen, ['1']);
    while (seen.length > 0) seen = await ask(); // until the next connect proved that it arrived
  });

  test('acknowledges batches by their number', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url);
    const shaken = await client.handshake({ ext: { ack: true } });
    assert.equal(shaken.ext?.ack, true);
    await client.subscribe('/a');
    await publish('a', '1');
    const first = await client.connect({ ext: { ack: 0 } });
    const again = await client.connect({ ext: { ack: 0 } });
    assert.deepEqual(dataOf(again), ['1']);
    const batch = again.at(-1)?.ext?.ack ?? 0;
    assert.ok(batch > (first.at(-1)?.ext?.ack ?? 0));
    await publish('a', '2');
    assert.deepEqual(dataOf(await client.connect({ ext: { ack: batch } })), ['2']);
  });

  test('whose client has gone leaves what it was to be given to the next', async (t) => {
    const { url, publish, waiting: waits } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    await client.subscribe('/a');
    const leave = new AbortController();
    const waiting = client.connect({}, leave.signal);
    await until(() => waits() === 1, 'a connect waits');
    leave.abort();
    await assert.rejects(waiting);
    await publish('a', '1');
    assert.deepEqual(dataOf(await client.connect()), ['1']);
  });
});

describe('who asks', () => {
  test('is told by the header, by the cookie, or by the handshake itself', async (t) => {
    const { url, registry } = await startBayeux(t);
    const ways: readonly [Record<string, string>, object, string?][] = [
      [{ authorization: `Bearer ${allToken()}` }, {}],
      [{ cookie: `pushfleet=${allToken()}` }, {}],
      [{}, { ext: { pushfleet: { token: allToken() } } }],
      [{}, { ext: { authentication: { token: allToken() } } }],
      [{}, {}, `${url}?ticket=${registry.ticket(allToken())}`],
    ];
    for (const [headers, fields, at = url] of ways) {
      const client = new HandClient(at, headers);
      assert.equal((await client.handshake(fields)).successful, true);
      assert.equal((await client.subscribe('/a')).successful, true);
    }
  });

  test('is refused without a token or with a bad one, for good', async (t) => {
    const { url } = await startBayeux(t);
    for (const headers of [{}, { authorization: 'Bearer nonsense' }]) {
      const answer = await new HandClient(url, headers as Record<string, string>).handshake();
      assert.equal(answer.successful, false);
      assert.match(answer.error ?? '', /^401:/);
      assert.equal(answer.advice?.reconnect, 'none');
      assert.equal(answer.clientId, undefined);
    }
    const old = await new HandClient(url, {}).handshake({
      ext: { pushfleet: { token: expiringIn(-60_000) } },
    });
    assert.equal(old.ext?.pushfleet?.code, 'token_expired');
  });

  test('may not use the cookie of another page', async (t) => {
    const { url } = await startBayeux(t);
    const headers = { cookie: `pushfleet=${allToken()}`, origin: 'https://evil.example' };
    const answer = await new HandClient(url, headers).handshake();
    assert.match(answer.error ?? '', /^403:/);
  });

  test('may do what the token grants', async (t) => {
    const { url } = await startBayeux(t);
    const granted = token({ pushfleet: { subscribe: ['a/#'], publish: ['b'] } });
    const client = new HandClient(url, { authorization: `Bearer ${granted}` });
    await client.handshake();
    assert.equal((await client.subscribe('/a/**')).successful, true);
    const refused = await client.subscribe(['/a/x', '/c']);
    assert.equal(refused.error, '403:/a/x,/c:The token does not grant this');
    const { clientId } = client;
    const answers = await client.post(
      ['/b', '/c', '/$x', '/meta/x', '/service/x'].map((channel) => ({ channel, clientId, data: 1 })),
    );
    assert.deepEqual(
      answers.map(({ error }) => error?.slice(0, 3)),
      [undefined, '403', '403', '404', '404'],
    );
  });

  test('may publish without a session', async (t) => {
    const { url } = await startBayeux(t);
    const [stored] = await new HandClient(url).post([{ channel: '/a', data: 1, id: '1' }]);
    assert.deepEqual([stored?.successful, stored?.id], [true, '1']);
    const [refused] = await new HandClient(url, {}).post([{ channel: '/a', data: 1 }]);
    assert.match(refused?.error ?? '', /^401:/);
  });

  test('may not use the session of another subject', async (t) => {
    const { url } = await startBayeux(t);
    const client = new HandClient(url);
    await client.handshake();
    const thief = new HandClient(url, { authorization: `Bearer ${allToken({ sub: 'bob' })}` });
    thief.clientId = client.clientId;
    assert.match((await thief.subscribe('/a')).error ?? '', /^403:/);
    assert.match((await thief.connect()).at(-1)?.error ?? '', /^403:/);
  });

  test('is asked to shake hands again when the token expires, and may renew it before', async (t) => {
    const { url, publish } = await startBayeux(t);
    const client = new HandClient(url, {});
    await client.handshake({ ext: { pushfleet: { token: expiringIn(2_000) } } });
    await client.subscribe('/a');
    const [answer] = await client.connect();
    assert.match(answer?.error ?? '', /^401:/);
    assert.equal(answer?.advice?.reconnect, 'handshake');
    assert.match((await client.connect()).at(-1)?.error ?? '', /^401:/);
    const { clientId } = client;
    const renew = (data: unknown) => client.post([{ channel: '/service/token', clientId, data, id: '5' }]);
    const foreign = await renew({ token: allToken({ sub: 'bob' }) });
    assert.match(foreign[0]?.error ?? '', /^403:/);
    const lesser = await renew({ token: token({ pushfleet: {} }) });
    assert.match(lesser[0]?.error ?? '', /^403:/);
    assert.match((await renew({}))[0]?.error ?? '', /^400:/);
    const [renewed, told] = await renew({ token: allToken() });
    assert.equal(renewed?.successful, true);
    assert.ok((told as { data: { expires: number } }).data.expires > Date.now());
    await publish('a', '1');
    assert.deepEqual(dataOf(await client.connect()), ['1']);
  });

  test('renews by a request with a newer token', async (t) => {
    let late = 0;
    const { url } = await startBayeux(t, { now: () => Date.now() + late });
    const client = new HandClient(url, { authorization: `Bearer ${expiringIn(600_000)}` });
    await client.handshake();
    const renewed = new HandClient(url, { authorization: `Bearer ${allToken()}` });
    renewed.clientId = client.clientId;
    assert.equal((await renewed.subscribe('/a')).successful, true);
    const old = new HandClient(url, {});
    await old.handshake({ ext: { pushfleet: { token: expiringIn(600_000) } } });
    late = 601_000;
    assert.match((await old.subscribe('/b')).error ?? '', /^401:/);
    const bare = new HandClient(url, {});
    bare.clientId = client.clientId;
    assert.equal((await bare.subscribe('/b')).successful, true);
  });

  test('hears for good that the token was revoked', async (t) => {
    const { url, registry, edge, waiting: waits } = await startBayeux(t);
    const client = new HandClient(url, {});
    await client.handshake({ ext: { pushfleet: { token: allToken() } } });
    const waiting = client.connect();
    await until(() => waits() === 1, 'a connect waits');
    registry.revoke('ann');
    const [answer] = await waiting;
    assert.match(answer?.error ?? '', /^401:/);
    assert.equal(answer?.advice?.reconnect, 'none');
    assert.equal(edge.size, 0);
    const [later] = await client.connect();
    assert.equal(later?.successful, false);
  });
});

describe('handshakes', () => {
  for (const [what, fields, error] of [
    ['of another version', { version: '2.0', minimumVersion: '2.0' }, '400'],
    ['without a version', { version: undefined }, '400'],
    ['without a connection type in common', { supportedConnectionTypes: ['iframe'] }, '400'],
    ['without connection types', { supportedConnectionTypes: undefined }, '400'],
  ] as const) {
    test(`${what} fail`, async (t) => {
      const { url } = await startBayeux(t);
      const answer = await new HandClient(url).handshake(fields);
      assert.equal(answer.error?.slice(0, 3), error);
      assert.equal(answer.advice?.reconnect, 'none');
    });
  }

  test('are the only messages of their request', async (t) => {
    const { url } = await startBayeux(t);
    const answers = await new HandClient(url).post([
      { channel: '/a', data: 1 },
      { channel: '/meta/handshake', version: '1.0', supportedConnectionTypes: ['long-polling'] },
    ]);
    assert.deepEqual(
      answers.map(({ channel }) => channel),
      ['/meta/handshake'],
    );
  });
});

test('messages without a client id, or of an unknown client, shake hands', async (t) => {
  const { url } = await startBayeux(t);
  const client = new HandClient(url);
  for (const channel of ['/meta/connect', '/meta/subscribe', '/meta/unsubscribe', '/meta/disconnect']) {
    const fields = { channel, connectionType: 'long-polling', subscription: '/a' };
    const [without] = await client.post([fields]);
    assert.match(without?.error ?? '', /^401:/, channel);
    const [unknown] = await client.post([{ ...fields, clientId: 'nobody' }]);
    assert.match(unknown?.error ?? '', /^402:nobody:/, channel);
    assert.equal(unknown?.advice?.reconnect, 'handshake');
  }
  const [published] = await client.post([{ channel: '/a', clientId: 'nobody', data: 1 }]);
  assert.match(published?.error ?? '', /^402:nobody:/);
});

test('curl is a client', async (t) => {
  const { url } = await startBayeux(t);
  const shake = '{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}';
  const headers = ['-H', `Authorization: Bearer ${allToken()}`, '-H', 'Content-Type: application/json'];
  const { stdout } = await promisify(execFile)('curl', ['-s', ...headers, '-d', shake, url]);
  const [answer] = JSON.parse(stdout) as [Received];
  assert.equal(answer.successful, true);
});
