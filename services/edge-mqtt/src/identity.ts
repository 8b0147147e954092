import { PushfleetError, quote } from '@pushfleet/core';
import type { Grant, RevocationList, TokenCheck } from '@pushfleet/runtime';
import { Unwelcome } from './arrival.ts';
import { type Connect, reasons } from './codec.ts';
import type { Caller } from './doors/caller.ts';

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
  async of({ userName, password }: Connect, caller: Caller): Promise<Grant> {
    const { visitor } = caller;
    const certificate = this.requireUsable(caller);
    if (password !== undefined) {
      const grant = await this.#o.tokens.check(password.toString('latin1'));
      this.requireSame(grant, caller);
      return grant;
    }
    if (certificate !== undefined) {
      requireName(userName, certificate);
      return this.#valid(certificate);
    }
    if (visitor instanceof PushfleetError) throw visitor;
    return visitor === undefined ? this.#nobody() : this.#valid(visitor);
  }

  /** The certificate's. @throws PushfleetError where one was shown that is of no use */
  requireUsable({ certificate }: Caller): Grant | undefined {
    if (certificate instanceof PushfleetError) throw certificate;
    return certificate;
  }

  /** @throws Unwelcome where the certificate is somebody else's */
  requireSame(grant: Grant, caller: Caller): void {
    const certificate = this.requireUsable(caller);
    if (certificate === undefined) return;
    if (grant.subject === certificate.subject && grant.namespace === certificate.namespace) return;
    throw new Unwelcome(
      reasons.notAuthorized,
      `The client says it is ${quote(grant.subject)}, and its certificate ${quote(certificate.subject)}. Show those of one.`,
    );
  }

  /** What nobody may do is the token check's to say. */
  async #nobody(): Promise<Grant> {
    try {
      return await this.#o.tokens.check('');
    } catch {
      throw new Unwelcome(reasons.notAuthorized, nobody);
    }
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

/** A user name says nothing that the certificate does not, and must not say anything else. */
function requireName(userName: string | undefined, { subject }: Grant): void {
  if (userName === undefined || userName === '' || userName === subject) return;
  throw new Unwelcome(
    reasons.badUserNameOrPassword,
    `The user name is not ${quote(subject)}, whose the certificate is. Send that one or none.`,
  );
}
