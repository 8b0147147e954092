import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Running } from '../targets/target.ts';
import type { Command, Counted, Reply } from './protocol.ts';

const sinkFile = new URL('./sink.ts', import.meta.url);
const sinks = 2;
const sources = ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5'];

export interface SwarmOptions {
  /** Keep every byte for `transcripts`. */
  readonly keep?: boolean;
  /** Let the clients come again. */
  readonly resume?: boolean;
  /** Every how many clients one has its latencies taken. */
  readonly sampleEvery?: number;
}

/** Clients in child processes, all connected to one target, counted as one. */
export class Swarm {
  readonly #children: ChildProcess[] = [];
  readonly #progress: number[] = [];
  #share = 0;
  #failure: Error | undefined;
  #wake: () => void = () => {};

  /** Connects client `i` to topic `topicOf(i)`; resolves once every one was answered. */
  async open(
    target: Running,
    clients: number,
    topicOf: (client: number) => number,
    { keep = false, resume = false, sampleEvery = 50 }: SwarmOptions = {},
  ): Promise<void> {
    const entrances = Array.from({ length: clients }, (_, i) => ({
      request: target.request(i, topicOf(i)),
      turns: target.turns?.(topicOf(i)) ?? [],
    }));
    this.#share = Math.ceil(clients / sinks);
    const { host, port } = target;
    await Promise.all(
      Array.from({ length: sinks }, (_, index) => {
        const child = this.#start(index);
        const order = { host, port, entrances: this.#part(index, entrances), sources };
        return this.#ask(child, { kind: 'open', ...order, keep, resume, sampleEvery }, 'opened');
      }),
    );
  }

  /** What of a list with an entry for each client concerns one sink. */
  #part<T>(sink: number, all: readonly T[]): T[] {
    return all.slice(sink * this.#share, (sink + 1) * this.#share);
  }

  /** Clients of which `which` is true go away. */
  async cut(clients: number, which: (client: number) => boolean): Promise<void> {
    await Promise.all(
      this.#chosen(clients, which).map(([child, chosen]) =>
        this.#ask(child, { kind: 'cut', clients: chosen }, 'cut'),
      ),
    );
  }

  /** Clients of which `which` is true stop reading; from now on only the others are counted and waited for. */
  async stall(clients: number, which: (client: number) => boolean): Promise<void> {
    await Promise.all(
      this.#chosen(clients, which).map(([child, chosen]) =>
        this.#ask(child, { kind: 'stall', clients: chosen }, 'stalled'),
      ),
    );
  }

  #chosen(
    clients: number,
    which: (client: number) => boolean,
  ): (readonly [ChildProcess, readonly number[]])[] {
    const all = Array.from({ length: clients }, (_, client) => which(client));
    return this.#children.map((child, index) => [
      child,
      this.#part(index, all).flatMap((chosen, client) => (chosen ? [client] : [])),
    ]);
  }

  /**
   * All clients come again and resume; returns when the last one had what it missed, in the clock's microseconds.
   *
   * @throws Error where that takes more than a minute
   */
  async comeAgain(port: number, missed: readonly number[]): Promise<number> {
    const late = new AbortController();
    const parts = Promise.all(
      this.#children.map((child, index) =>
        this.#ask(child, { kind: 'return', port, missed: this.#part(index, missed) }, 'caughtUp'),
      ),
    );
    const limit = sleep(60_000, undefined, { ref: false, signal: late.signal }).then(async () => {
      const { total, min, max } = await this.count();
      throw new Error(`after a minute the clients have ${total} events, each between ${min} and ${max}`);
    });
    try {
      return Math.max(...(await Promise.race([parts, limit])).map(({ at }) => at));
    } finally {
      limit.catch(() => {});
      late.abort();
    }
  }

  /** The processes of the clients. */
  get pids(): readonly number[] {
    return this.#children.map((child) => child.pid as number);
  }

  #start(index: number): ChildProcess {
    const child = fork(sinkFile, { execArgv: [] });
    this.#children.push(child);
    this.#progress[index] = 0;
    child.on('message', (reply: Reply) => {
      if (reply.kind === 'progress') this.#progress[index] = reply.min;
      if (reply.kind === 'failed') this.#failure ??= new Error(reply.reason);
      this.#wake();
    });
    return child;
  }

  #ask<K extends Reply['kind']>(
    child: ChildProcess,
    command: Command,
    kind: K,
  ): Promise<Extract<Reply, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const on = (reply: Reply) => {
        if (reply.kind !== kind && reply.kind !== 'failed') return;
        child.off('message', on);
        if (reply.kind === 'failed') reject(new Error(reply.reason));
        else resolve(reply as Extract<Reply, { kind: K }>);
      };
      child.on('message', on);
      child.send(command);
    });
  }

  #askAll<K extends Reply['kind']>(command: Command, kind: K): Promise<Extract<Reply, { kind: K }>[]> {
    return Promise.all(this.#children.map((child) => this.#ask(child, command, kind)));
  }

  /** Events that the slowest client has counted since the mark, as last heard. */
  get slowest(): number {
    return Math.min(...this.#progress);
  }

  /** Waits until the slowest client has counted `events` since the mark. */
  async reached(events: number, ms: number): Promise<void> {
    const end = Date.now() + ms;
    while (this.slowest < events) {
      if (this.#failure !== undefined) throw this.#failure;
      if (Date.now() > end) {
        throw new Error(`after ${ms} ms the slowest client has ${this.slowest} of ${events} events`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Every client counts from 0 again. */
  async mark(): Promise<void> {
    await this.#askAll({ kind: 'mark' }, 'marked');
    this.#progress.fill(0);
  }

  async count(): Promise<Counted> {
    const parts = await this.#askAll({ kind: 'count' }, 'counted');
    return {
      min: Math.min(...parts.map((part) => part.min)),
      max: Math.max(...parts.map((part) => part.max)),
      total: parts.reduce((sum, part) => sum + part.total, 0),
      latencies: parts.flatMap((part) => part.latencies),
      reads: parts.reduce((sum, part) => sum + part.reads, 0),
    };
  }

  /** The data of every event each client got, in the order of the clients; needs `keep`. */
  async transcripts(): Promise<(readonly string[])[]> {
    const parts = await this.#askAll({ kind: 'transcripts' }, 'transcripts');
    return parts.flatMap((part) => part.payloads);
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#children.splice(0).map(async (child) => {
        const gone = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await gone;
      }),
    );
  }
}
