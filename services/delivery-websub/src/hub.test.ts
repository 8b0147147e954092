import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { ask, heard, type Seen, signature, status, subscribe } from './testing.ts';
import { HubSite, texts } from './testing-site.ts';

let site: HubSite;
before(async () => {
  site = await HubSite.start();
});
after(() => site?.stop());

describe('the public tests of hubs', () => {
  test('100: a subscription by discovery, verified, is delivered to', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    const found = await site.subscriber.discover(`${site.url}/v1/topics/${topic}`);
    assert.deepEqual(found, { hub: site.hub, topic: url });
    const { status: answered } = await subscribe(found.hub, found.topic, callback);
    assert.equal(answered, 202);
    await heard(() => callback.verifications, 1, 'the verification');
    const [{ query, method } = {} as Seen] = callback.verifications;
    assert.equal(method, 'GET');
    assert.equal(query.get('hub.mode'), 'subscribe');
    assert.equal(query.get('hub.topic'), url);
    assert.equal(query.get('hub.lease_seconds'), String(10 * 86_400));
    assert.match(query.get('hub.challenge') ?? '', /^[\w-]{43}$/);
    await until(() => site.isActive(url, callback), 'the subscription');
    const id = await site.publish(topic, '<p>Hello</p>', 'text/html; charset=utf-8');
    await heard(() => callback.contents, 1, 'the content');
    const [{ headers, body, target } = {} as Seen] = callback.contents;
    assert.equal(target, new URL(callback.url).pathname);
    assert.equal(headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(headers.link, `<${site.hub}>; rel="hub", <${url}>; rel="self"`);
    assert.equal(headers['x-hub-signature'], undefined);
    assert.equal(headers['ce-id'], id);
    assert.equal(body.toString(), '<p>Hello</p>');
  });

  for (const [asked, method] of [
    [undefined, 'sha256'],
    ['sha1', 'sha1'],
    ['sha384', 'sha384'],
    ['sha512', 'sha512'],
  ] as const) {
    test(`101: with a secret, content is signed by ${method}${asked ? ', where that is asked for' : ''}`, async () => {
      const { topic, url } = site.newTopic();
      const callback = site.subscriber.callback();
      await site.subscribed(url, callback, {
        'hub.secret': 's3cret',
        ...(asked && { 'hub.signature_method': asked }),
      });
      await site.publish(topic, 'signed');
      await heard(() => callback.contents, 1, 'the content');
      const [{ headers, body } = {} as Seen] = callback.contents;
      assert.equal(headers['x-hub-signature'], signature(method, 's3cret', body));
    });
  }

  test('101: the signature is that of the bytes, whatever they are', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    await site.subscribed(url, callback, { 'hub.secret': 'süß & 50%' });
    const bodies = [Buffer.from([0, 255, 10, 13, 0, 10]), Buffer.alloc(0), Buffer.from('\ufeffä\r\n')];
    for (const body of bodies) await site.publish(topic, body, 'text/plain; charset=utf-8');
    await heard(() => callback.contents, bodies.length, 'the contents');
    const hex = ({ body }: Pick<Seen, 'body'>) => body.toString('hex');
    assert.deepEqual(new Set(callback.contents.map(hex)), new Set(bodies.map((body) => hex({ body }))));
    for (const { headers, body } of callback.contents)
      assert.equal(headers['x-hub-signature'], signature('sha256', 'süß & 50%', body));
  });

  test('102: parameters that it does not know are passed over', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    await site.subscribed(url, callback, { 'hub.unknown': 'x', foo: 'bar', '': '', 'hub.challenge': 'mine' });
    assert.notEqual(callback.verifications[0]?.query.get('hub.challenge'), 'mine');
    await site.publish(topic, 'a');
    await heard(() => callback.contents, 1, 'the content');
  });

  test('103: renewed, it is verified again and is one subscription', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    await site.subscribed(url, callback, { 'hub.lease_seconds': '100' });
    await site.subscribed(url, callback, { 'hub.lease_seconds': '200' });
    const leases = callback.verifications.map(({ query }) => query.get('hub.lease_seconds'));
    assert.deepEqual(leases, ['100', '200']);
    const left = ((await site.recordOf(url, callback))?.expiresAt?.getTime() ?? 0) - Date.now();
    assert.ok(left > 150_000 && left <= 200_000, String(left));
    await site.publish(topic, 'once');
    await site.passed(topic, url);
    assert.deepEqual(texts(callback).slice(0, 1), ['once']);
    assert.equal(texts(callback).filter((text) => text === 'once').length, 1);
  });

  test('104: unsubscribed, it is verified and gets no more', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    await site.subscribed(url, callback);
    assert.equal((await site.unsubscribe(url, callback, { 'hub.lease_seconds': 'none' })).status, 202);
    await heard(() => callback.verifications, 2, 'the verification');
    const { query } = callback.verifications[1] as Seen;
    assert.equal(query.get('hub.mode'), 'unsubscribe');
    assert.equal(query.get('hub.topic'), url);
    await site.gone(url, callback);
    await site.passed(topic, url);
    assert.deepEqual(texts(callback), []);
  });

  for (const [number, type, body] of [
    ['105', 'text/plain', 'Plain text: ä, €'],
    ['106', 'application/json', '{"items":[{"id":1}]}'],
    ['bytes', 'application/octet-stream', Buffer.from([0, 255, 10, 13, 0])],
  ] as const) {
    test(`${number}: ${type} comes as it was published`, async () => {
      const { topic, url } = site.newTopic();
      const callback = site.subscriber.callback();
      await site.subscribed(url, callback);
      await site.publish(topic, body, type);
      await heard(() => callback.contents, 1, 'the content');
      assert.equal(callback.contents[0]?.headers['content-type'], type);
      assert.deepEqual(callback.contents[0]?.body, Buffer.from(body));
    });
  }
});

describe('what is wrong with a request is told in plain text', () => {
  const { url } = { url: () => `${site.url}/v1/topics?topic=news%2Fx` };
  const wrong: [what: string, code: number, form: () => Record<string, string>, said: RegExp][] = [
    [
      'no mode',
      400,
      () => ({ 'hub.topic': url(), 'hub.callback': 'http://127.0.0.1:9/' }),
      /hub\.mode is missing/,
    ],
    ['another mode', 400, () => ({ 'hub.mode': 'list' }), /"subscribe", "unsubscribe" or "publish"/],
    [
      'publish of a topic of the fleet',
      403,
      () => ({ 'hub.mode': 'publish', 'hub.url': url() }),
      /is no feed of this hub/,
    ],
    ['no callback', 400, () => ({ 'hub.mode': 'subscribe', 'hub.topic': url() }), /hub\.callback is missing/],
    [
      'no topic',
      400,
      () => ({ 'hub.mode': 'subscribe', 'hub.callback': 'http://127.0.0.1:9/' }),
      /hub\.topic is missing/,
    ],
    [
      'a callback that is no URL',
      422,
      () => ({ 'hub.mode': 'subscribe', 'hub.topic': url(), 'hub.callback': '/x' }),
      /not a URL/,
    ],
    [
      'a private callback',
      422,
      () => ({ 'hub.mode': 'subscribe', 'hub.topic': url(), 'hub.callback': 'https://10.0.0.1/' }),
      /private/,
    ],
    [
      'a fragment',
      400,
      () => ({ 'hub.mode': 'subscribe', 'hub.topic': url(), 'hub.callback': 'http://127.0.0.1:9/#a' }),
      /fragment/,
    ],
    [
      'a topic of elsewhere',
      400,
      () => ({
        'hub.mode': 'subscribe',
        'hub.topic': 'https://example.com/',
        'hub.callback': 'http://127.0.0.1:9/',
      }),
      /topic of this fleet/,
    ],
    [
      'a topic that is not public',
      403,
      () => ({
        'hub.mode': 'subscribe',
        'hub.topic': url().replace('news', 'orders'),
        'hub.callback': 'http://127.0.0.1:9/',
      }),
      /no topic that can be subscribed to/,
    ],
    [
      'a secret of 200 bytes',
      400,
      () => ({
        'hub.mode': 'subscribe',
        'hub.topic': url(),
        'hub.callback': 'http://127.0.0.1:9/',
        'hub.secret': 'x'.repeat(200),
      }),
      /199 at most/,
    ],
    [
      'a lease that is no number',
      400,
      () => ({
        'hub.mode': 'subscribe',
        'hub.topic': url(),
        'hub.callback': 'http://127.0.0.1:9/',
        'hub.lease_seconds': '-1',
      }),
      /whole number/,
    ],
    [
      'a method that is none',
      400,
      () => ({
        'hub.mode': 'subscribe',
        'hub.topic': url(),
        'hub.callback': 'http://127.0.0.1:9/',
        'hub.signature_method': 'md5',
      }),
      /sha1, sha256/,
    ],
  ];
  for (const [what, code, form, said] of wrong) {
    test(what, async () => {
      const answer = await ask(site.hub, form());
      assert.deepEqual([answer.status, answer.type], [code, 'text/plain; charset=utf-8'], answer.text);
      assert.match(answer.text, said);
    });
  }

  test('another method, another content type, too much', async () => {
    assert.equal((await fetch(site.hub)).status, 405);
    const json = await fetch(site.hub, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(json.status, 415);
    assert.equal((await ask(site.hub, { foo: 'x'.repeat(20_000) })).status, 413);
  });

  test('a secret that is no UTF-8', async () => {
    const body = 'hub.mode=subscribe&hub.callback=x&hub.topic=x&hub.secret=%FF';
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const answer = await fetch(site.hub, { method: 'POST', body, headers });
    assert.deepEqual([answer.status, await answer.text()], [400, 'hub.secret is not UTF-8.\n']);
  });

  test('a parameter given twice', async () => {
    const answer = await ask(site.hub, [
      ['hub.mode', 'subscribe'],
      ['hub.mode', 'unsubscribe'],
    ]);
    assert.match(answer.text, /given 2 times/);
  });
});

describe('a callback', () => {
  const asking = (callback: string) =>
    ask(site.hub, {
      'hub.mode': 'subscribe',
      'hub.topic': `${site.url}/v1/topics?topic=news%2Fspelled`,
      'hub.callback': callback,
    });

  for (const callback of [
    'https://reader.example./',
    'https://[::1]/',
    'https://[::ffff:10.0.0.1]/',
    'https://[64:ff9b::a00:1]/',
    'https://0xa000001/',
    'https://167772161/',
    'https://012.1/',
    'https://１０.0.0.1/',
    'https://10.0.0.1./',
    'https://localhost/',
    'https://reader.example:22/',
    'http://reader.example/',
    'https://user@reader.example/',
    'https://:pass@reader.example/',
    'https://127.0.0.1@reader.example/',
    'https:\\\\reader.example/',
    'https:reader.example',
    'https://reader.example/a\r\nx: y',
    'https://reader.example/a b',
    '//reader.example/',
    'ftp://reader.example/',
  ]) {
    test(`is not called: ${JSON.stringify(callback)}`, async () => {
      const { status: code, text } = await asking(callback);
      assert.equal(code, 422, text);
    });
  }

  test('is counted, and revoked, by its host in its usual form', async () => {
    const owners = [];
    for (const url of [
      'https://bücher.example/a',
      'https://XN--BCHER-KVA.example/b',
      'https://b%C3%BCcher.example/c',
    ]) {
      const { status: code, text } = await asking(url);
      assert.equal(code, 202, text);
      const record = await site.recordOf(`${site.url}/v1/topics?topic=news%2Fspelled`, {
        ...site.subscriber.callback(),
        url,
      });
      owners.push(record?.authority?.subject);
    }
    assert.deepEqual(new Set(owners), new Set(['websub:xn--bcher-kva.example']));
  });
});

test('what a topic URL holds gets out of no header', async () => {
  const topic = 'news/a\r\nx-evil: 1\r\n\r\n>; rel="x"';
  const callback = site.subscriber.callback();
  for (const form of ['?topic=', '/'])
    assert.equal((await site.subscribe(`${site.url}/v1/topics${form}${topic}`, callback)).status, 400);
  for (const form of ['?topic=', '/']) {
    const url = `${site.url}/v1/topics${form}${encodeURIComponent(topic)}`;
    await site.subscribed(url, callback);
    assert.equal(callback.verifications.at(-1)?.query.get('hub.topic'), url);
    assert.equal(callback.verifications.at(-1)?.headers['x-evil'], undefined);
  }
  await site.publish(topic, 'a');
  await heard(() => callback.contents, 2, 'the content, by each spelling');
  for (const { headers, body } of callback.contents) {
    assert.equal(headers['x-evil'], undefined);
    assert.equal(body.toString(), 'a');
    assert.match(String(headers.link), /^<[^<>"\s]+>; rel="hub", <[^<>"\s]+>; rel="self"$/);
  }
});

describe('PubSubHubbub 0.3', () => {
  test('hub.verify=sync is verified before it is answered, with 204 and the token', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    const more = { 'hub.verify': 'sync', 'hub.verify_token': 'tok en', 'hub.secret': 'x' };
    assert.equal((await site.subscribe(url, callback, more)).status, 204);
    assert.equal(callback.verifications[0]?.query.get('hub.verify_token'), 'tok en');
    await site.publish(topic, 'a');
    await heard(() => callback.contents, 1, 'the content');
    assert.equal(callback.contents[0]?.headers['x-hub-signature'], signature('sha1', 'x', Buffer.from('a')));
    assert.equal((await site.unsubscribe(url, callback, more)).status, 204);
    assert.equal(await site.recordOf(url, callback), undefined);
  });

  test('what is not confirmed is refused, leaves nothing, and is not asked again', async () => {
    const { url } = site.newTopic();
    for (const code of [404, 500]) {
      const callback = site.subscriber.callback();
      callback.verify = status(code);
      const answer = await site.subscribe(url, callback, { 'hub.verify': 'sync' });
      assert.deepEqual([answer.status, answer.type], [422, 'text/plain; charset=utf-8']);
      assert.equal(await site.recordOf(url, callback), undefined);
      assert.equal(callback.verifications.length, 1);
    }
  });

  test('many that are verified at once are', async () => {
    const { url } = site.newTopic();
    const callbacks = Array.from({ length: 60 }, () => site.subscriber.callback());
    const answers = await Promise.all(
      callbacks.map((callback) => site.subscribe(url, callback, { 'hub.verify': 'sync' })),
    );
    assert.deepEqual(new Set(answers.map(({ status: code }) => code)), new Set([204]));
    for (const callback of callbacks) assert.equal(await site.isActive(url, callback), true);
  });

  test('the first word that is known counts, and async is 202', async () => {
    const { url } = site.newTopic();
    const callback = site.subscriber.callback();
    const form: [string, string][] = [
      ['hub.mode', 'subscribe'],
      ['hub.topic', url],
      ['hub.callback', callback.url],
      ['hub.verify', 'carrier-pigeon'],
      ['hub.verify', 'async'],
      ['hub.verify', 'sync'],
    ];
    assert.equal((await ask(site.hub, form)).status, 202);
    await until(() => site.isActive(url, callback), 'the subscription');
  });
});
