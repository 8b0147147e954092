import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type BombOptions, bombs, fill } from './bombs.ts';
import { borrowed } from './borrowed.ts';
import { Site } from './site.ts';
import { dawdlers } from './slow.ts';
import { revokeStolen, strangers } from './strangers.ts';
import { fillVault, trespass, type Vault } from './trespass.ts';

/** How much of everything there is. */
export interface Size {
  /** Connections at once that say nothing, at each listener. */
  readonly crowd: number;
  /** What a compressed bomb has, inflated. */
  readonly inflatedBytes: number;
}

/** One fleet, attacked by every protocol from outside. */
export function securitySuite(size: Size): void {
  describe('a fleet under attack', () => {
    let site: Site;
    let vault: Vault;
    const slow = new Map<string, Promise<void>>();
    before(async () => {
      site = await Site.start();
      vault = await fillVault(site);
      await revokeStolen(site);
      const token = await site.token({ sub: 'dawdler', publish: ['#'], subscribe: ['#'] });
      for (const { name, run } of dawdlers) {
        const ended = run(site, token);
        ended.catch(() => {}); // Its test says so.
        slow.set(name, ended);
      }
    });
    after(() => site?.fleet.stop());
    if (!process.env.SKIP) {
      strangers(() => site);
      borrowed(
        () => site,
        () => vault,
      );
      trespass(
        () => site,
        () => vault,
      );
    }
    describe('bombs', { concurrency: 4 }, () => {
      let o: BombOptions;
      before(async () => {
        const token = await site.token({ sub: 'bomber', publish: ['#'], subscribe: ['#'], manage: true });
        o = await fill(token, size.inflatedBytes);
      });
      for (const { name, run, expected } of bombs) {
        test(name, async () => assert.match(await run(site, o), expected));
      }
    });
    if (!process.env.SKIP)
      describe('whoever is slow is let go', { concurrency: true }, () => {
        for (const { name } of dawdlers) test(name, () => slow.get(name));
      });
  });
}
