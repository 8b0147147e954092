import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findMirror, findServer, unpackPackages } from '@pushfleet/cli/servers';
import { root } from './root.ts';

/** Paths of Mosquitto's clients. */
export interface MosquittoClients {
  readonly pub: string;
  readonly sub: string;
}

/**
 * Mosquitto's clients, of the PATH or of the distribution's own package, unpacked under `.pushfleet`.
 *
 * @throws Error that says what to install where they cannot be had
 */
export async function findMosquittoClients(): Promise<MosquittoClients> {
  const names = ['mosquitto_pub', 'mosquitto_sub'];
  const sub = await findServer(
    {
      name: 'mosquitto_sub',
      variable: 'PUSHFLEET_MOSQUITTO_SUB',
      oldest: [2, 0],
      sources: [(target, say) => fromDistribution('mosquitto-clients', names, target, say)],
      advice: 'Install Mosquitto’s clients (Debian: "apt install mosquitto-clients").',
    },
    { root, progress: console.log },
  );
  return { sub, pub: join(dirname(sub), 'mosquitto_pub') };
}

/**
 * Mosquitto itself, of the PATH or of the distribution's own package, unpacked under `.pushfleet`.
 *
 * @throws Error that says what to install where it cannot be had
 */
export function findMosquitto(progress: (line: string) => void): Promise<string> {
  return findServer(
    {
      name: 'mosquitto',
      variable: 'PUSHFLEET_MOSQUITTO',
      oldest: [2, 0],
      sources: [(target, say) => fromDistribution('mosquitto', ['mosquitto'], target, say)],
      advice: 'Install Mosquitto (Debian: "apt install mosquitto").',
    },
    { root, progress },
  );
}

async function fromDistribution(
  debian: string,
  programs: readonly string[],
  target: string,
  progress: (line: string) => void,
): Promise<string | undefined> {
  const mirror = findMirror();
  if (mirror === undefined) return "the machine's packages come neither from Debian nor from Ubuntu";
  await unpackPackages({ mirror, suite: mirror.codename, packages: [debian], target }, progress);
  for (const name of programs) {
    // The clients answer --version with a failure, and the broker knows no such word; its help has it.
    const text = `#!/bin/sh
home=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH=$(echo "$home"/usr/lib/*-linux-gnu* "$home"/lib/*-linux-gnu* | tr ' ' :)
program=$(echo "$home"/usr/*bin/${name})
[ "$1" = --version ] && { { "$program" --version; "$program" -h; } 2>&1 | sed -n 's/.*version \\([0-9]\\)/v\\1/p' | head -1; exit 0; }
exec "$program" "$@"
`;
    writeFileSync(join(target, name), text, { mode: 0o755 });
  }
  return undefined;
}
