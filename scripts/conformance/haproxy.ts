import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findMirror, findServer, unpackPackages } from '../../packages/cli/src/servers/mod.ts';
import { freePort, until } from '../../packages/contract/src/mod.ts';
import { root } from '../servers.ts';
import { Missing } from './languages.ts';

/** HAProxy, of the PATH or of the distribution's own package. @throws Missing where it cannot be had on this machine */
export async function bringHaproxy(): Promise<string> {
  const program = {
    name: 'haproxy',
    variable: 'PUSHFLEET_HAPROXY',
    oldest: [2, 0] as const,
    sources: [fromDistribution],
    advice: 'Install HAProxy (Debian: "apt install haproxy").',
  };
  return findServer(program, { root, progress: console.log }).catch((error: Error) => {
    throw new Missing(error.message);
  });
}

async function fromDistribution(
  target: string,
  progress: (line: string) => void,
): Promise<string | undefined> {
  const mirror = findMirror();
  if (mirror === undefined) return "the machine's packages come neither from Debian nor from Ubuntu";
  await unpackPackages({ mirror, suite: mirror.codename, packages: ['haproxy'], target }, progress);
  const text = `#!/bin/sh
home=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH=$(echo "$home"/usr/lib/*-linux-gnu* "$home"/lib/*-linux-gnu* | tr ' ' :)
[ "$1" = --version ] && { "$home/usr/sbin/haproxy" -v | sed -n 's/^HAProxy version /v/p'; exit 0; }
exec "$home/usr/sbin/haproxy" "$@"
`;
  writeFileSync(join(target, 'haproxy'), text, { mode: 0o755 });
  return undefined;
}

export interface Balancer {
  readonly port: number;
  stop(): Promise<void>;
}

/** Gives each connection to the next of the addresses. */
export async function balance(haproxy: string, addresses: readonly string[]): Promise<Balancer> {
  const folder = mkdtempSync(join(tmpdir(), 'pushfleet-haproxy-'));
  const port = await freePort();
  const file = join(folder, 'haproxy.cfg');
  const pods = addresses.map((address, i) => `  server pod${i} ${address}\n`).join('');
  writeFileSync(
    file,
    `defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend mqtt
  bind 127.0.0.1:${port}
  default_backend pods
backend pods
  balance roundrobin
${pods}`,
  );
  const child = spawn(haproxy, ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true });
  };
  try {
    await until(() => listens(child, port), 'HAProxy to listen');
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, stop };
}

function listens(child: ChildProcess, port: number): Promise<boolean> {
  if (child.exitCode !== null) throw new Error(`HAProxy ended with ${child.exitCode}`);
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
