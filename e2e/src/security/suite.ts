import { after, before, describe, test } from 'node:test';
import { borrowed } from './borrowed.ts';
import { Site } from './site.ts';
import { dawdlers } from './slow.ts';
import { revokeStolen, strangers } from './strangers.ts';
import { fillVault, trespass, type Vault } from './trespass.ts';

/** How much of everything there is. */
export interface Size {
  /** Connections at once that say nothing, at each listener. */
  readonly crowd: number;
}

/** One fleet, attacked by every protocol from outside. */
export function securitySuite(_size: Size): void {
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
    describe('whoever is slow is let go', { concurrency: true }, () => {
      for (const { name } of dawdlers) test(name, () => slow.get(name));
    });
  });
}
