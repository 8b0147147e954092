import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { temporaryFolder, until } from '@pushfleet/contract';
import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core';
import { startChromium } from './chromium.ts';

const launcher = join(import.meta.dirname, '../../packages/cli/src/launcher/main.ts');
const site = createServer((_request, response) => {
  response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>A page of somebody</title>');
});
let fleet: { url: string; stop(): Promise<unknown> };
let browser: Browser;

/** `npm start`, as far as the page is concerned. */
async function start(...args: readonly string[]): Promise<typeof fleet> {
  const child = spawn(
    process.execPath,
    [launcher, '--state', temporaryFolder('page'), '--port', '0', ...args],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const ended = once(child, 'exit');
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const url = () => /The front: +(\S+)/.exec(output)?.[1];
  await until(() => url() !== undefined || child.exitCode !== null, 'the fleet', 90_000);
  if (url() === undefined) throw new Error(output);
  return {
    url: url() as string,
    stop: () => {
      child.kill('SIGTERM');
      return ended;
    },
  };
}

before(async () => {
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  fleet = await start();
  browser = await startChromium('--host-resolver-rules=MAP rebound.example 127.0.0.1');
});

after(async () => {
  await browser?.close();
  site.close();
  await fleet?.stop();
});

/** Everything that a reader of the console would frown at, violations of the content policy among it. */
const complaints = new WeakMap<Page, string[]>();

async function open(options: BrowserContextOptions = {}, url = fleet.url): Promise<Page> {
  const page = await (await browser.newContext(options)).newPage();
  page.setDefaultTimeout(60_000);
  const heard: string[] = [];
  complaints.set(page, heard);
  page.on('pageerror', ({ message }) => heard.push(message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') heard.push(message.text());
  });
  await page.goto(url);
  return page;
}

const close = async (page: Page): Promise<void> => {
  await page.context().close();
  assert.deepEqual(complaints.get(page), []);
};

const lanes = ['websocket', 'sse', 'poll'] as const;
const head = (page: Page, lane: string): Locator => page.locator(`[data-lane="${lane}"]`);
const button = (page: Page, name: string): Locator => page.getByRole('button', { name, exact: true });

async function connected(page: Page): Promise<void> {
  for (const lane of lanes) await head(page, lane).getByText('Connected').waitFor();
  await page.locator('#connection', { hasText: 'Connected by WebSocket' }).waitFor();
}

/** What stands in the cells of the newest message with this text. */
async function cells(page: Page, text: string): Promise<string[]> {
  const row = page
    .getByRole('row')
    .filter({ has: page.getByText(text, { exact: true }) })
    .first();
  const texts = await row.getByRole('cell').allInnerTexts();
  return texts.map((cell) => cell.replace(/\s+/g, ' ').replace(/^(WebSocket|SSE|Long polling) /, ''));
}

const came = /^[\d.]+ m?s$/;
const cameLate = /^[\d.]+ m?s after the cut$/;

const shows = (page: Page, text: string, wanted: readonly RegExp[]): Promise<void> =>
  until(
    async () => {
      const found = await cells(page, text);
      return found.length === wanted.length && found.every((cell, i) => (wanted[i] as RegExp).test(cell));
    },
    `"${text}" to be shown as ${wanted.join(' | ')}`,
  );

async function publish(page: Page, text: string, how = 'Publish'): Promise<void> {
  await page.getByLabel('Message', { exact: true }).fill(text);
  await button(page, how).click();
}

test('a message is published, and each transport brings it', async () => {
  const page = await open();
  await connected(page);
  await page.getByLabel('Message', { exact: true }).fill('by the Enter key');
  await page.keyboard.press('Enter');
  await shows(page, 'by the Enter key', [came, came, came]);
  await page.getByText(/^Stored after/).waitFor();
  await close(page);
});

for (const [i, lane] of lanes.entries()) {
  test(`what ${lane} misses while it is cut arrives afterwards, once and in order`, async () => {
    const page = await open();
    await connected(page);
    const name = await head(page, lane).getByRole('heading').textContent();
    await button(page, `Cut ${name}`).click();
    await head(page, lane).getByText('Cut by you').waitFor();
    await publish(page, 'missed', 'Publish 10');
    const others = lanes.map((_, k) => (k === i ? /^away$/ : came));
    for (let n = 1; n <= 10; n++) await shows(page, `missed ${n}`, others);
    await button(page, `Reconnect ${name}`).click();
    const all = lanes.map((_, k) => (k === i ? cameLate : came));
    for (let n = 1; n <= 10; n++) await shows(page, `missed ${n}`, all);
    for (const each of lanes) await head(page, each).getByText('10 received', { exact: true }).waitFor();
    await publish(page, 'after it');
    await shows(page, 'after it', [came, came, came]);
    await page.context().close();
  });
}

test('a page that nobody looks at gives back its scarce connections, and catches up when it is seen', async () => {
  const page = await open();
  await connected(page);
  const look = (hidden: boolean) =>
    page.evaluate(
      `Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true });
       document.dispatchEvent(new Event('visibilitychange'))`,
    );
  await look(true);
  for (const lane of ['sse', 'poll']) await head(page, lane).getByText('Paused while hidden').waitFor();
  await publish(page, 'unseen');
  await shows(page, 'unseen', [came, /^away$/, /^away$/]);
  await look(false);
  await shows(page, 'unseen', [came, cameLate, cameLate]);
  await close(page);
});

test('a refusal is shown in the words of the fleet', async () => {
  const page = await open();
  await connected(page);
  await page.getByLabel('Topic').fill('elsewhere');
  await publish(page, 'not mine');
  await page.getByText(/^Not stored: .*elsewhere/).waitFor();
  assert.equal(await page.getByText('not mine', { exact: true }).count(), 0);
  await page.context().close();
});

test('the lines for a terminal work as they stand', async () => {
  const page = await open();
  await connected(page);
  await page.getByText(`TOKEN=$(npx --prefix `).waitFor();
  const lines = await page.locator('.command code').allTextContents();
  const [token, , publication, poll] = lines as [string, string, string, string];
  const { stdout } = await promisify(execFile)('sh', ['-ec', [token, publication, poll].join('\n')], {
    cwd: temporaryFolder('elsewhere'),
  });
  await shows(page, 'Hello from a terminal', [/^came$/, /^came$/, /^came$/]);
  assert.match(stdout, /"topic":"playground\/hello".*"cursor":"[^"]+","items":\[\]/s);
  await close(page);
});

test('who has the page open is seen by the others', async () => {
  const [one, two] = [await open(), await open()];
  await Promise.all([connected(one), connected(two)]);
  await two.getByLabel('Your name here').fill('Ada');
  await button(two, 'Change').click();
  await one.getByRole('listitem').filter({ hasText: 'Ada' }).waitFor();
  await two.getByRole('listitem').filter({ hasText: 'Ada (you)' }).waitFor();
  await close(two);
  await one.getByRole('listitem').filter({ hasText: 'Ada' }).waitFor({ state: 'detached' });
  await close(one);
});

test('nothing is cut off and nothing fails an audit, light and dark, narrow and wide', async () => {
  const page = await open({ reducedMotion: 'reduce' });
  await connected(page);
  await publish(
    page,
    'a message with some more words in it, and aVeryLongWordWithoutAnyPlaceToBreakIt'.repeat(2),
  );
  await button(page, 'Cut Server-sent events').click();
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    for (const width of [360, 768, 1600]) {
      await page.setViewportSize({ width, height: 900 });
      const scrolls = await page.evaluate('document.documentElement.scrollWidth');
      assert.equal(scrolls, width, `${width} pixels are enough`);
      await page.evaluate(axe.source);
      const found = (await page.evaluate(
        "axe.run(document, { resultTypes: ['violations'] })",
      )) as axe.AxeResults;
      const violations = found.violations.map(
        ({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`,
      );
      assert.deepEqual(violations, [], `${colorScheme}, ${width} pixels`);
    }
  }
  await page.context().close();
});

test('a page of another origin gets no token', async () => {
  const { port } = site.address() as AddressInfo;
  const address = `${fleet.url}/page/token`;
  for (const host of ['127.0.0.1', 'localhost']) {
    const page = await open({}, `http://${host}:${port}/`);
    const ask = (mode: 'cors' | 'no-cors') =>
      page.evaluate(
        ([url, mode]) =>
          fetch(url, { method: 'POST', credentials: 'include', mode }).then(
            (answer) => answer.text(),
            () => 'nothing that can be read',
          ),
        [address, mode] as const,
      );
    assert.equal(await ask('cors'), 'nothing that can be read');
    const answered = page.waitForResponse(address);
    assert.equal(await ask('no-cors'), '');
    assert.equal((await answered).status(), 403);
    await page.context().close();
  }
});

test('a page whose name was made to lead here gets no token, and asks for one', async () => {
  const page = await open({}, fleet.url.replace('127.0.0.1', 'rebound.example'));
  await page.getByText(/handed to the page of this front on this machine/).waitFor();
  await page.getByLabel('Token', { exact: true }).waitFor();
  await page.context().close();
});
