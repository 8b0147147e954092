import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findMosquitto } from '@pushfleet/contract';
import { startChild, stopChild } from '../targets/child.ts';
import { answering, freePort } from '../targets/ports.ts';
import type { Broker, RunningBroker } from './broker.ts';

const host = '127.0.0.1';

// Everything else is Mosquitto's default: nothing is written to disk, and Nagle's algorithm is on.
const configuration = (port: number) => `listener ${port} ${host}
allow_anonymous true
max_inflight_messages 256
connection_messages false
log_type error
`;

/** Mosquitto, as Debian has it. */
export async function mosquitto(say: (line: string) => void): Promise<Broker> {
  const program = await findMosquitto(say);
  const version = execFileSync(program, ['--version'], { encoding: 'utf8' }).trim();
  return {
    name: 'mosquitto',
    versions: [4, 5],
    about: () =>
      `${version}; \`allow_anonymous true\`, \`max_inflight_messages 256\`, no log of connections, else its defaults (no persistence)`,
    start: () => start(program),
  };
}

async function start(program: string): Promise<RunningBroker> {
  const folder = mkdtempSync(join(tmpdir(), 'mosquitto-'));
  const port = await freePort(host);
  const file = join(folder, 'mosquitto.conf');
  writeFileSync(file, configuration(port));
  const child = startChild(program, ['-c', file], { stdio: ['ignore', 'inherit', 'inherit'] });
  const stop = async () => {
    await stopChild(child);
    rmSync(folder, { recursive: true, force: true });
  };
  await answering('mosquitto', host, port);
  return { host, port, password: () => undefined, pids: { front: [child.pid as number], behind: [] }, stop };
}
