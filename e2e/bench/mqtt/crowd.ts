import { type ChildProcess, fork } from 'node:child_process';
import type { Counted } from '../load/protocol.ts';
import type { RunningBroker } from './broker.ts';
import { connect, type Qos, subscribe, type Version } from './packets.ts';
import type { Command, Reply } from './protocol.ts';

const file = new URL('./clients.ts', import.meta.url);
const processes = 2;
const sources = ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5'];

export interface CrowdOptions {
  readonly version: Version;
  readonly qos: Qos;
  readonly clients: number;
  /** What client `client` subscribes to. */
  filterOf(client: number): string;
  readonly sampleEvery: number;
  /** Begins the names of the clients: sessions that last are found again by them. */
  readonly name?: string;
  /** How long sessions last (MQTT 5); absent: as long as their connections. */
  readonly lifeSeconds?: number | undefined;
}

const idOf = ({ name = 'client' }: Pick<CrowdOptions, 'name'>, client: number): string => `${name}-${client}`;

/** MQTT clients in child processes, all connected to one broker, counted as one. */
export class Crowd {
  readonly #children: ChildProcess[] = [];
  readonly #progress: number[] = [];
  #failure: Error | undefined;
  #wake: () => void = () => {};

  constructor() {
    for (let index = 0; index < processes; index++) this.#start(index);
  }

  /** Connects and subscribes all clients; resolves once every one was acknowledged. */
  async open({ host, port, password }: RunningBroker, o: CrowdOptions): Promise<void> {
    const entrances = Array.from({ length: o.clients }, (_, i) => ({
      connect: connect(o.version, idOf(o, i), password(idOf(o, i)), o.lifeSeconds).toString('base64'),
      subscribe: subscribe(o.version, [o.filterOf(i)], o.qos).toString('base64'),
    }));
    const { version, qos, sampleEvery } = o;
    await this.#askAll(
      (index) => ({
        ...{ kind: 'open', host, port, version, qos, sampleEvery, sources },
        entrances: partOf(entrances, index),
      }),
      'opened',
    );
  }

  /** So many clients connect, `atOnce` at a time, and leave as soon as they were accepted. */
  async visit({ host, port, password }: RunningBroker, o: Visits): Promise<void> {
    const connects = Array.from({ length: o.visits }, (_, i) =>
      connect(o.version, `client-${i}`, password(`client-${i}`)).toString('base64'),
    );
    const atOnce = o.atOnce / processes;
    await this.#askAll(
      (index) => ({ kind: 'visit', host, port, sources, atOnce, connects: partOf(connects, index) }),
      'visited',
    );
  }

  get pids(): readonly number[] {
    return this.#children.map((child) => child.pid as number);
  }

  get slowest(): number {
    return Math.min(...this.#progress);
  }

  /** Waits until the slowest client has counted `messages` since the mark. */
  async reached(messages: number, ms: number): Promise<void> {
    const end = Date.now() + ms;
    while (this.slowest < messages) {
      if (this.#failure !== undefined) throw this.#failure;
      if (Date.now() > end) {
        throw new Error(`after ${ms} ms the slowest client has ${this.slowest} of ${messages} messages`);
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
    await this.#askAll(() => ({ kind: 'mark' }), 'marked');
    this.#progress.fill(0);
  }

  async count(): Promise<Counted> {
    const parts = await this.#askAll(() => ({ kind: 'count' }), 'counted');
    if (this.#failure !== undefined) throw this.#failure;
    return {
      min: Math.min(...parts.map((part) => part.min)),
      max: Math.max(...parts.map((part) => part.max)),
      total: parts.reduce((sum, part) => sum + part.total, 0),
      latencies: parts.flatMap((part) => part.latencies),
      reads: parts.reduce((sum, part) => sum + part.reads, 0),
    };
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

  #start(index: number): void {
    const child = fork(file, { execArgv: [] });
    this.#children.push(child);
    this.#progress[index] = 0;
    child.on('message', (reply: Reply) => {
      if (reply.kind === 'progress') this.#progress[index] = reply.min;
      if (reply.kind === 'failed') this.#failure ??= new Error(reply.reason);
      this.#wake();
    });
  }

  #askAll<K extends Reply['kind']>(
    command: (index: number) => Command,
    kind: K,
  ): Promise<Extract<Reply, { kind: K }>[]> {
    return Promise.all(this.#children.map((child, index) => ask(child, command(index), kind)));
  }
}

interface Visits {
  readonly version: Version;
  readonly visits: number;
  readonly atOnce: number;
}

/** What of a list with an entry for each client concerns one process. */
const partOf = <T>(all: readonly T[], index: number): T[] => all.filter((_, i) => i % processes === index);

function ask<K extends Reply['kind']>(
  child: ChildProcess,
  command: Command,
  kind: K,
): Promise<Extract<Reply, { kind: K }>> {
  const { promise, resolve, reject } = Promise.withResolvers<Extract<Reply, { kind: K }>>();
  const on = (reply: Reply) => {
    if (reply.kind !== kind && reply.kind !== 'failed') return;
    child.off('message', on);
    if (reply.kind === 'failed') reject(new Error(reply.reason));
    else resolve(reply as Extract<Reply, { kind: K }>);
  };
  child.on('message', on);
  child.send(command);
  return promise;
}
