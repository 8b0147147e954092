import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { until } from '@pushfleet/contract';
import type { Browser, Page } from 'playwright-core';
import { startChromium } from './chromium.ts';
import { Fleet, token } from './fleet.ts';

interface Said {
  readonly type: string;
  readonly code?: string;
  readonly event?: { readonly data: unknown; readonly pushfleetcursor: string };
}

const site = createServer((_request, response) => {
  response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>A page of somebody</title>');
});

let fleet: Fleet;
let browser: Browser;
let listed: string;
let edge: string;

before(async () => {
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  listed = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  const env = { PUSHFLEET_CORS_ORIGINS: listed, PUSHFLEET_EDGE_LONGPOLL_RESPONSE_BYTES: '64KiB' };
  fleet = await Fleet.start({ protocols: ['edge-longpoll'], env });
  edge = `http://${fleet.edgesOf('edge-longpoll')[0]?.addresses.http}`;
  browser = await startChromium();
});

after(async () => {
  await browser?.close();
  site.close();
  await fleet?.stop();
});

const everything = token({ publish: ['#'], subscribe: ['#'] });

async function ticket(): Promise<string> {
  const answer = await fetch(`http://${fleet.registry.addresses.http}/v1/tickets`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${await everything}` },
  });
  assert.equal(answer.status, 201);
  return ((await answer.json()) as { ticket: string }).ticket;
}

async function publish(topic: string, body: string): Promise<void> {
  const answer = await fetch(`http://${fleet.http.address}/v1/topics/${topic}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${await everything}`, 'Content-Type': 'text/plain' },
    body,
  });
  assert.equal(answer.status, 201);
}

/** A page at this address, of the edge's own origin where it is one of those. */
async function open(t: { after(stop: () => Promise<void>): void }, address: string): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  t.after(() => page.context().close());
  const body = '<!doctype html><title>A page of the fleet</title>';
  await page.route(`${edge}/`, (route) => route.fulfill({ contentType: 'text/html', body }));
  await page.goto(address);
  return page;
}

/** Adds the frame, and keeps what it says. */
function frame(page: Page, query: string): Promise<void> {
  const url = `${edge}/comet/frame?${query}`;
  return page.evaluate(`{
    globalThis.said = [];
    globalThis.pushfleet = (object) => said.push(object);
    onmessage = ({ data, origin }) => origin === ${JSON.stringify(edge)} && said.push(data);
    const element = document.createElement('iframe');
    element.hidden = true;
    element.src = ${JSON.stringify(url)};
    document.body.append(element);
  }`);
}

const said = (page: Page) => page.evaluate(() => (globalThis as unknown as { said: Said[] }).said);
const has = (page: Page, type: string, count = 1) =>
  until(
    async () => (await said(page)).filter((one) => one.type === type).length >= count,
    `${count} of ${type}`,
  );
const texts = async (page: Page) =>
  (await said(page)).flatMap(({ event }) => (event === undefined ? [] : [event.data]));

test('a hidden frame calls its page while it loads, and nothing gets out of its scripts', async (t) => {
  const page = await open(t, `${edge}/`);
  const violations: string[] = [];
  page.on('console', (message) => violations.push(message.text()));
  page.on('pageerror', (error) => violations.push(error.message));
  await frame(page, `topic=frame&ticket=${await ticket()}`);
  await has(page, 'open');
  const hostile = '</script><script>parent.said.push({type:"evil"})</script><!--<script>\u2028';
  await publish('frame', hostile);
  await publish('frame', 'and on');
  await has(page, 'publication', 2);
  assert.deepEqual(await texts(page), [hostile, 'and on']);
  assert.equal(
    (await said(page)).some(({ type }) => type === 'evil'),
    false,
  );
  assert.deepEqual(
    violations.filter((text) => !text.includes('favicon')),
    [],
  );
});

test('a frame is rotated by bytes, and a page that comes back by its cookie misses nothing', async (t) => {
  const page = await open(t, `${edge}/`);
  await frame(page, `topic=turn&ticket=${await ticket()}`);
  await has(page, 'open');
  const count = 10;
  for (let i = 0; i < count; i++) await publish('turn', `${i} ${'x'.repeat(20_000)}`);
  const got: unknown[] = [];
  let turns = 0;
  while (got.length < count) {
    const ended = async () => (await said(page)).at(-1)?.type === 'closing';
    const whole = async () => got.length + (await texts(page)).length === count;
    await until(async () => (await ended()) || (await whole()), 'the frame to end or to be whole');
    if (await ended()) turns++;
    got.push(...(await texts(page)));
    const last = (await said(page)).findLast(({ event }) => event !== undefined);
    await frame(page, `topic=turn&after=${last?.event?.pushfleetcursor}`);
    await has(page, 'open');
  }
  assert.deepEqual(
    got.map((text) => Number.parseInt(String(text), 10)),
    Array.from({ length: count }, (_, i) => i),
  );
  assert.ok(turns >= 1);
});

test('a page of a listed origin is reached by a message; another one is not let in', async (t) => {
  const page = await open(t, listed);
  await frame(page, `topic=other&ticket=${await ticket()}`);
  await has(page, 'open');
  await publish('other', 'across');
  await has(page, 'publication');
  assert.deepEqual(await texts(page), ['across']);
  const foreign = await open(t, listed.replace('127.0.0.1', 'localhost'));
  const refused = foreign.waitForEvent('console', (message) => message.text().includes('frame-ancestors'));
  const status = foreign.waitForResponse((response) => response.url().includes('/comet/frame'));
  await frame(foreign, `topic=other&ticket=${await ticket()}`);
  assert.equal((await status).status(), 403);
  await refused;
  assert.deepEqual(await said(foreign), []);
});

test('a page learns in the frame why it is refused', async (t) => {
  const page = await open(t, `${edge}/`);
  await frame(page, 'topic=t');
  await has(page, 'closing');
  assert.equal((await said(page))[0]?.code, 'unauthenticated');
});

test('XMLHttpRequest reads the stream as it grows, across origins', async (t) => {
  const page = await open(t, listed);
  await page.evaluate(`{
    globalThis.said = [];
    const request = new XMLHttpRequest();
    request.open('GET', ${JSON.stringify(`${edge}/comet/stream?topic=xhr`)});
    request.setRequestHeader('Authorization', ${JSON.stringify(`Bearer ${await everything}`)});
    request.onprogress = () => {
      said = request.responseText.split('\\n').slice(0, -1).map((line) => JSON.parse(line));
    };
    request.send();
  }`);
  await has(page, 'open');
  await publish('xhr', 'grows');
  await has(page, 'publication');
  assert.deepEqual(await texts(page), ['grows']);
});

test('fetch polls across origins: the tag can be read and sent', async (t) => {
  const page = await open(t, listed);
  const authorization = `Bearer ${await everything}`;
  const poll = (etag?: string) =>
    page.evaluate(
      async ({ url, headers }) => {
        const answer = await fetch(url, { headers: headers as Record<string, string> });
        const text = await answer.text();
        return { status: answer.status, etag: answer.headers.get('etag') ?? '', text };
      },
      {
        url: `${edge}/poll?topic=fetch`,
        headers: { authorization, ...(etag !== undefined && { 'if-none-match': etag, prefer: 'wait=20' }) },
      },
    );
  const first = await poll();
  const waiting = poll(first.etag);
  await publish('fetch', 'polled');
  const { status, text, etag } = await waiting;
  assert.deepEqual([status, JSON.parse(text).items[0].event.data], [200, 'polled']);
  assert.notEqual(etag, first.etag);
});
