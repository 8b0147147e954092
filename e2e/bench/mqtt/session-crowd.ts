import { type ChildProcess, fork } from 'node:child_process';
import type { RunningBroker } from './broker.ts';
import { connect, subscribe } from './packets.ts';
import type { SessionCommand, SessionReply } from './session-protocol.ts';

const file = new URL('./session-clients.ts', import.meta.url);
const processes = 2;
const sources = ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5'];

export interface SessionCrowdOptions {
  /** Sets its clients apart from those of another run. */
  readonly name: string;
  readonly clients: number;
  /** What client `client` subscribes to. */
  filtersOf(client: number): readonly string[];
}

/** MQTT 5 clients with sessions of an hour, in child processes, counted as one. */
export class SessionCrowd {
  readonly #o: SessionCrowdOptions;
  readonly #children: ChildProcess[];

  constructor(o: SessionCrowdOptions) {
    this.#o = o;
    this.#children = Array.from({ length: processes }, () => fork(file, { execArgv: [] }));
  }

  get pids(): readonly number[] {
    return this.#children.map((child) => child.pid as number);
  }

  /** Connects all clients, `atOnce` at a time; resolves once every one is accepted, and subscribed where it is to subscribe. */
  async come(
    { host, port, password }: RunningBroker,
    o: { readonly atOnce: number; readonly subscribe: boolean },
  ): Promise<{ readonly present: number }> {
    const entrances = Array.from({ length: this.#o.clients }, (_, i) => {
      const id = `${this.#o.name}-${i}`;
      const filters = o.subscribe ? this.#o.filtersOf(i) : [];
      return {
        connect: connect(5, id, password(id), lifeSeconds).toString('base64'),
        subscribe: filters.length > 0 ? subscribe(5, filters, 1).toString('base64') : '',
      };
    });
    const atOnce = Math.ceil(o.atOnce / processes);
    const replies = await this.#ask('came', (index) => ({
      ...{ kind: 'come', host, port, sources, atOnce, answers: true },
      entrances: entrances.filter((_, i) => i % processes === index),
    }));
    return { present: replies.reduce((sum, { present }) => sum + present, 0) };
  }

  /** From now on nothing is acknowledged. */
  async mute(): Promise<void> {
    await this.#ask('muted', () => ({ kind: 'mute' }));
  }

  /** Resolves when each was given so much since it came; says what all of them were given, and how much of that with DUP. */
  async given(publications: number): Promise<{ readonly publications: number; readonly again: number }> {
    const replies = await this.#ask('given', () => ({ kind: 'await', publications }));
    return {
      publications: replies.reduce((sum, reply) => sum + reply.publications, 0),
      again: replies.reduce((sum, reply) => sum + reply.again, 0),
    };
  }

  /** All of them say DISCONNECT, and their sessions stay. */
  async leave(): Promise<void> {
    await this.#ask('left', () => ({ kind: 'leave' }));
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

  async #ask<K extends SessionReply['kind']>(
    kind: K,
    command: (index: number) => SessionCommand,
  ): Promise<Extract<SessionReply, { kind: K }>[]> {
    const replies = this.#children.map((child, index) => {
      const { promise, resolve, reject } = Promise.withResolvers<Extract<SessionReply, { kind: K }>>();
      const on = (reply: SessionReply): void => {
        if (reply.kind !== kind && reply.kind !== 'failed') return;
        clearTimeout(timer);
        child.off('message', on);
        if (reply.kind === 'failed') reject(new Error(reply.reason));
        else resolve(reply as Extract<SessionReply, { kind: K }>);
      };
      const timer = setTimeout(
        () => reject(new Error(`${patienceMs} ms passed without "${kind}"`)),
        patienceMs,
      );
      child.on('message', on);
      child.send(command(index));
      return promise;
    });
    return Promise.all(replies);
  }
}

/** Session Expiry Interval. */
const lifeSeconds = 3_600;
const patienceMs = 180_000;
