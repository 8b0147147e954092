// What of package-lock.json runs in production: the packages that the services, the command and the libraries need,
// whatever else is installed for tests. Nothing but the lock file and the manifests is read.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Dependency {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression; undefined where the package does not say. */
  readonly licence: string | undefined;
  /** As npm writes it: `sha512-…`. */
  readonly integrity: string | undefined;
  /** Where it is installed, from the root on. */
  readonly path: string;
  /** What it needs by itself, as paths. */
  readonly needs: readonly string[];
}

interface Entry {
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly resolved?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

type Entries = Readonly<Record<string, Entry>>;

/** Where production begins: what is started, and what others install. */
const roots = ['services/*', 'packages/cli', 'packages/client', 'packages/publisher'];

/** In the order of their names, without the fleet's own packages. */
export function productionDependencies(root: string): readonly Dependency[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Entries;
  };
  const waiting = globSync(roots, { cwd: root }).filter((path) => packages[path] !== undefined);
  const found = new Map<string, readonly string[]>();
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (found.has(path)) continue;
    const needs = needsOf(packages, path);
    found.set(path, needs);
    waiting.push(...needs);
  }
  return [...found]
    .filter(([path]) => path.includes('node_modules/'))
    .map(([path, needs]) => dependencyOf(packages, path, needs))
    .sort((one, other) => compare(one.name, other.name) || compare(one.path, other.path));
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

function dependencyOf(packages: Entries, path: string, needs: readonly string[]): Dependency {
  const { version = '', license, integrity } = packages[path] as Entry;
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  return { name, version, licence: license, integrity, path, needs };
}

function needsOf(packages: Entries, path: string): readonly string[] {
  const { dependencies, optionalDependencies, peerDependencies } = packages[path] as Entry;
  const names = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
  // What is optional, for another system, or a peer that nobody brought, is not there.
  return names.flatMap((name) => resolve(packages, path, name) ?? []);
}

/** As Node.js looks for it: in the folder's own node_modules, then in those above. */
function resolve(packages: Entries, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    const path = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    const entry = packages[path];
    if (entry !== undefined) return entry.link === true ? entry.resolved : path;
    if (folder === '') return undefined;
  }
}
