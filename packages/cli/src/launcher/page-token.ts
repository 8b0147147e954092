import type { IncomingHttpHeaders } from 'node:http';
import { PushfleetError, quote } from '@pushfleet/core';
import { readConfig, tokenFields } from '@pushfleet/runtime';
import { mint } from '../mint.ts';
import { commandLine } from './command-line.ts';

/** What the page is told when it asks for a token. */
export interface PageToken {
  readonly token: string;
  /** Unix time in milliseconds. */
  readonly expires: number;
  /** Lines for a terminal of this machine. */
  readonly commands: { readonly token: string; readonly tail: string };
}

/** The one part of the topics that the page may use. */
const playground = ['playground/#'];
const lifetimeMs = 600_000;

/** Names of this machine that no DNS server answers for. */
const loopback = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?$/;
const forwarding = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'via'] as const;

/**
 * Lets only the front's own page pass, opened by a name of this machine. A page of another site cannot forge
 * Origin and Sec-Fetch-Site; one whose name was made to lead here (DNS rebinding) is of its own name's origin; and
 * a proxy that brings people from elsewhere says so.
 *
 * @throws PushfleetError `forbidden`
 */
export function refusePageToken(headers: IncomingHttpHeaders): void {
  const { host = '', origin } = headers;
  const site = headers['sec-fetch-site'];
  if (!loopback.test(host)) throw refused(`not for ${quote(host)}`);
  if (origin !== `http://${host}`) throw refused('not for other origins');
  if (site !== undefined && site !== 'same-origin') throw refused('not for other sites');
  if (forwarding.some((name) => headers[name] !== undefined)) throw refused('not through proxies');
}

const refused = (whom: string): PushfleetError =>
  new PushfleetError('forbidden', `Tokens are handed to the page of this front on this machine, ${whom}.`);

/**
 * Makes the page's tokens, with the secret that the launcher made; undefined where another secret was given, since
 * that one may count elsewhere.
 */
export function pageTokens(
  state: string,
  env: NodeJS.ProcessEnv = process.env,
): (() => Promise<PageToken>) | undefined {
  if (env.PUSHFLEET_TOKEN_SECRET || env.PUSHFLEET_TOKEN_SECRET_FILE) return undefined;
  const { tokenLifetimeMs } = readConfig({ tokenLifetimeMs: tokenFields.tokenLifetimeMs }, env);
  const seconds = Math.floor(Math.min(lifetimeMs, tokenLifetimeMs) / 1_000);
  const claims = { sub: 'playground', publish: playground, subscribe: playground, presence: playground };
  const commands = {
    token: commandLine(state, 'token', "--publish 'playground/#' --subscribe 'playground/#'"),
    tail: commandLine(state, 'tail', "'playground/#'"),
  };
  return async () => {
    const { token, expiresAt } = await mint(state, claims, seconds);
    return { token, expires: expiresAt * 1_000, commands };
  };
}
