import { type ChildProcess, fork } from 'node:child_process';
import type { Command, Counted, Reply } from './protocol.ts';

const receiverFile = new URL('./receiver.ts', import.meta.url);

/** Endpoints in a process of their own. */
export class Receivers {
  readonly #child: ChildProcess;
  #port = 0;
  #total = 0;
  #failure: Error | undefined;
  #wake: () => void = () => {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (reply: Reply) => {
      if (reply.kind === 'progress') this.#total = reply.total;
      this.#wake();
    });
    child.once('exit', (code) => {
      this.#failure = new Error(`the receivers' process ended with code ${code}`);
      this.#wake();
    });
  }

  static async open(): Promise<Receivers> {
    const receivers = new Receivers(fork(receiverFile, { execArgv: [] }));
    receivers.#port = (await receivers.#ask({ kind: 'open' }, 'opened')).port;
    return receivers;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Each endpoint has an address of its own, as hosts of different owners have. */
  url(endpoint: number): string {
    return `http://127.0.${1 + Math.floor(endpoint / 250)}.${1 + (endpoint % 250)}:${this.#port}/${endpoint}`;
  }

  /** Waits until so many requests came since the last mark. @throws Error after `ms` milliseconds */
  async reached(requests: number, ms: number): Promise<void> {
    const end = Date.now() + ms;
    while (this.#total < requests) {
      if (this.#failure !== undefined) throw this.#failure;
      if (Date.now() > end)
        throw new Error(`after ${ms / 1000} s ${this.#total} of ${requests} requests came`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async hang(endpoints: readonly number[]): Promise<void> {
    await this.#ask({ kind: 'hang', endpoints }, 'hung');
  }

  async mark(): Promise<void> {
    await this.#ask({ kind: 'mark' }, 'marked');
    this.#total = 0;
  }

  /** What came since the last mark, the latencies sorted. */
  async count(): Promise<Counted> {
    const { counts, latencies } = await this.#ask({ kind: 'count' }, 'counted');
    return { counts, latencies: latencies.toSorted((a, b) => a - b) };
  }

  close(): void {
    this.#child.removeAllListeners('exit');
    if (this.#child.connected) this.#child.disconnect();
  }

  #ask<K extends Reply['kind']>(command: Command, kind: K): Promise<Extract<Reply, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const settle = () => this.#child.off('message', hear).off('exit', gone);
      const hear = (reply: Reply) => {
        if (reply.kind !== kind) return;
        settle();
        resolve(reply as Extract<Reply, { kind: K }>);
      };
      const gone = () => {
        settle();
        reject(new Error("the receivers' process ended"));
      };
      this.#child.on('message', hear).once('exit', gone);
      this.#child.send(command);
    });
  }
}
