import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { until } from '@pushfleet/contract';
import type { Browser, Page } from 'playwright-core';
import { startChromium } from './chromium.ts';
import { Fleet, token } from './fleet.ts';

const site = createServer((_request, response) => {
  response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>A page of somebody</title>');
});

let fleet: Fleet;
let browser: Browser;
let origin: string;

before(async () => {
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
  fleet = await Fleet.start({ edges: 2, env: { PUSHFLEET_CORS_ORIGINS: origin } });
  browser = await startChromium();
});

after(async () => {
  await browser?.close();
  site.close();
  await fleet?.stop();
});

async function ticket(authorization: string): Promise<string> {
  const answer = await fetch(`http://${fleet.registry.addresses.http}/v1/tickets`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${authorization}` },
  });
  assert.equal(answer.status, 201);
  return ((await answer.json()) as { ticket: string }).ticket;
}

async function publish(body: string, authorization: string): Promise<void> {
  const answer = await fetch(`http://${fleet.http.address}/v1/topics/page/news`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${authorization}`, 'Content-Type': 'text/plain' },
    body,
  });
  assert.equal(answer.status, 201);
}

/** Opens an EventSource as any page does; what arrives is read with `received`. */
async function subscribe(page: Page, url: string): Promise<void> {
  await page.goto(origin);
  await page.evaluate((address) => {
    const received: string[] = [];
    const source = new EventSource(address, { withCredentials: true });
    source.onmessage = (event) => received.push(event.data);
    Object.assign(globalThis, { received, source });
  }, url);
  await until(async () => (await state(page)) === 1, 'the page to be connected');
}

const received = (page: Page) =>
  page.evaluate(() => (globalThis as unknown as { received: string[] }).received);
const state = (page: Page) =>
  page.evaluate(() => (globalThis as unknown as { source: EventSource }).source.readyState);

test("Chromium's own EventSource: a ticket in the URL once, a cookie after it, resumed on another edge", async () => {
  const all = await token({ publish: ['#'], subscribe: ['page/#'] });
  const page = await (await browser.newContext()).newPage();
  const url = `http://${fleet.sse.address}/sse?topic=page/%2B&ticket=${await ticket(all)}`;
  await subscribe(page, url);
  await publish('first\nwith two lines', all);
  await until(async () => (await received(page)).length === 1, 'the first event');

  for (const _ of [1, 2]) await fleet.end(fleet.edges, 'SIGKILL');
  await publish('while nobody was there', all);
  for (const _ of [1, 2]) await fleet.startEdge();
  await until(async () => (await received(page)).length === 2, 'what was missed');

  await fleet.end(fleet.edges, 'SIGTERM');
  await publish('after an orderly end', all);
  await until(async () => (await received(page)).length === 3, 'what came after');
  assert.deepEqual(await received(page), [
    'first\nwith two lines',
    'while nobody was there',
    'after an orderly end',
  ]);
  await page.context().close();
});

test('a page of another origin gets nothing', async () => {
  const all = await token({ publish: ['#'], subscribe: ['page/#'] });
  const page = await (await browser.newContext()).newPage();
  await page.goto(origin.replace('127.0.0.1', 'localhost'));
  const closed = await page.evaluate(
    (address) =>
      new Promise((resolve) => {
        const source = new EventSource(address, { withCredentials: true });
        source.onopen = () => resolve('open');
        source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? 'closed' : 'trying again');
      }),
    `http://${fleet.sse.address}/sse?topic=page/news&ticket=${await ticket(all)}`,
  );
  assert.equal(closed, 'closed');
  await page.context().close();
});
