import { after, before, describe } from 'node:test';
import { borrowed } from './borrowed.ts';
import { Site } from './site.ts';
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
    before(async () => {
      site = await Site.start();
      vault = await fillVault(site);
      await revokeStolen(site);
    });
    after(() => site?.fleet.stop());
    if (!process.env.SKIP) strangers(() => site);
    borrowed(
      () => site,
      () => vault,
    );
    trespass(
      () => site,
      () => vault,
    );
  });
}
