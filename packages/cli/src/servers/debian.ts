import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must, run } from './run.ts';

/** Where the machine takes Debian's packages from. */
export interface Mirror {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly signedBy: string | undefined;
}

/** Every source of binary packages in a sources.list(5) file, in either of its two formats. */
export function parseSources(text: string): Mirror[] {
  return /^\s*Types:/m.test(text) ? parseDeb822(text) : text.split('\n').flatMap(parseLine);
}

function parseDeb822(text: string): Mirror[] {
  return text.split(/\n\s*\n/).flatMap((paragraph) => {
    const lines = paragraph.split('\n').filter((line) => !line.startsWith('#'));
    const field = (name: string): string[] => {
      const line = lines.find((candidate) => candidate.toLowerCase().startsWith(`${name}:`));
      return (
        line
          ?.slice(name.length + 1)
          .trim()
          .split(/\s+/) ?? []
      );
    };
    if (!field('types').includes('deb') || field('enabled')[0] === 'no') return [];
    // A key may stand in the file itself over several lines; only a path can be handed on.
    const signedBy = field('signed-by').find((value) => value.startsWith('/'));
    const shared = { suites: field('suites'), components: field('components'), signedBy };
    return field('uris').map((uri) => ({ uri, ...shared }));
  });
}

function parseLine(line: string): Mirror[] {
  const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
  if (match === null) return [];
  const [, options = '', uri = '', suite = '', components = ''] = match;
  const signedBy = /signed-by=(\/[^\s,]+)/.exec(options)?.[1];
  return [{ uri, suites: [suite], components: components.trim().split(/\s+/), signedBy }];
}

function readSources(): Mirror[] {
  const folder = '/etc/apt/sources.list.d';
  const names = existsSync(folder)
    ? readdirSync(folder).filter((name) => /\.(list|sources)$/.test(name))
    : [];
  return ['/etc/apt/sources.list', ...names.map((name) => join(folder, name))]
    .filter((path) => existsSync(path))
    .flatMap((path) => parseSources(readFileSync(path, 'utf8')));
}

/** The machine's own mirror of its distribution; undefined where packages do not come from Debian or Ubuntu. */
export function findMirror(): (Mirror & { readonly id: string; readonly codename: string }) | undefined {
  if (!existsSync('/etc/os-release') || !existsSync('/usr/bin/apt-get')) return undefined;
  const release = readFileSync('/etc/os-release', 'utf8');
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}="?([^"\\n]+)`, 'm').exec(release)?.[1];
  const [id, codename] = [field('ID'), field('VERSION_CODENAME')];
  if (id === undefined || codename === undefined) return undefined;
  const mirror = readSources().find((source) => source.suites.includes(codename));
  return mirror && { ...mirror, id, codename };
}

/**
 * Downloads packages with whatever the machine lacks for them and unpacks all of it into `target`. Lists,
 * cache and configuration of apt are private to the call: nothing of the system changes, and no root is needed.
 */
export async function unpackPackages(
  o: {
    readonly mirror: Mirror;
    readonly suite: string;
    readonly packages: readonly string[];
    readonly target: string;
  },
  progress: (line: string) => void,
): Promise<void> {
  const folder = `${o.target}.apt`;
  rmSync(folder, { recursive: true, force: true });
  try {
    const env = { ...process.env, APT_CONFIG: await configure(folder, o.mirror, o.suite) };
    progress(`Reading the package list of ${o.suite} from ${o.mirror.uri} …`);
    await must('apt-get', ['update', '-q'], env);
    progress(`Downloading ${o.packages.join(', ')} …`);
    await must(
      'apt-get',
      ['install', '-q', '-y', '--download-only', '--no-install-recommends', ...o.packages],
      env,
    );
    const archives = join(folder, 'cache/archives');
    for (const name of readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
      await must('dpkg-deb', ['-x', join(archives, name), o.target]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function configure(folder: string, mirror: Mirror, suite: string): Promise<string> {
  for (const part of ['etc/apt.conf.d', 'etc/preferences.d', 'lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(folder, part), { recursive: true });
  }
  const signedBy = mirror.signedBy === undefined ? '' : `[signed-by=${mirror.signedBy}] `;
  const sources = join(folder, 'etc/sources.list');
  writeFileSync(sources, `deb ${signedBy}${mirror.uri} ${suite} ${mirror.components.join(' ')}\n`);
  // The machine's proxies, certificates and passwords stay in force; its hooks and sources do not.
  const dump = await run('apt-config', ['dump']);
  const kept = dump.stdout
    .split('\n')
    .filter(
      (line) => line.startsWith('Acquire::') && !/^Acquire::(IndexTargets|Check-Valid-Until)\b/.test(line),
    );
  const settings = {
    'Dir::Etc': join(folder, 'etc'),
    'Dir::Etc::sourcelist': sources,
    'Dir::Etc::sourceparts': '-',
    'Dir::Etc::netrc': '/etc/apt/auth.conf',
    'Dir::Etc::netrcparts': '/etc/apt/auth.conf.d',
    'Dir::Etc::trustedparts': '/etc/apt/trusted.gpg.d',
    'Dir::State::lists': join(folder, 'lists'),
    'Dir::Cache': join(folder, 'cache'),
    // A mirror may lag behind the date its list promises; the signature is still checked.
    'Acquire::Check-Valid-Until': 'false',
    'Acquire::Languages': 'none',
    // Without a system to change there is nothing to lock, and the folder need not be open to another user.
    'Debug::NoLocking': 'true',
    'APT::Sandbox::User': 'root',
  };
  const own = Object.entries(settings).map(([name, value]) => `${name} "${value}";`);
  const path = join(folder, 'apt.conf');
  writeFileSync(path, [...kept, ...own, ''].join('\n'));
  return path;
}
