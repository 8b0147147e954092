import type { IncomingHttpHeaders } from 'node:http';
import { PushfleetError, quote } from '@pushfleet/core';
import { bearer, type Grant, type RegistryClient, type TokenCheck, tokenCookie } from '@pushfleet/runtime';
import type { Cors } from './cors.ts';

export type SameSite = 'Strict' | 'Lax' | 'None';

/** Who asks, and the cookie by which a spent ticket lives on. */
export interface Visitor {
  readonly grant: Grant;
  readonly setCookie?: string;
}

export interface CredentialsOptions {
  readonly tokens: TokenCheck;
  readonly registry: Pick<RegistryClient, 'redeemTicket'>;
  readonly cors: Cors;
  readonly sameSite: SameSite;
}

/** Reads who asks from the Authorization header, else from a ticket or the cookie. */
export class Credentials {
  readonly #options: CredentialsOptions;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /**
   * A page's first request brings a fresh ticket and perhaps an old cookie, of another user even: the ticket
   * counts. One that returns with the same URL, as EventSource does by itself, brings the ticket spent: the cookie
   * counts, and the registry is not asked.
   *
   * @param returning whether the request resumes an earlier one
   * @throws PushfleetError as token check and registry do; `forbidden` for a page that is not trusted
   */
  async identify(
    headers: IncomingHttpHeaders,
    { ticket, returning }: { readonly ticket: string | undefined; readonly returning: boolean },
  ): Promise<Visitor> {
    const { authorization, cookie } = headers;
    if (authorization !== undefined) return this.#byToken(bearer({ authorization }) as string);
    const token = cookie === undefined ? undefined : bearer({ cookie });
    if (token === undefined && ticket === undefined) throw nobody();
    if (!this.#options.cors.trusts(headers)) throw foreignPage(headers);
    if (ticket === undefined) return this.#byToken(token as string);
    if (token === undefined) return this.#byTicket(ticket, headers);
    return returning
      ? orElse(this.#byToken(token), () => this.#byTicket(ticket, headers))
      : orElse(this.#byTicket(ticket, headers), () => this.#byToken(token));
  }

  async #byToken(token: string): Promise<Visitor> {
    return { grant: await this.#options.tokens.check(token) };
  }

  async #byTicket(ticket: string, headers: IncomingHttpHeaders): Promise<Visitor> {
    const token = await this.#options.registry.redeemTicket(ticket);
    const grant = await this.#options.tokens.check(token);
    return { grant, setCookie: this.#cookie(token, grant, headers.host ?? '') };
  }

  #cookie(token: string, grant: Grant, host: string): string {
    const seconds = Math.max(0, Math.floor((grant.expiresAt - Date.now()) / 1_000));
    // Browsers differ in whether they keep a Secure cookie that cleartext on this machine has set.
    const secure = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(host) ? '' : '; Secure';
    const sameSite = `; SameSite=${this.#options.sameSite}`;
    return `${tokenCookie}=${token}; Path=/; Max-Age=${seconds}; HttpOnly${secure}${sameSite}`;
  }
}

// A ticket that the registry cannot judge at the moment must not give way to another user's cookie.
async function orElse(first: Promise<Visitor>, second: () => Promise<Visitor>): Promise<Visitor> {
  try {
    return await first;
  } catch (thrown) {
    const { code } = PushfleetError.from(thrown);
    if (code !== 'unauthenticated' && code !== 'token_expired' && code !== 'token_revoked') throw thrown;
    return second();
  }
}

function nobody(): PushfleetError {
  return new PushfleetError(
    'unauthenticated',
    'No token came with the request. Send "Authorization: Bearer <token>", or get a ticket from POST /v1/tickets and add ?ticket=<ticket>.',
  );
}

function foreignPage(headers: IncomingHttpHeaders): PushfleetError {
  const page = headers.origin === undefined ? 'Another site' : `The page of ${quote(headers.origin)}`;
  return new PushfleetError(
    'forbidden',
    `${page} may not use the cookie or a ticket of this origin. List the page's origin in PUSHFLEET_CORS_ORIGINS.`,
  );
}
