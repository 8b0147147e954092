import { execFileSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync } from 'node:fs';
import { unpack, unpackedAt, updateList } from './debian.ts';

export interface Nchan {
  readonly nginx: string;
  readonly module: string;
  readonly version: string;
}

const packages = ['nginx', 'libnginx-mod-nchan'];
// Merely loaded, nchan makes nginx create its compiled-in folders, whatever the configuration says.
const compiledIn = '/var/lib/nginx';
const directory = unpackedAt('nchan');

/**
 * Debian's nginx and nchan: the installed ones, else the same packages unpacked under `.pushfleet/nchan`, so
 * that the system stays as it is and no service of it starts.
 *
 * @returns undefined, after saying why, where there is no way to them
 */
export function findNchan(say: (line: string) => void): Nchan | undefined {
  try {
    const found = at('') ?? at(directory) ?? bring(say);
    if (!existsSync(compiledIn)) mkdirSync(compiledIn);
    return found;
  } catch (error) {
    say(`nchan is left out: ${(error as Error).message.trim()}`);
    say('As root on Debian it is unpacked by itself; else install nginx-light and libnginx-mod-nchan');
    return undefined;
  }
}

function bring(say: (line: string) => void): Nchan {
  say(`nchan is not installed: unpacking Debian's ${packages.join(' and ')} under .pushfleet/nchan`);
  updateList();
  unpack(packages, directory);
  const found = at(directory);
  if (found === undefined) throw new Error(`Debian's packages hold no nginx or nchan under ${directory}`);
  return found;
}

function at(root: string): Nchan | undefined {
  const nginx = `${root}/usr/sbin/nginx`;
  const module = `${root}/usr/lib/nginx/modules/ngx_nchan_module.so`;
  if (!existsSync(nginx) || !existsSync(module)) return undefined;
  return { nginx, module, version: `${nginxVersion(nginx)}, nchan ${nchanVersion(root)}` };
}

function nginxVersion(nginx: string): string {
  const text = execFileSync('sh', ['-c', '"$1" -v 2>&1', 'sh', nginx], { encoding: 'utf8' });
  return text.trim().replace('nginx version: nginx/', 'nginx ');
}

function nchanVersion(root: string): string {
  if (root === '') {
    return execFileSync('dpkg-query', ['-W', '-f', '$' + '{Version}', 'libnginx-mod-nchan'], {
      encoding: 'utf8',
    });
  }
  const file = globSync('libnginx-mod-nchan_*.deb', { cwd: root })[0] ?? '';
  return decodeURIComponent(file.split('_')[1] ?? 'of unknown version');
}
