import { readFileSync, type Stats, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { ConfigError } from './config.ts';

export interface WatchedFileOptions {
  readonly file: string;
  /** The variable that names it, for errors. */
  readonly env: string;
  /** Largest size, in bytes. */
  readonly bytes: number;
  /** Takes what stands in it now. @throws FileError where that is wrong: nothing has changed then */
  use(text: string): void;
  /** It has changed since the start, for better or worse. */
  onChanged(outcome: 'changed' | 'refused', problems: readonly string[]): void;
}

/** What is wrong with a file of an operator's: every problem is a sentence, without a secret. */
export class FileError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join(' '));
    this.problems = problems;
  }
}

const everyMs = 1_000;

/** A file of an operator's, read at the start and again whenever it has changed. */
export class WatchedFile {
  readonly #o: WatchedFileOptions;
  /** What was found last, and what was judged last: a text, or why there is none. */
  #found = '';
  #judged = '';
  #interval: NodeJS.Timeout | undefined;
  #reading = false;

  /** @throws ConfigError where it is wrong, naming every problem */
  constructor(options: WatchedFileOptions) {
    this.#o = options;
    const { file, env, bytes } = options;
    try {
      checkFile(statSync(file), bytes);
      this.#judged = textOf(readFileSync(file));
      options.use(this.#judged);
    } catch (error) {
      throw new ConfigError(problemsOf(error).map((problem) => `${env}=${JSON.stringify(file)}: ${problem}`));
    }
  }

  start(): void {
    this.#interval = setInterval(() => void this.#look(), everyMs).unref();
  }

  close(): void {
    clearInterval(this.#interval);
  }

  // The path is opened anew each time, so that a ConfigMap's exchanged symlinks are followed; the whole text is
  // compared, since neither times nor inodes tell every change.
  async #look(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    const found = await this.#read().catch((error: unknown) => problemsOf(error));
    this.#reading = false;
    const seen = String(found);
    // What is half written now is another text the next time.
    const settled = seen === this.#found;
    this.#found = seen;
    if (!settled || seen === this.#judged) return;
    this.#judged = seen;
    this.#judge(found);
  }

  #judge(found: string | readonly string[]): void {
    try {
      if (typeof found !== 'string') throw new FileError(found);
      this.#o.use(found);
    } catch (error) {
      this.#o.onChanged('refused', problemsOf(error));
      return;
    }
    this.#o.onChanged('changed', []);
  }

  async #read(): Promise<string> {
    const { file, bytes } = this.#o;
    const handle = await open(file);
    try {
      checkFile(await handle.stat(), bytes);
      return textOf(await handle.readFile());
    } finally {
      await handle.close();
    }
  }
}

/** @throws FileError */
function checkFile(stats: Stats, bytes: number): void {
  if (!stats.isFile()) throw new FileError(['It is not a file.']);
  if (stats.size <= bytes) return;
  throw new FileError([`The file has ${stats.size} bytes; at most ${bytes} are read.`]);
}

/** @throws FileError */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new FileError(['It is not UTF-8.']);
  }
}

function problemsOf(error: unknown): readonly string[] {
  if (error instanceof FileError) return error.problems;
  const { code, message } = error as NodeJS.ErrnoException;
  return [code === undefined ? message : `It cannot be read (${code}).`];
}
