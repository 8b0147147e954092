import { Resolver as DnsResolver, lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Target } from './target.ts';

/** Finds the addresses of a target's host. */
export type Resolve = (target: Target) => Promise<readonly string[]>;

// More than any service has; each is judged, and none is picked at random.
const addressesMax = 64;
const nobody = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * Asks name servers for names that strangers gave, without the hosts file and the search list, which know inner names,
 * and without the four threads that getaddrinfo would hold for as long as a stranger's name server stays silent. Names
 * that the operator allowed are looked up as the system does it.
 */
export function createResolve(servers: readonly string[] | undefined): Resolve {
  // A server that is silent is asked twice, so that one lost packet is not a failed call.
  const resolver = new DnsResolver({ timeout: 2_000, tries: 2 });
  if (servers !== undefined) resolver.setServers(servers.map(withBrackets));
  return async ({ host, allowed }) => {
    if (isIP(host) !== 0) return [host];
    const found = allowed
      ? (await lookup(host, { all: true, order: 'ipv4first' })).map(({ address }) => address)
      : await ask(resolver, host);
    if (found.length > addressesMax) throw failure('ETOOMANY', `more than ${addressesMax} addresses`);
    return found;
  };
}

async function ask(resolver: DnsResolver, host: string): Promise<readonly string[]> {
  const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  if (found.length > 0) return found;
  const errors = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as Error] : []));
  // "No such name" is the weaker word where one family got it and the other got no answer.
  throw errors.find((error) => !nobody.has(codeOf(error))) ?? errors[0] ?? failure('ENODATA', 'no addresses');
}

const codeOf = (error: Error): string => (error as NodeJS.ErrnoException).code ?? '';

const failure = (code: string, message: string): Error => Object.assign(new Error(message), { code });

const withBrackets = (server: string): string => (isIP(server) === 6 ? `[${server}]` : server);
