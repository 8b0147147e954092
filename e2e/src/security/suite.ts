import { after, before, describe } from 'node:test';
import { Site } from './site.ts';
import { revokeStolen, strangers } from './strangers.ts';

/** How much of everything there is. */
export interface Size {
  /** Connections at once that say nothing, at each listener. */
  readonly crowd: number;
}

/** One fleet, attacked by every protocol from outside. */
export function securitySuite(_size: Size): void {
  describe('a fleet under attack', () => {
    let site: Site;
    before(async () => {
      site = await Site.start();
      await revokeStolen(site);
    });
    after(() => site?.fleet.stop());
    strangers(() => site);
  });
}
