import type { IncomingHttpHeaders } from 'node:http';
import type { Config } from './config.ts';
import type { Grant } from './grant.ts';
import type { RevocationList } from './revocations.ts';
import type { tokenFields } from './shared-fields.ts';

export interface TokenCheck {
  /**
   * Verifies a token and reads its grants. Cheap for a token seen within the last minute.
   *
   * @throws PushfleetError `unauthenticated`, `token_expired` or `token_revoked`; `unavailable` when the issuer's
   *   keys cannot be fetched: the token may be good
   */
  check(token: string): Promise<Grant>;
}

export interface TokenCheckOptions {
  readonly revocations?: RevocationList;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** @throws ConfigError where no key is configured or one cannot be used */
export function createTokenCheck(
  _config: Config<typeof tokenFields>,
  _options: TokenCheckOptions = {},
): TokenCheck {
  throw new Error('not yet');
}

/** The name of the cookie that carries a token. */
export const tokenCookie = 'pushfleet';

/**
 * The token of a request: `Authorization: Bearer …` (RFC 6750 section 2.1), else the cookie `pushfleet`.
 *
 * @throws PushfleetError `unauthenticated` where the Authorization header is of another scheme or malformed
 */
export function bearer(_headers: IncomingHttpHeaders): string | undefined {
  throw new Error('not yet');
}
