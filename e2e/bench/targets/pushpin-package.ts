import { execFileSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { unpack, unpackedAt, updateList, withMissing } from './debian.ts';

export interface Pushpin {
  readonly bin: string;
  /** Where Debian keeps pushpin's internal.conf and templates. */
  readonly libdir: string;
  /** What its programs need in their environment to find each other and their libraries. */
  readonly env: Readonly<Record<string, string>>;
  readonly version: string;
}

const directory = unpackedAt('pushpin');

/**
 * Debian's pushpin: the installed one, else the same packages unpacked under `.pushfleet/pushpin`.
 *
 * @returns undefined, after saying why, where there is no way to them
 */
export function findPushpin(say: (line: string) => void): Pushpin | undefined {
  try {
    return at('') ?? at(directory) ?? bring(say);
  } catch (error) {
    say(`pushpin is left out: ${(error as Error).message.trim()}`);
    say('As root on Debian it is unpacked by itself; else install pushpin');
    return undefined;
  }
}

function bring(say: (line: string) => void): Pushpin {
  say("pushpin is not installed: unpacking Debian's pushpin under .pushfleet/pushpin");
  updateList();
  unpack(withMissing(['pushpin']), directory);
  const found = at(directory);
  if (found === undefined) throw new Error(`Debian's packages hold no pushpin under ${directory}`);
  return found;
}

function at(root: string): Pushpin | undefined {
  const bin = `${root}/usr/bin/pushpin`;
  if (!existsSync(bin)) return undefined;
  const env = {
    PATH: `${root}/usr/bin:${process.env.PATH}`,
    ...(root === '' ? {} : { LD_LIBRARY_PATH: libraries(root) }),
  };
  const version = execFileSync(bin, ['--version'], { encoding: 'utf8', env: { ...process.env, ...env } });
  return { bin, libdir: `${root}/usr/lib/pushpin`, env, version: version.trim() };
}

const libraries = (root: string) => globSync(`${root}/usr/lib/*-linux-gnu`).join(':');
