import { accessSync, constants, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { lock } from '../local/lock.ts';
import { run } from './run.ts';

export interface FindOptions {
  /** The checkout; what is downloaded goes under its `.pushfleet`. */
  readonly root: string;
  /** Hears a line before every step that may take long. */
  readonly progress: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** Puts a program, under its name, into the empty folder `target`; answers with the reason where it cannot. */
export type Source = (target: string, progress: FindOptions['progress']) => Promise<string | undefined>;

/** A server program the fleet needs, and the ways to come by it. */
export interface ServerProgram {
  readonly name: string;
  readonly variable: string;
  /** Oldest version that serves, as numbers from the most significant. */
  readonly oldest: readonly [number, number];
  readonly sources: readonly Source[];
  /** What a person should install. */
  readonly advice: string;
}

/** The first `major.minor` in what a server answers to `--version`. */
export function parseVersion(text: string): [number, number] | undefined {
  const match = /v=?(\d+)\.(\d+)/.exec(text);
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

/** Why a program does not serve; undefined where it does. */
async function complaint(program: ServerProgram, path: string): Promise<string | undefined> {
  const ran = await run(path, ['--version']);
  if (ran.code !== 0) return `${path} does not run: ${ran.stderr.trim().split('\n').at(-1)}`;
  const version = parseVersion(ran.stdout);
  const [major, minor] = program.oldest;
  if (version === undefined) return `${path} does not tell its version: ${ran.stdout.trim()}`;
  const enough = version[0] > major || (version[0] === major && version[1] >= minor);
  return enough ? undefined : `${path} is ${version.join('.')}; ${major}.${minor} or newer is needed`;
}

/**
 * The path of a program that serves: the one the variable names, else one on the PATH, else one that was
 * brought under `.pushfleet` before, else one that is brought there now.
 */
export async function findServer(program: ServerProgram, o: FindOptions): Promise<string> {
  const env = o.env ?? process.env;
  const named = env[program.variable];
  if (named !== undefined && named !== '') {
    const reason = await complaint(program, named);
    if (reason === undefined) return named;
    throw new Error(`${program.variable} does not serve: ${reason}. Correct it, or unset it.`);
  }
  const reasons: string[] = [];
  for (const path of [...onPath(program.name, env), brought(program, o.root)].filter(isExecutable)) {
    const reason = await complaint(program, path);
    if (reason === undefined) return path;
    reasons.push(reason);
  }
  return bring(program, o, reasons);
}

async function bring(program: ServerProgram, o: FindOptions, reasons: string[]): Promise<string> {
  const home = join(o.root, '.pushfleet', program.name);
  const held = await lock(`${home}.lock`, ({ pid }) =>
    o.progress(`Waiting for process ${pid}, which is bringing ${program.name} …`),
  );
  try {
    const path = brought(program, o.root);
    // Somebody else may have brought it while this one waited.
    if (isExecutable(path) && (await complaint(program, path)) === undefined) return path;
    for (const source of program.sources) {
      const reason = await bringFrom(source, program, home, o.progress);
      if (reason === undefined) return path;
      reasons.push(reason);
    }
  } finally {
    held.release();
  }
  const why = reasons.map((reason) => `\n  - ${reason}`).join('');
  throw new Error(`No ${program.name} serves here. ${program.advice}${why && `\nWhat was tried:${why}`}`);
}

// The folder appears under its name only when the program inside has run once, so half a download is never used.
async function bringFrom(
  source: Source,
  program: ServerProgram,
  home: string,
  progress: FindOptions['progress'],
): Promise<string | undefined> {
  const partial = `${home}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  try {
    const refusal = await source(partial, progress);
    if (refusal !== undefined) return refusal;
    const reason = await complaint(program, join(partial, program.name));
    if (reason !== undefined) return reason;
    rmSync(home, { recursive: true, force: true });
    renameSync(partial, home);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

const brought = (program: ServerProgram, root: string): string =>
  join(root, '.pushfleet', program.name, program.name);

// Servers often live where only root's PATH reaches.
const onPath = (name: string, env: NodeJS.ProcessEnv): string[] =>
  [...(env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin']
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name));

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
