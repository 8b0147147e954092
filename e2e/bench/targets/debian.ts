import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where a peer's packages are unpacked, so that the system stays as it is and no service of it starts. */
export const unpackedAt = (peer: string) =>
  fileURLToPath(new URL(`../../../.pushfleet/${peer}`, import.meta.url));

/** Brings the list of packages up to date where that is possible. */
export function updateList(): void {
  if (process.getuid?.() === 0) execFileSync('apt-get', ['-qq', 'update'], { stdio: 'pipe' });
}

/** These packages and what they need that is not installed. */
export function withMissing(packages: readonly string[]): string[] {
  const plan = execFileSync('apt-get', ['-s', 'install', '--no-install-recommends', ...packages], {
    encoding: 'utf8',
  });
  return Array.from(plan.matchAll(/^Inst (\S+)/gm), ([, name]) => name as string);
}

/** Downloads Debian packages into a folder and unpacks them there. */
export function unpack(packages: readonly string[], directory: string): void {
  mkdirSync(directory, { recursive: true });
  execFileSync('apt-get', ['-qq', 'download', ...packages], { cwd: directory, stdio: 'pipe' });
  for (const file of globSync('*.deb', { cwd: directory })) {
    execFileSync('dpkg', ['-x', file, directory], { cwd: directory });
  }
}
