import { type ChildProcess, spawn } from 'node:child_process';

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly folder: string;
}

/** A program under way, and what it printed. */
export class Running {
  readonly lines: string[] = [];
  /** The exit code once it ended. */
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  #rest = '';
  #errors = '';

  constructor({ command, args, folder }: Program, more: readonly string[], env: NodeJS.ProcessEnv) {
    this.#child = spawn(command, [...args, ...more], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4_000);
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#errors += error.message;
        resolve(null);
      });
      this.#child.once('close', resolve);
    });
  }

  /** What it said went wrong. */
  get errors(): string {
    return this.#errors.trim();
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    this.lines.push(...lines);
  }
}
