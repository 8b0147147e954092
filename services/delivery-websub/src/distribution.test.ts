import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { heard, type Seen, status } from './testing.ts';
import { HubSite, texts } from './testing-site.ts';

let site: HubSite;
before(async () => {
  site = await HubSite.start({ PUSHFLEET_WEBSUB_QUEUE: '10' });
});
after(() => site?.stop());

describe('distribution', () => {
  test('is repeated after failures and redirects, until it is taken', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    const answers = [status(500), status(301, { location: callback.url }), status(404), status(200)];
    callback.take = (seen, response) => (answers.shift() ?? status(200))(seen, response);
    await site.subscribed(url, callback);
    await site.publish(topic, 'again');
    await heard(() => callback.contents, 4, 'four attempts');
    assert.deepEqual(new Set(texts(callback)), new Set(['again']));
    assert.equal(await site.isActive(url, callback), true);
  });

  test('goes on after a failure with what is published later', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    let up = false;
    callback.take = (seen, response) => status(up ? 204 : 503)(seen, response);
    await site.subscribed(url, callback);
    for (const text of ['1', '2', '3']) await site.publish(topic, text);
    await heard(() => callback.contents, 1, 'an attempt');
    up = true;
    const taken = new Set<string>();
    callback.take = ({ body }, response) => {
      taken.add(body.toString());
      response.writeHead(204).end();
    };
    await until(() => taken.size === 3, 'all of them');
  });

  test('410 ends the subscription', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    callback.take = status(410);
    await site.subscribed(url, callback);
    await site.publish(topic, 'unwanted');
    await site.gone(url, callback);
    await site.passed(topic, url);
    assert.deepEqual(texts(callback), ['unwanted']);
  });

  test('ends with the lease, also of what is tried again', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    callback.take = status(500);
    await site.subscribed(url, callback, { 'hub.lease_seconds': '3' });
    await site.publish(topic, 'never taken');
    await heard(() => callback.contents, 2, 'two attempts');
    await site.gone(url, callback);
    const attempts = callback.contents.length;
    await site.passed(topic, url);
    await site.passed(topic, url);
    assert.ok(callback.contents.length <= attempts + 1, 'an attempt under way, and none behind it');
  });
});

describe('what waits for a subscriber', () => {
  test('is not delivered once it has unsubscribed, nor when it subscribes again', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    callback.take = status(503);
    await site.subscribed(url, callback);
    await site.publish(topic, 'before');
    await heard(() => callback.contents, 1, 'an attempt');
    await site.unsubscribe(url, callback);
    await site.gone(url, callback);
    callback.take = status(204);
    await site.subscribed(url, callback);
    const { length } = callback.contents;
    await site.publish(topic, 'since');
    await until(() => texts(callback).includes('since'), 'the content');
    await site.passed(topic, url);
    await site.passed(topic, url);
    const later = texts(callback).slice(length);
    assert.deepEqual(new Set(later), new Set(['since', 'to the witness']));
  });

  test('and is too much ends its subscription, and tells it', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    callback.take = status(503);
    await site.subscribed(url, callback);
    for (let i = 0; i < 30; i++) await site.publish(topic, String(i));
    await heard(() => callback.denials, 1, 'the denial');
    assert.match(callback.denials[0]?.query.get('hub.reason') ?? '', /wait/);
    await site.gone(url, callback);
  });
});

describe('denial', () => {
  test('a revocation of the host ends its subscriptions and tells them', async () => {
    const { url } = site.newTopic();
    const callback = site.subscriber.callback('a=b');
    await site.subscribed(url, callback);
    const lift = await site.revoke('websub:127.0.0.1');
    await heard(() => callback.denials, 1, 'the denial');
    const { query, target } = callback.denials[0] as Seen;
    assert.ok(target.includes('?a=b&hub.mode=denied&'), target);
    assert.equal(query.get('hub.topic'), url);
    assert.match(query.get('hub.reason') ?? '', /revoked/);
    await site.gone(url, callback);
    const refused = await site.subscribe(url, callback);
    assert.deepEqual([refused.status, refused.text], [403, 'The host of hub.callback is not served here.\n']);
    await lift();
    await until(async () => (await site.subscribe(url, callback)).status === 202, 'the return');
  });

  test('a topic that is public no more ends its subscriptions and tells them', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    await site.subscribed(url, callback);
    site.setPolicies({ namespace: 'default', filter: topic });
    await heard(() => callback.denials, 1, 'the denial');
    assert.match(callback.denials[0]?.query.get('hub.reason') ?? '', /not public/);
    await site.gone(url, callback);
    assert.equal((await site.subscribe(url, callback)).status, 403);
    await until(async () => (await site.subscriber.discover(url)).hub === '', 'discovery');
  });
});
