import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { forSeeds } from '@pushfleet/contract/simulation';
import { type Callback, confirm, heard, type Seen, signature, status } from './testing.ts';
import { HubSite, texts } from './testing-site.ts';

let site: HubSite;
before(async () => {
  site = await HubSite.start();
});
after(() => site?.stop());

describe('verification of intent', () => {
  test('keeps what the query of the callback has, and appends', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback('foo=b%20r&hub.mode=mine&x');
    await site.subscribed(url, callback);
    const { search, pathname } = new URL(callback.url);
    const { target } = callback.verifications[0] as Seen;
    assert.ok(target.startsWith(`${pathname}${search}&hub.mode=subscribe&`), target);
    await site.publish(topic, 'a');
    await heard(() => callback.contents, 1, 'the content');
    assert.equal(callback.contents[0]?.target, `${pathname}${search}`);
  });

  for (const [what, answer] of [
    ['404', status(404)],
    ['a redirect', status(302, { location: 'http://127.0.0.1:9/' })],
    ['another body', (_: Seen, response) => void response.end('no')],
    ['the challenge and more', ({ query }, response) => void response.end(`${query.get('hub.challenge')}\n`)],
    ['nothing', status(204)],
  ] as [string, Callback['verify']][]) {
    test(`${what} is a no, at once, and leaves nothing`, async () => {
      const { url } = site.newTopic();
      const callback = site.subscriber.callback();
      callback.verify = answer;
      assert.equal((await site.subscribe(url, callback)).status, 202);
      await heard(() => callback.verifications, 1, 'the verification');
      await site.gone(url, callback);
      assert.equal(callback.verifications.length, 1);
    });
  }

  test('an answer of an earlier challenge is a no: each is used once', async () => {
    const { url } = site.newTopic();
    const callback = site.subscriber.callback();
    await site.subscribed(url, callback, { 'hub.lease_seconds': '1000' });
    const used = callback.verifications[0]?.query.get('hub.challenge') ?? '';
    callback.verify = (_, response) => void response.end(used);
    assert.equal((await site.subscribe(url, callback, { 'hub.lease_seconds': '2000' })).status, 202);
    await heard(() => callback.verifications, 2, 'the verification');
    assert.notEqual(callback.verifications[1]?.query.get('hub.challenge'), used);
    await until(async () => await site.isSettled(url, callback), 'the refusal');
    assert.equal((await site.targetOf(url, callback))?.leaseSeconds, 1_000);
  });

  test('where the callback fails it is asked again, with another challenge, and then is believed', async () => {
    const { url } = site.newTopic();
    const callback = site.subscriber.callback();
    callback.verify = (seen, response) =>
      callback.verifications.length === 1 ? status(503)(seen, response) : confirm(seen, response);
    assert.equal((await site.subscribe(url, callback)).status, 202);
    await until(() => site.isActive(url, callback), 'the subscription');
    const challenges = callback.verifications.map(({ query }) => query.get('hub.challenge'));
    assert.equal(new Set(challenges).size, 2);
  });

  test('a callback that goes on failing is given up, and a subscription stays as it was', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    await site.subscribed(url, callback, { 'hub.secret': 'old' });
    callback.verify = status(500);
    assert.equal((await site.unsubscribe(url, callback)).status, 202);
    await heard(() => callback.verifications, 4, 'three attempts');
    await until(async () => await site.isSettled(url, callback), 'the end of the request');
    await site.publish(topic, 'still');
    await heard(() => callback.contents, 1, 'the content');
    const [{ headers, body } = {} as Seen] = callback.contents;
    assert.equal(headers['x-hub-signature'], signature('sha256', 'old', body));
  });
});

describe('renewal', () => {
  test('changes the secret, and takes it away, only once it is verified', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    await site.subscribed(url, callback, { 'hub.secret': 'first' });
    const held = Promise.withResolvers<void>();
    callback.verify = (seen, response) => void held.promise.then(() => confirm(seen, response));
    await site.subscribe(url, callback, { 'hub.secret': 'second' });
    await heard(() => callback.verifications, 2, 'the verification');
    await site.publish(topic, 'before');
    await heard(() => callback.contents, 1, 'the content');
    held.resolve();
    await until(async () => await site.isSettled(url, callback), 'the renewal');
    await site.publish(topic, 'after');
    await heard(() => callback.contents, 2, 'the content');
    callback.verify = confirm;
    await site.subscribed(url, callback);
    await site.publish(topic, 'bare');
    await heard(() => callback.contents, 3, 'the content');
    const signatures = callback.contents.map(({ headers }) => headers['x-hub-signature']);
    const signed = (secret: string, text: string) => signature('sha256', secret, Buffer.from(text));
    assert.deepEqual(signatures, [signed('first', 'before'), signed('second', 'after'), undefined]);
  });

  test('a lease is kept within its bounds, and ends the subscription by itself', async () => {
    const { topic, url } = site.newTopic();
    const [callback, long] = [site.subscriber.callback(), site.subscriber.callback()];
    await site.subscribed(url, long, { 'hub.lease_seconds': '999999999999' });
    await site.subscribed(url, callback, { 'hub.lease_seconds': '1' });
    assert.equal(long.verifications[0]?.query.get('hub.lease_seconds'), String(30 * 86_400));
    assert.equal(callback.verifications[0]?.query.get('hub.lease_seconds'), '2');
    await site.gone(url, callback);
    await site.publish(topic, 'late');
    await heard(() => long.contents, 1, 'the content');
    await site.passed(topic, url);
    assert.deepEqual(texts(callback), []);
  });

  test('asked for twice at once, it is one subscription', async () => {
    const { topic, url } = site.newTopic();
    const callback = site.subscriber.callback();
    const answers = await Promise.all(Array.from({ length: 5 }, () => site.subscribe(url, callback)));
    assert.deepEqual(new Set(answers.map(({ status: code }) => code)), new Set([202]));
    await until(
      async () => (await site.isActive(url, callback)) && (await site.isSettled(url, callback)),
      'it',
    );
    await site.publish(topic, 'once');
    await site.passed(topic, url);
    assert.equal(texts(callback).filter((text) => text === 'once').length, 1);
  });

  test('the last request that is confirmed counts, in whatever order they are answered', async () => {
    const { url } = site.newTopic();
    const callback = site.subscriber.callback();
    const first = Promise.withResolvers<void>();
    callback.verify = (seen, response) =>
      void (seen.query.get('hub.mode') === 'subscribe' ? first.promise : Promise.resolve()).then(() =>
        confirm(seen, response),
      );
    await site.subscribe(url, callback);
    await heard(() => callback.verifications, 1, 'the first verification');
    await site.unsubscribe(url, callback);
    await site.gone(url, callback);
    first.resolve();
    await site.subscribe(url, callback);
    await until(() => site.isActive(url, callback), 'the subscription made since');
    const unsubscribing = Promise.withResolvers<void>();
    callback.verify = (seen, response) =>
      void (seen.query.get('hub.mode') === 'unsubscribe' ? unsubscribing.promise : Promise.resolve()).then(
        () => confirm(seen, response),
      );
    await site.unsubscribe(url, callback);
    await site.subscribe(url, callback, { 'hub.lease_seconds': '777' });
    await until(async () => (await site.targetOf(url, callback))?.leaseSeconds === 777, 'the later one');
    unsubscribing.resolve();
    await heard(
      () => callback.verifications.filter(({ query }) => query.get('hub.mode') === 'unsubscribe'),
      2,
      'it',
    );
    assert.equal(await site.isActive(url, callback), true);
  });

  test('whatever is asked for and answered at once, what was confirmed last is so', async () => {
    await forSeeds(30, async (random) => {
      const { url } = site.newTopic();
      const callback = site.subscriber.callback();
      const wishes = Array.from({ length: 1 + random.below(7) }, (_, i) => ({
        ...{
          mode: random.chance(0.5) ? 'subscribe' : 'unsubscribe',
          yes: random.chance(0.7),
          lease: String(100 + i),
        },
        waitMs: random.below(60),
      }));
      // Of what is unsubscribed nothing tells which request is meant: those are all answered alike.
      const unsubscribes = random.chance(0.7);
      const isYes = ({ query }: Seen) =>
        query.get('hub.mode') === 'unsubscribe'
          ? unsubscribes
          : wishes.find(({ lease }) => lease === query.get('hub.lease_seconds'))?.yes === true;
      callback.verify = (seen, response) => {
        const wish = wishes.find(({ lease }) => lease === seen.query.get('hub.lease_seconds'));
        const answer = () => (isYes(seen) ? confirm : status(404))(seen, response);
        setTimeout(answer, wish?.waitMs ?? random.below(60));
      };
      for (const { mode, lease } of wishes) {
        const ask = mode === 'subscribe' ? site.subscribe.bind(site) : site.unsubscribe.bind(site);
        assert.equal((await ask(url, callback, { 'hub.lease_seconds': lease })).status, 202);
      }
      const last = wishes.findLast(({ mode, yes }) => (mode === 'subscribe' ? yes : unsubscribes));
      const lives = last?.mode === 'subscribe';
      const isSo = async () => {
        const record = await site.recordOf(url, callback);
        if (record === undefined) return !lives;
        return lives && (await site.isActive(url, callback)) && (await site.isSettled(url, callback));
      };
      await until(isSo, JSON.stringify({ wishes, unsubscribes }));
      if (lives) assert.equal(String((await site.targetOf(url, callback))?.leaseSeconds), last.lease);
    });
  });

  test("somebody else's request takes nobody's away", async () => {
    const { url } = site.newTopic();
    const callback = site.subscriber.callback();
    callback.verify = (seen, response) =>
      (seen.query.get('hub.mode') === 'subscribe' ? confirm : status(404))(seen, response);
    await Promise.all([site.subscribe(url, callback), site.unsubscribe(url, callback)]);
    await until(async () => await site.isSettled(url, callback), 'both answers');
    assert.equal(await site.isActive(url, callback), true);
  });
});
