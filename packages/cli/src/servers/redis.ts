import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findMirror, unpackPackages } from './debian.ts';
import { unpackImage } from './docker.ts';
import { type FindOptions, findServer, type Source } from './find.ts';

/**
 * The path of a redis-server: PUSHFLEET_REDIS_SERVER, the PATH, the distribution's own packages unpacked under
 * `.pushfleet/redis-server`, or Docker's image there.
 *
 * @throws Error that says what to install where none can be had
 */
export function findRedisServer(o: FindOptions): Promise<string> {
  const program = {
    name: 'redis-server',
    variable: 'PUSHFLEET_REDIS_SERVER',
    oldest: [6, 2] as const,
    sources: [fromDistribution, fromImage],
    advice:
      'Install Redis 6.2 or newer (Debian: "apt install redis-server", macOS: "brew install redis") and put redis-server on the PATH, or set PUSHFLEET_REDIS_SERVER to its path.',
  };
  return findServer(program, o);
}

const fromDistribution: Source = async (target, progress) => {
  const mirror = findMirror();
  if (mirror === undefined) return "the machine's packages come neither from Debian nor from Ubuntu";
  const packages = ['redis-server', 'redis-tools'];
  await unpackPackages({ mirror, suite: mirror.codename, packages, target }, progress);
  const start = 'LD_LIBRARY_PATH=$(echo "$home"/usr/lib/*-linux-gnu*) exec "$home/usr/bin/redis-server" "$@"';
  writeScript(target, start);
  return undefined;
};

// The image has a C library of its own, which only its own loader may load.
const fromImage: Source = async (target, progress) => {
  const refusal = await unpackImage('redis:7', target, progress);
  const start = `root="$home/root"
program=$(PATH="$root/usr/local/bin:$root/usr/bin"; command -v redis-server)
exec "$root"/usr/lib/*/ld-linux-*.so.* --library-path "$(echo "$root"/usr/lib/*-linux-gnu*)" "$program" "$@"`;
  if (refusal === undefined) writeScript(target, start);
  return refusal;
};

function writeScript(target: string, start: string): void {
  const text = `#!/bin/sh\nhome=$(dirname "$(readlink -f "$0")")\n${start}\n`;
  writeFileSync(join(target, 'redis-server'), text, { mode: 0o755 });
}
