import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../servers.ts';
import { bring, workshop } from './languages.ts';

/** Bounds of the registry that thousands of requests would run into. */
export const apiEnv = {
  PUSHFLEET_WEBHOOK_UNCONFIRMED: 'true',
  PUSHFLEET_SUBSCRIPTION_RATE: '10000',
  PUSHFLEET_SUBSCRIPTION_BURST: '10000',
  PUSHFLEET_TICKET_RATE: '10000',
  PUSHFLEET_TICKET_BURST: '10000',
  PUSHFLEET_TICKETS_OUTSTANDING: '10000',
  // Names that nobody has are asked of nobody.
  PUSHFLEET_OUTBOUND_RESOLVERS: '127.0.0.1:9',
};

const version = '4.32.5';
/** Requests that are made of one operation's schema at random; those at its borders are more, and follow from it. */
const examples = '40';
const seconds = '120';

/** @throws Missing where it cannot be had on this machine */
export function bringSchemathesis(): string {
  const venv = join(workshop, `schemathesis-${version}`);
  const command = join(venv, 'bin/schemathesis');
  if (existsSync(command)) return command;
  bring('no Python with venv', root, 'python3', '-m', 'venv', venv);
  bring('pip cannot install', root, join(venv, 'bin/pip'), 'install', '-q', `schemathesis==${version}`);
  return command;
}

/**
 * Has requests made of the OpenAPI document that a registry serves, good ones, bad ones and sequences of them, and
 * the answers held against it.
 *
 * @throws Error with what was found
 */
export function tryApi(command: string, registry: string, token: string): void {
  const { status, stdout, stderr } = spawnSync(
    command,
    [
      ...['--config-file', join(root, 'scripts/conformance/schemathesis.toml')],
      ...['run', `${registry}/v1/openapi.json`, '--header', `Authorization: Bearer ${token}`],
      ...['--max-examples', examples, '--max-time', seconds, '--no-color', '--generation-database', 'none'],
    ],
    { cwd: workshop, encoding: 'utf8', maxBuffer: 64 * 1_048_576 },
  );
  if (status !== 0) throw new Error(`${stdout}\n${stderr}`.trim());
}
