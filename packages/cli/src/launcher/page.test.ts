import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { request } from 'node:http';
import { after, test } from 'node:test';
import { openFront } from './front.ts';
import { Page } from './page.ts';

const token = { token: 'a.b.c', expires: 1, commands: { token: 'make', tail: 'follow' } };
const open = (make: (() => Promise<typeof token>) | undefined) =>
  openFront({ routes: [], addressOf: () => undefined, page: new Page({ token: make }) }, 0);
const front = await open(async () => token);
const silent = await open(undefined);
after(() => Promise.all([front.close(), silent.close()]));

const { port } = new URL(front.url);
const own = { host: `127.0.0.1:${port}`, origin: front.url, 'sec-fetch-site': 'same-origin' };

/** What comes for these very headers and this very path; `fetch` would set and mend them. */
async function ask(
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Record<string, unknown>; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<import('node:http').IncomingMessage>();
  request(front.url, { method, path, headers, agent: false })
    .on('response', resolve)
    .on('error', reject)
    .end();
  const answer = await promise;
  const text = Buffer.concat(await answer.toArray()).toString();
  return { status: answer.statusCode as number, headers: answer.headers, text };
}

test('the page lets in its own files and the one script that its text holds', async () => {
  const { status, headers, text } = await ask('GET', '/');
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/html; charset=utf-8');
  const policy = String(headers['content-security-policy']);
  assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/);
  const inline = [...text.matchAll(/<script[^>]*>([^<]+)<\/script>/g)].map(([, script]) => script as string);
  assert.equal(inline.length, 1);
  assert.ok(policy.includes(`'sha256-${hash('sha256', inline[0] as string, 'base64')}'`));
  assert.doesNotMatch(text, /<style|\sstyle=|\son[a-z]+=/);
});

test('whatever the page names is there, and comes from this origin', async () => {
  const { text } = await ask('GET', '/');
  const named = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path as string);
  assert.ok(named.includes('/page/main.ts'));
  for (const path of named) {
    const { status, headers } = await ask('GET', path);
    assert.equal(status, 200, path);
    assert.equal(headers['x-content-type-options'], 'nosniff');
  }
});

test('a module comes as JavaScript', async () => {
  const { headers, text } = await ask('GET', '/page/ledger.ts');
  assert.equal(headers['content-type'], 'text/javascript; charset=utf-8');
  assert.doesNotMatch(text, /interface|readonly/);
  assert.match(text, /export class Ledger/);
});

for (const path of [
  '/page/',
  '/page/nothing.ts',
  '/page/tsconfig.json',
  '/page/index.html',
  '/page/../page.ts',
  '/page/%2e%2e/page.ts',
  '/page/..%2fpage.ts',
  '/page/client/../../package.json',
  '/page//etc/passwd',
]) {
  test(`${path} is not there`, async () => {
    assert.equal((await ask('GET', path)).status, 404);
  });
}

test('nothing can be written, and HEAD brings no body', async () => {
  assert.equal((await ask('POST', '/')).status, 405);
  const { status, headers, text } = await ask('HEAD', '/');
  assert.deepEqual([status, text], [200, '']);
  assert.ok(Number(headers['content-length']) > 0);
});

test('the page of this front gets a token', async () => {
  for (const name of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`]) {
    const { status, headers, text } = await ask('POST', '/page/token', {
      ...own,
      host: name,
      origin: `http://${name}`,
    });
    assert.equal(status, 200, name);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers['access-control-allow-origin'], undefined);
    assert.deepEqual(JSON.parse(text), token);
  }
  const { 'sec-fetch-site': _, ...older } = own;
  assert.equal((await ask('POST', '/page/token', older)).status, 200, 'a browser without Fetch Metadata');
});

const strangers: readonly (readonly [who: string, headers: Record<string, string>])[] = [
  ['a program that says nothing', { host: own.host }],
  ['a page of another site', { ...own, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }],
  ['a page of another port', { ...own, origin: 'http://127.0.0.1:1', 'sec-fetch-site': 'same-site' }],
  ['a page without an origin', { ...own, origin: 'null', 'sec-fetch-site': 'cross-site' }],
  ['another site that says this origin', { ...own, 'sec-fetch-site': 'cross-site' }],
  [
    'a name that was made to lead here',
    { ...own, host: `evil.example:${port}`, origin: `http://evil.example:${port}` },
  ],
  [
    'a name that begins like this machine',
    { ...own, host: 'localhost.evil.example', origin: 'http://localhost.evil.example' },
  ],
  [
    'another address of this machine',
    { ...own, host: `10.0.0.1:${port}`, origin: `http://10.0.0.1:${port}` },
  ],
  ['a proxy that brings others', { ...own, 'x-forwarded-for': '192.0.2.1' }],
  ['a page over TLS', { ...own, origin: `https://127.0.0.1:${port}` }],
];
for (const [who, headers] of strangers) {
  test(`${who} gets no token`, async () => {
    const { status, text } = await ask('POST', '/page/token', headers);
    assert.equal(status, 403);
    assert.doesNotMatch(text, /a\.b\.c/);
  });
}

test('a link brings no token', async () => {
  assert.equal((await ask('GET', '/page/token', own)).status, 405);
});

test('a front that makes no tokens says so', async () => {
  const answer = await fetch(`${silent.url}/page/token`, { method: 'POST', headers: { origin: silent.url } });
  assert.equal(answer.status, 404);
  assert.match(await answer.text(), /pushfleet token/);
});
