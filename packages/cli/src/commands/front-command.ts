import { type Command, InvalidArgumentError } from 'commander';
import { askFront, type Question } from '../front-api.ts';
import { frontUrl } from '../local-fleet.ts';
import { type Claims, mint } from '../mint.ts';
import { type CommonOptions, command, parseFront, parseSeconds } from './options.ts';

/** What every command takes that asks a fleet over HTTP. */
export interface FrontOptions extends CommonOptions {
  readonly ns?: string;
  readonly url?: string;
}

/** A command that asks a fleet over HTTP. */
export function frontCommand(name: string, description: string): Command {
  return command(name, description)
    .option('--ns <namespace>', 'the namespace of the token that is made (absent: default)')
    .option('--url <url>', 'the front of another fleet (absent: the local fleet)', parseFront);
}

/**
 * Asks the fleet with PUSHFLEET_TOKEN, or with a token made for these grants.
 *
 * @throws PushfleetError where the fleet refuses, or is out of reach
 */
export async function askAs(
  o: FrontOptions,
  grants: Pick<Claims, 'subscribe' | 'manage'>,
  question: Pick<Question, 'method' | 'path' | 'body' | 'parse'>,
): Promise<unknown> {
  const front = o.url ?? frontUrl(o.state);
  const claims = { sub: 'pushfleet-cli', ns: o.ns, ...grants };
  const token = process.env.PUSHFLEET_TOKEN || (await mint(o.state, claims, 60)).token;
  return askFront({ front, token, ...question });
}

/** Option parser: a time as RFC 3339 writes it, or how long ago: `90s`, `15m`, `1h`, `7d`. As RFC 3339 writes it. */
export function parseSince(text: string): string {
  if (/^\d{4}-\d\d-\d\dT/i.test(text)) return text;
  try {
    return new Date(Date.now() - parseSeconds(text) * 1_000).toISOString();
  } catch {
    throw new InvalidArgumentError('A time is 2026-01-31T12:00:00Z or how long ago: 90s, 15m, 1h, 7d.');
  }
}
