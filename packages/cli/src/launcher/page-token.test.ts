import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeJwt } from 'jose';
import { ensureSecrets } from '../local/state.ts';
import { pageTokens } from './page-token.ts';

const state = mkdtempSync(join(tmpdir(), 'pushfleet page-'));
ensureSecrets(state);
after(() => rmSync(state, { recursive: true }));

const lifetime = async (env: NodeJS.ProcessEnv): Promise<number> => {
  const { token } = (await pageTokens(state, env)?.()) ?? { token: '' };
  const { exp = 0, iat = 0 } = decodeJwt(token);
  return exp - iat;
};

test("the page's token is good for the playground alone, for ten minutes", async () => {
  const made = await pageTokens(state, {})?.();
  assert.ok(made);
  const claims = decodeJwt(made.token);
  const playground = ['playground/#'];
  assert.deepEqual(claims.pushfleet, { publish: playground, subscribe: playground, presence: playground });
  assert.equal(claims.ns, undefined);
  assert.equal(made.expires, (claims.exp as number) * 1_000);
  assert.equal(await lifetime({}), 600);
  assert.match(made.commands.tail, /pushfleet tail --state '.* page-.*' 'playground\/#'$/);
});

test('it never lives longer than the services allow', async () => {
  assert.equal(await lifetime({ PUSHFLEET_TOKEN_MAX_LIFETIME: '5m' }), 300);
});

for (const name of ['PUSHFLEET_TOKEN_SECRET', 'PUSHFLEET_TOKEN_SECRET_FILE']) {
  test(`with ${name} given, the page makes no tokens`, () => {
    assert.equal(pageTokens(state, { [name]: 'a secret of thirty-two bytes and more' }), undefined);
  });
}
