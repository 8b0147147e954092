import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findMirror, findServer, unpackPackages } from '@pushfleet/cli/servers';
import { root } from './root.ts';

/** Paths of Prometheus and of the tool that checks its rules. */
export interface Prometheus {
  readonly prometheus: string;
  readonly promtool: string;
}

/**
 * Prometheus and promtool, of the PATH or of the distribution's own package, unpacked under `.pushfleet`.
 *
 * @throws Error that says what to install where they cannot be had
 */
export async function findPrometheus(progress: (line: string) => void): Promise<Prometheus> {
  const prometheus = await findServer(
    {
      name: 'prometheus',
      variable: 'PUSHFLEET_PROMETHEUS',
      oldest: [2, 42],
      sources: [fromDistribution],
      advice: 'Install Prometheus with promtool beside it (Debian: "apt install prometheus").',
    },
    { root, progress },
  );
  return { prometheus, promtool: join(dirname(prometheus), 'promtool') };
}

async function fromDistribution(
  target: string,
  progress: (line: string) => void,
): Promise<string | undefined> {
  const mirror = findMirror();
  if (mirror === undefined) return "the machine's packages come neither from Debian nor from Ubuntu";
  await unpackPackages({ mirror, suite: mirror.codename, packages: ['prometheus'], target }, progress);
  for (const name of ['prometheus', 'promtool']) {
    // `--version` says "version 2.42"; the finder reads versions that begin with a v.
    const text = `#!/bin/sh
home=$(dirname "$(readlink -f "$0")")
[ "$1" = --version ] && { "$home/usr/bin/${name}" --version 2>&1 | sed -n '1s/.*version \\([0-9]\\)/v\\1/p'; exit 0; }
exec "$home/usr/bin/${name}" "$@"
`;
    writeFileSync(join(target, name), text, { mode: 0o755 });
  }
  return undefined;
}
