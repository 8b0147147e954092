import type { Config } from './config.ts';
import type { Log } from './log.ts';
import type { RevocationList } from './revocations.ts';
import type { Part } from './service.ts';
import type { registryFields } from './shared-fields.ts';

/** The registry as the edges see it. A part: it follows the revocations while it runs. */
export interface RegistryClient extends Part {
  readonly revocations: RevocationList;
  /**
   * Spends a ticket for the token it stands for.
   *
   * @throws PushfleetError `unauthenticated` where it is unknown, spent or expired; `unavailable` without a registry
   */
  redeemTicket(ticket: string): Promise<string>;
}

/** Without PUSHFLEET_REGISTRY_URL: no revocations, and tickets are refused with advice. */
export function createRegistryClient(
  _config: Config<typeof registryFields>,
  _context: { readonly name: string; readonly log: Log },
): RegistryClient {
  throw new Error('not yet');
}
