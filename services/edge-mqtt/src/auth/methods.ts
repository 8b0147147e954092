import { hkdfSync, randomBytes } from 'node:crypto';
import { PushfleetError } from '@pushfleet/core';
import type { Grant, RevocationList, TokenCheck } from '@pushfleet/runtime';
import type { EdgeConfig } from '../config.ts';
import type { Exchange } from './exchange.ts';
import { Failures } from './failures.ts';
import { BearerExchange } from './oauth-bearer.ts';
import { ScramExchange } from './scram.ts';
import { ScramUsers } from './scram-users.ts';

type MethodsConfig = Pick<EdgeConfig, 'scramUsers' | 'authFailures' | 'internalSecret' | 'tokenSecret'>;

export interface MethodsOptions {
  readonly config: MethodsConfig;
  readonly tokens: TokenCheck;
  readonly registry: { readonly revocations: Pick<RevocationList, 'revoked'> };
}

/** The authentication methods of this server, by their names as SASL mechanisms. */
export class Methods {
  readonly #o: MethodsOptions;
  readonly #users: ScramUsers | undefined;
  readonly #failures: Failures;

  constructor(options: MethodsOptions) {
    const { config } = options;
    const { scramUsers: users = [] } = config;
    this.#o = options;
    if (users.length > 0) this.#users = new ScramUsers(users, keyOf(config));
    this.#failures = new Failures({
      ...{ most: config.authFailures, windowMs: 60_000, now: () => performance.now() },
    });
  }

  /** @param from the client's address. @returns undefined: there is no such method here */
  begin(method: string, from: string): Exchange | undefined {
    const users = this.#users;
    if (method === 'OAUTHBEARER') return new BearerExchange(this.#o.tokens);
    if (method !== 'SCRAM-SHA-256' || users === undefined) return undefined;
    // By address and name: who guesses keeps nobody else out, unless all come from one address.
    const guesser = (name: string): string => `${from} ${name}`;
    return new ScramExchange({
      find: (name) => users.find(name),
      pretend: (name) => users.pretend(name),
      require: (name) => this.#failures.require(guesser(name)),
      onFailed: (name) => this.#failures.add(guesser(name)),
      onKnown: ({ grant }) => this.#requireStanding(grant),
    });
  }

  /** @throws PushfleetError `token_revoked`, `unavailable` while it is not known */
  #requireStanding(grant: Grant): void {
    if (!this.#o.registry.revocations.revoked(grant)) return;
    throw new PushfleetError('token_revoked', 'This user was revoked.');
  }
}

/** The same in all of the fleet: what nobody's name is challenged with must not depend on the instance. */
function keyOf({ internalSecret, tokenSecret }: MethodsConfig): Buffer {
  const secret = internalSecret ?? tokenSecret ?? randomBytes(32);
  return Buffer.from(hkdfSync('sha256', secret, '', 'pushfleet scram', 32));
}
