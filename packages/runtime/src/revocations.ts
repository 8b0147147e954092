import type { Grant } from './grant.ts';

/** Which tokens have been revoked, as the registry tells. */
export interface RevocationList {
  revoked(grant: Grant): boolean;
  /**
   * Calls `on` after the list has grown; connections then ask `revoked` of their own grants. Returns how to stop.
   */
  onRevoked(on: () => void): () => void;
}
