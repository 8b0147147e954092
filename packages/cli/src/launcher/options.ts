import { globSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { defaultState, root } from '../local/state.ts';

export interface LaunchOptions {
  readonly state: string;
  readonly port: number | undefined;
  /** Folders below `services/`. */
  readonly services: readonly string[];
  /** Whether the page at the front's `/` gets a token of its own. */
  readonly pageToken: boolean;
}

/** Reads the launcher's arguments; ends the process with a message where they are wrong. */
export function parseLaunchOptions(argv: readonly string[]): LaunchOptions {
  const known = globSync('services/*/src/main.ts', { cwd: root })
    .map((path) => basename(dirname(dirname(path))))
    .sort();
  const command = new Command('npm start --')
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .description('Starts NATS, Redis, every service and the front, and stops all of it on Ctrl-C.')
    .option('--port <port>', 'port of the front (default: 8000, or the next free one)', parsePort)
    .option('--only <services>', `start these alone, of: ${known.join(', ')}`, (text) =>
      parseOnly(text, known),
    )
    .option('--state <folder>', 'where secret, data and logs are kept', defaultState)
    .option('--no-page-token', "hand no token to the page at the front's /: its reader brings one")
    .addHelpText('after', help);
  const options = command
    .parse(argv, { from: 'user' })
    .opts<{ port?: number; only?: string[]; state: string; pageToken: boolean }>();
  const { port, only, pageToken } = options;
  return { state: resolve(options.state), port, services: only ?? known, pageToken };
}

const help = `
With PUSHFLEET_NATS_URL or PUSHFLEET_REDIS_URL set, that server is used and none is started in its place.
Every variable of docs/configuration.md is handed on to the services. MQTT is at 127.0.0.1:1883 where that is free, and with
a certificate at 127.0.0.1:8883; else "npx pushfleet status" says where.
Webhooks may end on this machine (127.0.0.0/8, ::1, localhost), in clear and without a handshake, unless
PUSHFLEET_OUTBOUND_ALLOW and PUSHFLEET_WEBHOOK_UNCONFIRMED say otherwise.
Exit codes: 0 stopped as asked, 1 a part failed, 2 wrong arguments.`;

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535)
    throw new InvalidArgumentError('A port is a number from 0 to 65535.');
  return port;
}

function parseOnly(text: string, known: readonly string[]): string[] {
  const names = text.split(',').filter((name) => name !== '');
  const unknown = names.filter((name) => !known.includes(name));
  if (names.length === 0 || unknown.length > 0) {
    throw new InvalidArgumentError(
      `There is no service ${unknown.join(', ')}. There are: ${known.join(', ')}.`,
    );
  }
  return names;
}
