import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { pair, sign, tokenConfig } from './testing.ts';
import { createTokenCheck } from './tokens.ts';

const key = await pair('RS256', 'one');

/** An issuer that publishes its configuration and keys; `pages` replaces what it answers by path. */
async function issuer(t: TestContext, pages: (url: string) => Record<string, unknown> = () => ({})) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const url = base();
    const all: Record<string, unknown> = {
      '/realm/.well-known/openid-configuration': { issuer: `${url}/realm`, jwks_uri: `${url}/certs` },
      '/certs': { keys: [key.jwk] },
      ...pages(url),
    };
    const page = all[request.url ?? ''];
    if (page === undefined) response.writeHead(404).end();
    else response.end(typeof page === 'string' ? page : JSON.stringify(page));
  });
  const base = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return { asked, url: `${base()}/realm` };
}

const checkOf = (entry: object) =>
  createTokenCheck(tokenConfig({ PUSHFLEET_TOKEN_ISSUERS: JSON.stringify([entry]) })).check;

const token = (iss: string) => sign({ iss }, key.privateKey, { alg: 'RS256', kid: 'one' });

describe('an issuer by its name alone', () => {
  it('is asked where its keys are, once for many tokens', async (t) => {
    const { url, asked } = await issuer(t);
    const check = checkOf({ issuer: url });
    const tokens = await Promise.all(Array.from({ length: 20 }, () => token(url)));
    for (const grant of await Promise.all(tokens.map(check))) assert.equal(grant.subject, 'alice');
    assert.deepEqual(asked, ['/realm/.well-known/openid-configuration', '/certs']);
  });

  it('may end in a slash', async (t) => {
    const { url } = await issuer(t, (base) => ({
      '/realm/.well-known/openid-configuration': { issuer: `${base}/realm/`, jwks_uri: `${base}/certs` },
    }));
    await checkOf({ issuer: `${url}/` })(await token(`${url}/`));
  });

  const broken: readonly (readonly [what: string, page: (base: string) => unknown])[] = [
    ['that of another issuer', (base) => ({ issuer: 'https://else.example', jwks_uri: `${base}/certs` })],
    ['that of its name with a slash', (base) => ({ issuer: `${base}/realm/`, jwks_uri: `${base}/certs` })],
    ['without an issuer', (base) => ({ jwks_uri: `${base}/certs` })],
    ['without keys', (base) => ({ issuer: `${base}/realm` })],
    ['with keys in a file', (base) => ({ issuer: `${base}/realm`, jwks_uri: 'file:///etc/passwd' })],
    ['with keys at a number', (base) => ({ issuer: `${base}/realm`, jwks_uri: 7 })],
    ['with keys that are none', (base) => ({ issuer: `${base}/realm`, jwks_uri: `${base}/none` })],
    ['null', () => 'null'],
    ['a list', () => []],
    ['no JSON', () => '<html>'],
    ['endless', () => `"${'x'.repeat(1_048_576)}"`],
  ];
  for (const [what, page] of broken) {
    it(`is out of reach where its configuration is ${what}`, async (t) => {
      const { url } = await issuer(t, (base) => ({ '/realm/.well-known/openid-configuration': page(base) }));
      await assert.rejects(checkOf({ issuer: url })(await token(url)), {
        code: 'unavailable',
        message: /cannot be fetched from 127\.0\.0\.1/,
      });
    });
  }

  it('never hands https over to http', async () => {
    const answers: Record<string, unknown> = {
      'https://login.example/.well-known/openid-configuration': {
        issuer: 'https://login.example',
        jwks_uri: 'http://login.example/certs',
      },
      'http://login.example/certs': { keys: [key.jwk] },
    };
    const config = tokenConfig({ PUSHFLEET_TOKEN_ISSUERS: '[{"issuer":"https://login.example"}]' });
    const fetchFrom = (async (url: string) => Response.json(answers[url])) as typeof fetch;
    const { check } = createTokenCheck(config, { fetch: fetchFrom });
    await assert.rejects(check(await token('https://login.example')), { code: 'unavailable' });
  });
});
