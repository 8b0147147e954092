// Feeds while a part of the fleet goes away in the middle of their fetch.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { type Callback, Publisher } from '../testing.ts';
import { HubSite, texts } from '../testing-site.ts';

const env = {
  PUSHFLEET_WEBSUB_FETCH_RETRY: Array(40).fill('1s').join(),
  // Requests of a test that wait for a part that is away are given time.
  PUSHFLEET_WEBSUB_VERIFY_RETRY: Array(20).fill('1s').join(),
};
let site: HubSite;
let publisher: Publisher;
let callback: Callback;
let path = '';
let count = 0;

before(async () => {
  [site, publisher] = await Promise.all([HubSite.start(env), Publisher.start()]);
  publisher.hub = site.hub;
});
after(() => Promise.all([site?.stop(), publisher?.close()]));

beforeEach(async () => {
  path = `/feed/${++count}`;
  const url = publisher.url + path;
  site.setFeeds({ topic: `news/feed-${count}`, url });
  callback = site.subscriber.callback();
  const isTaken = async () => (await site.subscribe(url, callback)).status === 202;
  await until(isTaken, 'the feed to be declared');
  await until(() => site.isActive(url, callback), 'the subscription');
});

const page =
  (text: string): Publisher['answer'] =>
  (_, response) =>
    void response.writeHead(200, { 'content-type': 'text/plain' }).end(text);

/** Announces the feed, and waits until its fetch is under way. @returns how to answer it */
async function fetching(): Promise<(text: string) => void> {
  const asked = Promise.withResolvers<Parameters<Publisher['answer']>>();
  publisher.answer = (...of) => asked.resolve(of);
  assert.equal((await publisher.notify(path)).status, 204);
  const of = await asked.promise;
  return (text) => {
    publisher.answer = page(text);
    page(text)(...of);
  };
}

const published = (text: string) => until(() => texts(callback).includes(text), text);
const counted = async (outcome: string): Promise<number> =>
  Number(new RegExp(`fetches_total\\{outcome="${outcome}"\\} (\\d+)`).exec(await site.metrics())?.[1]);

describe('a fetch under way', () => {
  test('is waited for by an instance that stops, and what comes next is fetched by another', async () => {
    const answer = await fetching();
    const first = site.worker;
    await site.startWorker(env);
    const ended = first.kill('SIGTERM', 30_000);
    await until(async () => first.logs().includes('"draining"'), 'the drain');
    answer('by the first');
    assert.equal(await ended, 0);
    await published('by the first');
    publisher.answer = page('by the second');
    assert.equal((await publisher.notify(path)).status, 204);
    await published('by the second');
    assert.deepEqual(texts(callback), ['by the first', 'by the second']);
  });

  test('that outlasts the drain is on record, and the instance ends', async () => {
    await site.worker.kill('SIGKILL');
    await site.startWorker({ ...env, PUSHFLEET_DRAIN_SECONDS: '1' });
    await fetching();
    assert.equal(await site.worker.kill('SIGTERM', 30_000), 0);
    assert.doesNotMatch(site.worker.logs(), /did not close in time|failed to/);
    publisher.answer = page('by the next');
    await site.startWorker(env);
    await published('by the next');
  });

  test('comes to its end where the log is away meanwhile', async () => {
    const [{ servers }] = site.servers;
    const answer = await fetching();
    await servers[0]?.kill('SIGKILL');
    answer('through');
    await servers[0]?.restart();
    await published('through');
  });

  test('needs no Redis', async () => {
    const [, redis] = site.servers;
    const before = await counted('published');
    const answer = await fetching();
    await redis.kill('SIGKILL');
    answer('without');
    await until(async () => (await counted('published')) > before, 'the publication');
    await redis.restart();
    await published('without');
  });

  test('counts into what its namespace stores, also where its instance is stopping', async () => {
    site.setQuota({ storedBytes: 3_000 });
    // Once this is refused, the policies are known.
    await until(async () => {
      publisher.answer = page(crypto.randomUUID().repeat(100));
      await publisher.notify(path);
      return site.worker.logs().includes('may store 3000 bytes');
    }, 'the quota');
    const answer = await fetching();
    const ended = site.worker.kill('SIGTERM', 30_000);
    await until(async () => site.worker.logs().includes('"draining"'), 'the drain');
    answer('y'.repeat(2_000));
    assert.equal(await ended, 0);
    await site.startWorker(env);
    publisher.answer = page('z'.repeat(2_000));
    await publisher.notify(path);
    await until(async () => site.worker.logs().includes('may store 3000 bytes'), 'a refusal');
    site.setQuota({});
    await until(async () => {
      await publisher.notify(path);
      return texts(callback).includes('z'.repeat(2_000));
    }, 'what was refused');
  });
});
