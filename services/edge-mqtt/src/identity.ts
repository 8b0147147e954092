import { PushfleetError, quote } from '@pushfleet/core';
import type { Grant, RevocationList, TokenCheck } from '@pushfleet/runtime';
import { Unwelcome } from './arrival.ts';
import type { Caller } from './caller.ts';
import { type Connect, reasons } from './codec.ts';

export interface IdentityOptions {
  readonly tokens: TokenCheck;
  readonly revocations: Pick<RevocationList, 'revoked'>;
  /** Unix time in milliseconds. */
  readonly now: () => number;
}

/**
 * Who a client is and what it may do. A token, as the password, decides alone. A client whose certificate is somebody's
 * brings that one's token or none: two answers to one question are refused, not chosen from. What a browser sends with
 * the handshake by itself counts where CONNECT has nothing to say.
 */
export class Identity {
  readonly #o: IdentityOptions;

  constructor(options: IdentityOptions) {
    this.#o = options;
  }

  /** @throws PushfleetError as token check does, Unwelcome */
  async of({ userName, password }: Connect, { certificate, visitor }: Caller): Promise<Grant> {
    if (certificate instanceof PushfleetError) throw certificate;
    if (password !== undefined) {
      const grant = await this.#o.tokens.check(password.toString('latin1'));
      if (certificate !== undefined) requireSame(grant, certificate);
      return grant;
    }
    if (certificate !== undefined) {
      requireName(userName, certificate);
      return this.#valid(certificate);
    }
    if (visitor === undefined) throw new Unwelcome(reasons.notAuthorized, nobody);
    if (visitor instanceof PushfleetError) throw visitor;
    return this.#valid(visitor);
  }

  /** A grant that was not made at this moment. */
  #valid(grant: Grant): Grant {
    const { revocations, now } = this.#o;
    if (now() >= grant.expiresAt) throw new PushfleetError('token_expired', 'What was shown has expired.');
    if (revocations.revoked(grant)) throw new PushfleetError('token_revoked', 'What was shown was revoked.');
    return grant;
  }
}

const nobody = 'No token came, and no certificate that may do anything. Send a token as the password.';

function requireSame(token: Grant, certificate: Grant): void {
  if (token.subject === certificate.subject && token.namespace === certificate.namespace) return;
  throw new Unwelcome(
    reasons.notAuthorized,
    `The token is of ${quote(token.subject)}, and the certificate of ${quote(certificate.subject)}. Show those of one.`,
  );
}

/** A user name says nothing that the certificate does not, and must not say anything else. */
function requireName(userName: string | undefined, { subject }: Grant): void {
  if (userName === undefined || userName === '' || userName === subject) return;
  throw new Unwelcome(
    reasons.badUserNameOrPassword,
    `The user name is not ${quote(subject)}, whose the certificate is. Send that one or none.`,
  );
}
