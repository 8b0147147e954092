import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import { ConfigError } from './config.ts';

/** What a listener shows to its clients, and by whom theirs are signed; all of it PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
  /** Absent: clients are not asked for a certificate. */
  readonly clientCa?: string;
  /** Which of theirs are revoked, by a list of each authority; absent: none. */
  readonly clientCrl?: string;
}

/**
 * What was configured as `<prefix>_CERT`, `_KEY`, `_CLIENT_CA` and `_CLIENT_CRL`; undefined where nothing was.
 *
 * @throws ConfigError where it is one half, or cannot be used
 */
export function tlsPair(
  prefix: string,
  given: { readonly [K in keyof TlsPair]?: string | undefined },
): TlsPair | undefined {
  const { cert, key, clientCa, clientCrl } = given;
  if (clientCrl !== undefined && clientCa === undefined) {
    throw new ConfigError([
      `${prefix}_CLIENT_CRL needs ${prefix}_CLIENT_CA, whose list it is. Set what is missing.`,
    ]);
  }
  if (cert === undefined && key === undefined && clientCa === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new ConfigError([
      `${prefix}_CERT and ${prefix}_KEY belong together, and ${prefix}_CLIENT_CA needs both. Set what is missing.`,
    ]);
  }
  requireUsable(`${prefix}_CERT and ${prefix}_KEY are`, { cert, key });
  if (clientCa === undefined) return { cert, key };
  // What holds no certificate at all is taken for an empty list, and nobody would be let in.
  const isPem = clientCa.includes('-----BEGIN CERTIFICATE-----');
  requireUsable(`${prefix}_CLIENT_CA is`, isPem ? { ca: clientCa } : { cert: clientCa });
  if (clientCrl === undefined) return { cert, key, clientCa };
  requireUsable(`${prefix}_CLIENT_CRL is`, { ca: clientCa, crl: clientCrl });
  return { cert, key, clientCa, clientCrl };
}

function requireUsable(what: string, options: Parameters<typeof createSecureContext>[0]): void {
  try {
    createSecureContext(options);
  } catch (error) {
    throw new ConfigError([
      `${what} not usable: ${(error as Error).message}. Give PEM texts that belong together.`,
    ]);
  }
}

/** Whether only programs of this machine reach a listener of this host. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
