import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { ask, type Callback, heard, Publisher, status } from '../testing.ts';
import { HubSite, texts } from '../testing-site.ts';
import { contentOf, fetchHeaders } from './content.ts';
import { slotOf } from './notices.ts';

const env = {
  PUSHFLEET_WEBSUB_FETCH_RETRY: Array(40).fill('1s').join(),
  PUSHFLEET_WEBSUB_FETCH_BYTES: '2KiB',
  PUSHFLEET_WEBSUB_TIMEOUT: '3s',
};
let site: HubSite;
let publisher: Publisher;
let count = 0;

before(async () => {
  [site, publisher] = await Promise.all([HubSite.start(env), Publisher.start()]);
  publisher.hub = site.hub;
});
after(() => Promise.all([site?.stop(), publisher?.close()]));

const page = (text: string, headers: Record<string, string> = {}) =>
  ((_, response) =>
    void response
      .writeHead(200, { 'content-type': 'text/plain', ...headers })
      .end(text)) as Publisher['answer'];

interface TestFeed {
  readonly path: string;
  readonly topic: string;
  readonly url: string;
}

function newFeed(): TestFeed {
  const path = `/feed/${++count}?of=${count}`;
  return { path, topic: `news/feed-${count}`, url: publisher.url + path };
}

/** Another that is worked on by the same owner. */
function feedBeside({ url }: Pick<TestFeed, 'url'>): TestFeed {
  const feed = newFeed();
  return slotOf(feed.url) === slotOf(url) ? feed : feedBeside({ url });
}

const declared = ({ topic, url }: TestFeed) => ({ topic, url });

/** A feed, declared, with a subscriber of its URL. @param beside others that are declared */
async function subscribed(
  feed = newFeed(),
  ...beside: readonly TestFeed[]
): Promise<TestFeed & { callback: Callback }> {
  const { path, topic, url } = feed;
  const hidden = { topic: `orders/feed-${count}`, url: `${url}&hidden` };
  site.setFeeds(...[feed, ...beside].map(declared), hidden);
  const callback = site.subscriber.callback();
  const found = await site.subscriber.discover(url);
  assert.deepEqual(found, { hub: site.hub, topic: url });
  const isKnown = async () => (await site.subscribe(url, callback)).status === 202;
  await until(isKnown, 'the feed to be declared');
  await until(() => site.isActive(url, callback), 'the subscription');
  return { path, topic, url, callback };
}

const counted = async (outcome: string): Promise<number> =>
  Number(new RegExp(`fetches_total\\{outcome="${outcome}"\\} (\\d+)`).exec(await site.metrics())?.[1]);
const givenUp = (): Promise<number> => counted('given_up');

async function announce(path: string): Promise<void> {
  const { status: code, text } = await publisher.notify(path);
  assert.equal(code, 204, text);
}

const fetched = (path: string, times: number) =>
  until(() => publisher.fetches(path).length >= times, `fetch ${times}`);

describe('a feed that is announced', () => {
  test('is fetched and given to its subscribers, as what it is and under its own URL', async () => {
    const { path, url, callback } = await subscribed();
    publisher.answer = page('<feed/>', { 'content-type': 'application/atom+xml; charset=utf-8' });
    await announce(path);
    await heard(() => callback.contents, 1, 'the content');
    const { headers, body } = callback.contents[0] as (typeof callback.contents)[0];
    assert.equal(body.toString(), '<feed/>');
    assert.equal(headers['content-type'], 'application/atom+xml; charset=utf-8');
    assert.equal(headers.link, `<${site.hub}>; rel="hub", <${url}>; rel="self"`);
    assert.equal(headers['ce-source'], url);
  });

  test('has the type that it came with, to the byte', async () => {
    const { path, callback } = await subscribed();
    // node:http takes and gives headers as Latin-1.
    const type = `text/plain; title="${Buffer.from('é').toString('latin1')}"`;
    publisher.answer = page('a', { 'content-type': type });
    await announce(path);
    await heard(() => callback.contents, 1, 'the content');
    assert.equal(callback.contents[0]?.headers['content-type'], type);
  });

  test('is published again when it has changed, also back to what it was, and not otherwise', async () => {
    const { path, callback } = await subscribed();
    for (const [i, text] of ['a', 'a', 'b', 'b', 'a'].entries()) {
      publisher.answer = page(text);
      const before = publisher.fetches(path).length;
      await announce(path);
      await fetched(path, before + 1);
      await until(() => texts(callback).at(-1) === text, `${text}, the ${i}th`);
    }
    const different = texts(callback).filter((text, i, all) => text !== all[i - 1]);
    assert.deepEqual(different, ['a', 'b', 'a']);
    assert.equal(new Set(callback.contents.map(({ headers }) => headers['ce-id'])).size, 3);
  });

  test('is asked for on condition, where it said what it is', async () => {
    const { path, callback } = await subscribed();
    const modified = 'Sun, 22 Nov 2026 10:00:00 GMT';
    publisher.answer = (headers, response) => {
      if (headers['if-none-match'] === '"1"') response.writeHead(304).end();
      else page('first', { etag: '"1"', 'last-modified': modified })(headers, response);
    };
    await announce(path);
    await heard(() => callback.contents, 1, 'the content');
    const before = publisher.fetches(path).length;
    await announce(path);
    await fetched(path, before + 1);
    const headers = publisher.fetches(path).at(-1);
    assert.deepEqual([headers?.['if-none-match'], headers?.['if-modified-since']], ['"1"', modified]);
    assert.equal(headers?.['accept-encoding'], 'identity');
  });

  test('is fetched again while it fails: by an error, a redirect, nothing, headers or a body without end', async () => {
    const { path, callback } = await subscribed();
    const answers: Publisher['answer'][] = [
      (_, response) => response.writeHead(503).end(),
      (_, response) => response.writeHead(302, { location: '/elsewhere' }).end(),
      (_, response) => response.destroy(),
      page('with too much before it', { 'x-more': 'x'.repeat(100_000) }),
      (_, response) => void response.writeHead(200, { 'content-type': 'text/plain' }).write('and so on'),
      page('at last'),
    ];
    publisher.answer = (headers, response) => (answers.shift() ?? page('at last'))(headers, response);
    await announce(path);
    await heard(() => callback.contents, 1, 'the content');
    assert.deepEqual(texts(callback).slice(0, 1), ['at last']);
    assert.equal(publisher.fetches('/elsewhere').length, 0);
  });

  test('and never answers keeps no other feed of its slot waiting, however often strangers announce it', async () => {
    const slow = newFeed();
    const other = await subscribed(feedBeside(slow), slow);
    const callback = site.subscriber.callback();
    await site.subscribed(slow.url, callback);
    publisher.answer = (headers, response) => {
      if (response.req.url === other.path) page('the other')(headers, response);
    };
    for (let i = 0; i < 40; i++) await announce(slow.path);
    await announce(other.path);
    await heard(() => other.callback.contents, 1, 'the other');
    publisher.answer = page('the slow one');
    await heard(() => callback.contents, 1, 'the slow one');
    assert.ok(publisher.fetches(slow.path).length < 40, 'the notices are not worked off one by one');
  });

  test('and cannot be published is given up, until there is something that can', async () => {
    const { path, callback } = await subscribed();
    for (const type of [`text/plain; ${'x'.repeat(300)}`, 'text/plain;\tx=1']) {
      publisher.answer = page(type, { 'content-type': type });
      const before = await givenUp();
      await announce(path);
      await until(async () => (await givenUp()) > before, 'it to be given up');
    }
    publisher.answer = page('plain');
    await announce(path);
    await heard(() => callback.contents, 1, 'the content');
    assert.deepEqual(texts(callback), ['plain']);
  });

  test('fifty times while it is fetched is fetched a few times more', async () => {
    const { path, callback } = await subscribed();
    const held = Promise.withResolvers<void>();
    publisher.answer = (headers, response) => void held.promise.then(() => page('slow')(headers, response));
    const before = publisher.fetches(path).length;
    await announce(path);
    await fetched(path, before + 1);
    for (let i = 0; i < 50; i++) await announce(path);
    publisher.answer = page('new');
    held.resolve();
    await until(() => texts(callback).includes('new'), 'the newest');
    assert.ok(publisher.fetches(path).length - before < 25, String(publisher.fetches(path).length));
  });

  test('with more than it may have is given up, and its subscribers hear of the next that fits', async () => {
    const { path, callback } = await subscribed();
    publisher.answer = page('x'.repeat(2_049));
    const before = await givenUp();
    await announce(path);
    await until(async () => (await givenUp()) > before, 'it to be given up');
    publisher.answer = page('x'.repeat(2_048));
    await announce(path);
    await heard(() => callback.contents, 1, 'the content');
    assert.deepEqual(
      texts(callback)
        .map(({ length }) => length)
        .slice(0, 1),
      [2_048],
    );
  });

  test('while its hub is killed in the middle of the fetch is not lost', async () => {
    const { path, callback } = await subscribed();
    publisher.answer = () => undefined;
    const before = publisher.fetches(path).length;
    await announce(path);
    await fetched(path, before + 1);
    await site.worker.kill('SIGKILL');
    publisher.answer = page('survived');
    await site.startWorker(env);
    await until(() => texts(callback).includes('survived'), 'the content');
  });
});

test('two feeds of one topic: who follows either hears of both, and which it is', async () => {
  const [one, other] = [newFeed(), newFeed()];
  const { callback, topic } = await subscribed(one, { ...other, topic: one.topic });
  const answer: Publisher['answer'] = (headers, response) => page(response.req.url ?? '')(headers, response);
  publisher.answer = answer;
  for (const { path } of [one, other]) await announce(path);
  await heard(() => callback.contents, 2, `what is published to ${topic}`);
  const sources = callback.contents.map(({ headers, body }) => [headers['ce-source'], String(body)]);
  assert.deepEqual(
    new Map(sources as [string, string][]),
    new Map([one, other].map(({ url, path }) => [url, path])),
  );
});

test('a topic of the fleet itself that is declared as a feed goes in no circle', async () => {
  const { topic, url } = site.newTopic();
  site.setFeeds({ topic, url });
  const isKnown = async () => (await ask(site.hub, { 'hub.mode': 'publish', 'hub.url': url })).status === 204;
  await until(isKnown, 'it to be declared');
  const callback = site.subscriber.callback();
  await site.subscribed(url, callback);
  await site.publish(topic, 'by somebody');
  await until(() => texts(callback).includes('by somebody'), 'the publication');
  const before = await counted('unchanged');
  await until(
    async () => (await isKnown()) && (await counted('unchanged')) > before,
    'it to be found unchanged',
  );
  await site.passed(topic, url);
  assert.equal(new Set(texts(callback)).size, 3, texts(callback).join('\n'));
});

test('a feed whose topic is not public is fetched, and nobody subscribes to it', async () => {
  const { url } = await subscribed();
  const { status: code, text } = await site.subscribe(`${url}&hidden`, site.subscriber.callback());
  assert.equal(code, 403, text);
});

test('a feed that is declared no more is denied to its subscribers', async () => {
  const { path, callback } = await subscribed();
  callback.take = status(204);
  site.setFeeds();
  await heard(() => callback.denials, 1, 'the denial');
  assert.equal((await publisher.notify(path)).status, 403);
});

describe('content of an answer', () => {
  const answer = (body: string, headers: Record<string, string> = {}, truncated = false) =>
    contentOf({ status: 200, headers, body: Buffer.from(body), truncated }, 4);

  test('has a limit', () => {
    assert.equal(typeof answer('abc'), 'object');
    assert.equal(typeof answer('abcd'), 'object');
    assert.match(String(answer('abcde')), /more than 4 bytes/);
    assert.match(String(answer('abcd', {}, true)), /more than 4 bytes/);
  });

  test('comes as it is, and is another where its type is', () => {
    assert.match(String(answer('a', { 'content-encoding': 'gzip' })), /compressed/);
    const [plain, html, none] = ['text/plain', 'text/html', ''].map((type) =>
      answer('a', { 'content-type': type }),
    );
    assert.ok(typeof plain === 'object' && typeof html === 'object' && typeof none === 'object');
    assert.notEqual(plain.digest, html.digest);
    assert.equal(none.type, 'application/octet-stream');
  });

  test('is asked for without a condition where its validators were too long to keep', () => {
    const kept = answer('a', { etag: `"${'x'.repeat(254)}"`, 'last-modified': 'x'.repeat(257) });
    assert.ok(typeof kept === 'object');
    const { 'if-none-match': etag, 'if-modified-since': modified } = fetchHeaders(kept);
    assert.deepEqual([etag?.length, modified], [256, undefined]);
    assert.equal(fetchHeaders(undefined)['if-none-match'], undefined);
  });
});
