import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../servers.ts';
import { bring, workshop } from './languages.ts';

const version = '15.0.1';

/** A Python with the package `websockets`. @throws Missing where it cannot be had on this machine */
export function bringWebsockets(): string {
  const venv = join(workshop, `websockets-${version}`);
  const python = join(venv, 'bin/python');
  if (existsSync(join(venv, 'ready'))) return python;
  bring('no Python with venv', root, 'python3', '-m', 'venv', venv);
  bring('pip cannot install', root, python, '-m', 'pip', 'install', '-q', `websockets==${version}`);
  bring('cannot write', root, 'touch', join(venv, 'ready'));
  return python;
}

/** @throws Error with what the client said went wrong */
export function tryWebsockets(python: string, address: string, token: string): void {
  const program = join(import.meta.dirname, 'websockets_client.py');
  execFileSync(python, [program, `ws://${address}/ws`], {
    env: { ...process.env, PUSHFLEET_TOKEN: token },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 60_000,
  });
}
