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
  const sub = await findServer(
    {
      name: 'mosquitto_sub',
      variable: 'PUSHFLEET_MOSQUITTO_SUB',
      oldest: [2, 0],
      sources: [fromDistribution],
      advice: 'Install Mosquitto’s clients (Debian: "apt install mosquitto-clients").',
    },
    { root, progress: console.log },
  );
  return { sub, pub: join(dirname(sub), 'mosquitto_pub') };
}

async function fromDistribution(
  target: string,
  progress: (line: string) => void,
): Promise<string | undefined> {
  const mirror = findMirror();
  if (mirror === undefined) return "the machine's packages come neither from Debian nor from Ubuntu";
  const packages = ['mosquitto-clients'];
  await unpackPackages({ mirror, suite: mirror.codename, packages, target }, progress);
  for (const name of ['mosquitto_pub', 'mosquitto_sub']) {
    // They answer --version with a failure, and in words of their own.
    const text = `#!/bin/sh
home=$(dirname "$(readlink -f "$0")")
export LD_LIBRARY_PATH=$(echo "$home"/usr/lib/*-linux-gnu*)
[ "$1" = --version ] && { "$home/usr/bin/${name}" --version | sed 's/version /v/'; exit 0; }
exec "$home/usr/bin/${name}" "$@"
`;
    writeFileSync(join(target, name), text, { mode: 0o755 });
  }
  return undefined;
}
