import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '@pushfleet/contract';
import type { Site } from './site.ts';
import { revokedId } from './tokens.ts';
import type { Ask, Way } from './way.ts';
import { ways } from './ways.ts';

// Who may not come in at all: each way in refuses each bad token by its own words, and says nothing else.

/** What a request has to be about, so that nothing but the token is wrong with it. */
const wish = { topic: 'honest/door', text: 'nothing' };

export function strangers(site: () => Site): void {
  describe('bad tokens', { concurrency: 6 }, () => {
    for (const way of ways) {
      test(way.name, async () => {
        await takesTheGood(site(), way);
        await refusesNobody(site(), way);
        for (const { name, token, code } of site().issuer.hostile()) {
          site().keepToken(`the token with ${name}`, token);
          const ask = { ...wish, token };
          if (code === 'token_revoked') await knowsRevocation(site(), way, ask);
          const heard = await site().enter(way, ask);
          heard.close();
          assert.equal(heard.brief, way.refusal(code), `${name}: ${heard.text()}`);
        }
      });
    }
  });
}

/** Otherwise every refusal could be for another reason. */
async function takesTheGood(site: Site, way: Way): Promise<void> {
  const token = site.keepToken('a good token', site.issuer.good({ sub: `good-${way.name}` }));
  const heard = await site.enter(way, { ...wish, token });
  heard.close();
  const refusals = [way.refusal('unauthenticated'), way.refusal('forbidden'), way.withoutToken];
  assert.ok(!refusals.includes(heard.brief), `a good token was answered ${heard.brief}: ${heard.text()}`);
}

async function refusesNobody(site: Site, way: Way): Promise<void> {
  const { brief, text, close } = await site.enter(way, { ...wish, token: undefined });
  close();
  assert.equal(brief, way.withoutToken ?? way.refusal('unauthenticated'), text());
}

/** Each service hears of a revocation by itself. */
async function knowsRevocation(site: Site, way: Way, ask: Ask): Promise<void> {
  await until(async () => {
    const heard = await site.enter(way, ask);
    heard.close();
    return heard.brief === way.refusal('token_revoked');
  }, `${way.name} to know of a revocation`);
}

/** Before the tests: a token was stolen, and its owner knows. */
export async function revokeStolen(site: Site): Promise<void> {
  const manager = await site.token({ sub: 'manager', manage: true });
  const answer = await fetch(`http://${site.at('registry')}/v1/revocations`, {
    method: 'POST',
    body: JSON.stringify({ tokenId: revokedId }),
    headers: { authorization: `Bearer ${manager}`, 'content-type': 'application/json' },
  });
  assert.equal(answer.status, 201, await answer.text());
}
