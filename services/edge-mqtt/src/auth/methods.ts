import { hkdfSync, randomBytes } from 'node:crypto';
import { PushfleetError } from '@pushfleet/core';
import {
  type Grant,
  type GrantFacts,
  type Log,
  type Metrics,
  type RevocationList,
  type TokenCheck,
  WatchedFile,
} from '@pushfleet/runtime';
import type { EdgeConfig } from '../config.ts';
import type { Exchange } from './exchange.ts';
import { Failures } from './failures.ts';
import { BearerExchange } from './oauth-bearer.ts';
import { ScramExchange } from './scram.ts';
import { parseScramUsers, ScramUsers, scramFileBytes } from './scram-users.ts';

type MethodsConfig = Pick<EdgeConfig, 'scramUsersFile' | 'authFailures' | 'internalSecret' | 'tokenSecret'>;

export interface MethodsOptions {
  readonly config: MethodsConfig;
  readonly tokens: TokenCheck;
  readonly registry: { readonly revocations: Pick<RevocationList, 'revoked'> };
  readonly log: Pick<Log, 'info' | 'error'>;
  readonly metrics: Pick<Metrics, 'counter'>;
}

/** The authentication methods of this server, by their names as SASL mechanisms. */
export class Methods {
  readonly #o: MethodsOptions;
  readonly #users: ScramUsers;
  readonly #file: WatchedFile | undefined;
  readonly #failures: Failures;
  /** Called when users were taken off, or are others. */
  onOutdated: () => void = () => {};

  /** @throws ConfigError where the file of users is wrong */
  constructor(options: MethodsOptions) {
    const { config } = options;
    this.#o = options;
    this.#users = new ScramUsers(keyOf(config));
    this.#file = config.scramUsersFile === undefined ? undefined : this.#watch(config.scramUsersFile);
    this.#failures = new Failures({
      ...{ most: config.authFailures, windowMs: 60_000, now: () => performance.now() },
    });
  }

  start(): void {
    this.#file?.start();
  }

  close(): void {
    this.#file?.close();
  }

  /** Whether a grant is that of a user who is not declared so any more. */
  outdated(grant: GrantFacts): boolean {
    return this.#users.outdated(grant);
  }

  /** @param from the client's address. @returns undefined: there is no such method here */
  begin(method: string, from: string): Exchange | undefined {
    if (method === 'OAUTHBEARER') return new BearerExchange(this.#o.tokens);
    if (method !== 'SCRAM-SHA-256' || this.#file === undefined) return undefined;
    // By address and name: who guesses keeps nobody else out, unless all come from one address.
    const guesser = (name: string): string => `${from} ${name}`;
    return new ScramExchange({
      find: (name) => this.#users.find(name),
      pretend: (name) => this.#users.pretend(name),
      require: (name) => this.#failures.require(guesser(name)),
      onFailed: (name) => this.#failures.add(guesser(name)),
      onKnown: ({ grant }) => this.#requireStanding(grant),
    });
  }

  #watch(file: string): WatchedFile {
    const { log, metrics } = this.#o;
    const reloads = metrics.counter('pushfleet_mqtt_scram_users_reloads', {
      description: 'Changed files of SCRAM users, by outcome.',
    });
    return new WatchedFile({
      ...{ file, env: 'PUSHFLEET_EDGE_MQTT_SCRAM_USERS_FILE', bytes: scramFileBytes },
      use: (text) => {
        const users = parseScramUsers(text);
        this.#users.replace(users);
        log.info({ users: users.length }, 'the users of SCRAM were read');
      },
      onChanged: (outcome, problems) => {
        reloads.add(1, { outcome });
        if (outcome === 'changed') this.onOutdated();
        else log.error({ file, problems }, 'the new users of SCRAM are wrong; the old ones stay');
      },
    });
  }

  /** @throws PushfleetError `token_revoked`, `unavailable` while it is not known */
  #requireStanding(grant: Grant): void {
    if (!this.#o.registry.revocations.revoked(grant) && !this.outdated(grant)) return;
    throw new PushfleetError('token_revoked', 'This user was revoked.');
  }
}

/** The same in all of the fleet: what nobody's name is challenged with must not depend on the instance. */
function keyOf({ internalSecret, tokenSecret }: MethodsConfig): Buffer {
  const secret = internalSecret ?? tokenSecret ?? randomBytes(32);
  return Buffer.from(hkdfSync('sha256', secret, '', 'pushfleet scram', 32));
}
