import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findMirror, findServer, unpackPackages } from '@pushfleet/cli/servers';
import { root } from './root.ts';

/**
 * The path of a Python that has Eclipse Paho's client: the distribution's own packages, unpacked under `.pushfleet`.
 *
 * @throws Error that says what to install where they cannot be had
 */
export function findPahoPython(): Promise<string> {
  return findServer(
    {
      name: 'paho-python',
      variable: 'PUSHFLEET_PAHO_PYTHON',
      oldest: [1, 6],
      sources: [fromDistribution],
      advice: 'Install Paho for Python (Debian: "apt install python3-paho-mqtt").',
    },
    { root, progress: console.log },
  );
}

async function fromDistribution(
  target: string,
  progress: (line: string) => void,
): Promise<string | undefined> {
  const mirror = findMirror();
  if (mirror === undefined) return "the machine's packages come neither from Debian nor from Ubuntu";
  const packages = ['python3-paho-mqtt'];
  await unpackPackages({ mirror, suite: mirror.codename, packages, target }, progress);
  // Where the machine has no Python, one came along with the package.
  const text = `#!/bin/sh
home=$(dirname "$(readlink -f "$0")")
export PYTHONPATH="$home/usr/lib/python3/dist-packages"
python=$(command -v python3) || python="$home/usr/bin/python3"
[ "$1" = --version ] && exec "$python" -c 'import paho.mqtt; print("v" + paho.mqtt.__version__)'
exec "$python" "$@"
`;
  writeFileSync(join(target, 'paho-python'), text, { mode: 0o755 });
  return undefined;
}
