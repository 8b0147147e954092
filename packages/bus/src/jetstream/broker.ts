import { setTimeout as sleep } from 'node:timers/promises';
import { Coalesced, Gate, type Place } from '@pushfleet/core';
import { Leaders } from '../leaders.ts';
import type { Suspicion } from '../source.ts';
import { type StreamView, streamInfo } from './api.ts';
import { type VerifiedLayout, verifyLayout } from './layout.ts';
import { Disconnected, Link, type LinkOptions } from './link.ts';
import type { Log } from './log.ts';
import { patiently } from './retry.ts';
import { logStream, shardOfStream } from './streams.ts';

/** How long the log keeps things, in milliseconds. */
export interface LogTerms {
  /** A publication whose topic and publisher say nothing; Infinity: for good. */
  readonly maxAgeMs: number;
  /** The memory of an id. */
  readonly duplicateWindowMs: number;
  /** Size of all shards at which publications are refused, in bytes; Infinity: none. */
  readonly maxBytes: number;
}

/** How a shard stands, as its leader said about a second ago. */
export interface ShardState {
  readonly bytes: number;
  /** Size at which it refuses publications, in bytes; Infinity: none. */
  readonly maxBytes: number;
  readonly replicas: number;
  /** Those of them, the leader included, that have all that the leader has. */
  readonly replicasCurrent: number;
}

/** How long `start` waits for the log before it goes on in the background. */
const startPatienceMs = 5_000;
const verifyEveryMs = 1_000;
const pollEveryMs = 1_000;
/** Without an answer for so long a shard counts as out of reach. */
const staleMs = 5_000;
/** Most questions that replays of this process have open at once. */
const openQuestions = 16;

const elected = '$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.';

/**
 * The two connections of a process to its log, and what is known of the streams. `live` carries interests and
 * the questions that fence them; `bulk` carries publications and replays, so that neither delays the other.
 */
export class Broker {
  readonly live: Link;
  readonly bulk: Link;
  readonly gate = new Gate(openQuestions);
  readonly leaders = new Leaders((shard) => this.#suspect({ kind: 'leader_changed', shard }));
  readonly #log: Log;
  readonly #suspicious = new Set<(suspicion: Suspicion) => void>();
  readonly #heads = new Coalesced(() => patiently(() => this.#askHeads()));
  readonly #views = new Coalesced(() => patiently(() => this.#ask(this.bulk)));
  #layout: VerifiedLayout | undefined;
  /** The newest view of each shard and when it came, by this machine's clock. */
  #known: { readonly view: StreamView; readonly at: number }[] = [];
  #poller: NodeJS.Timeout | undefined;
  readonly #closing = new AbortController();

  constructor(options: LinkOptions) {
    this.#log = options.log;
    this.live = new Link({ ...options, name: `${options.name} live` });
    this.bulk = new Link({ ...options, name: `${options.name} bulk` });
    this.live.watch((up) => {
      if (!up) this.#suspect({ kind: 'connection_lost' });
    });
  }

  /** @throws PushfleetError `unavailable` before the streams were seen for the first time */
  get layout(): VerifiedLayout {
    if (this.#layout === undefined) throw new Disconnected();
    return this.#layout;
  }

  /** Whether the streams were seen. */
  get known(): boolean {
    return this.#layout !== undefined;
  }

  get ready(): boolean {
    const since = Date.now() - staleMs;
    const reachable = this.live.up && this.bulk.up && this.#layout !== undefined;
    return reachable && this.#known.every(({ at }) => at >= since);
  }

  get duplicateWindowMs(): number {
    return Math.min(...this.layout.views.map((view) => view.duplicateWindowMs));
  }

  get terms(): LogTerms | undefined {
    if (this.#known.length === 0) return undefined;
    const most = (of: (view: StreamView) => number) => Math.max(...this.#known.map(({ view }) => of(view)));
    return {
      maxAgeMs: most((view) => view.maxAgeMs),
      duplicateWindowMs: most((view) => view.duplicateWindowMs),
      maxBytes: this.#known.reduce((sum, { view }) => sum + view.maxBytes, 0),
    };
  }

  /** By shard; undefined for one whose leader did not answer lately. */
  get shards(): readonly (ShardState | undefined)[] {
    const since = Date.now() - staleMs;
    return this.#known.map(({ view, at }) => (at >= since ? view : undefined));
  }

  /** Resolves when the log was verified, or goes on trying in the background: a service starts without its broker. */
  async start(): Promise<void> {
    const verified = Promise.all([this.live.connect(), this.bulk.connect()]).then(() => this.#verify());
    await Promise.race([verified, sleep(startPatienceMs, undefined, { ref: false })]);
  }

  /** Aborted by `close`. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#poller);
    await Promise.all([this.live.close(), this.bulk.close()]);
  }

  /** Calls `on` whenever live messages may have been lost. */
  onSuspicion(on: (suspicion: Suspicion) => void): () => void {
    this.#suspicious.add(on);
    return () => this.#suspicious.delete(on);
  }

  /** The heads of all shards, asked over `live` behind every interest registered before the call. */
  heads(): Promise<{ sequences: readonly number[]; time: number }> {
    return this.#heads.run();
  }

  /** The head of a shard as it was heard of last, which is about a second old; 0 before. */
  lastKnown(shard: number): number {
    return this.#known[shard]?.view.lastSequence ?? 0;
  }

  /** What the leaders say of all shards now. */
  views(): Promise<readonly StreamView[]> {
    return this.#views.run();
  }

  /**
   * The brokers' clock, never ahead of the slowest of them: what is stored from now on has this time or a later
   * one. Unix time in milliseconds.
   */
  now(): number {
    const behind = this.#known.map(({ view, at }) => view.answeredAt - at);
    return Math.floor(Date.now() + Math.min(0, ...behind));
  }

  /** A place with one shard's position. */
  placeOf(shard: number, sequence: number, time: number): Place {
    const positions = new Array<number | undefined>(this.layout.shards).fill(undefined);
    positions[shard] = sequence;
    return { generation: this.layout.generation, positions, time };
  }

  stream(shard: number): string {
    return logStream(this.layout.generation, shard);
  }

  async #verify(): Promise<void> {
    let told = '';
    while (!this.closing.aborted && this.#layout === undefined) {
      try {
        this.#begin(await verifyLayout(this.bulk));
      } catch (error) {
        const { message } = error as Error;
        if (message !== told) this.#log.warn({ err: error }, 'the log is not usable yet; trying on');
        told = message;
        await sleep(verifyEveryMs, undefined, { ref: false });
      }
    }
  }

  #begin(layout: VerifiedLayout): void {
    if (this.closing.aborted) return;
    this.#layout = layout;
    this.#known = layout.views.map((view) => ({ view, at: Date.now() }));
    layout.views.forEach(({ leader }, shard) => {
      this.leaders.hear(shard, leader);
    });
    this.live.connection.subscribe(`${elected}>`, {
      callback: (error, { subject }) => {
        const shard = error === null ? shardOfStream(subject.slice(elected.length), layout) : undefined;
        if (shard !== undefined) this.#suspect({ kind: 'leader_changed', shard });
      },
    });
    this.#poller = setInterval(() => this.#poll(), pollEveryMs).unref();
  }

  /** An election can pass without its advisory reaching us: the leader's name and term tell it too. */
  #poll(): void {
    if (!this.live.up) return;
    for (let shard = 0; shard < this.layout.shards; shard++) {
      this.#askShard(this.live, shard).catch(() => {
        // A shard without a leader does not answer; `ready` tells it, and the next poll asks again.
      });
    }
  }

  async #askHeads(): Promise<{ sequences: readonly number[]; time: number }> {
    const views = await this.#ask(this.live);
    return {
      sequences: views.map(({ lastSequence }) => lastSequence),
      // Also a quiet log's cursor moves on in time, past a leader change that would make a resume go back.
      time: Math.min(...views.map(({ answeredAt }) => answeredAt)),
    };
  }

  #ask(link: Link): Promise<readonly StreamView[]> {
    return Promise.all(Array.from({ length: this.layout.shards }, (_, shard) => this.#askShard(link, shard)));
  }

  async #askShard(link: Link, shard: number): Promise<StreamView> {
    const view = await streamInfo(link, this.stream(shard));
    const before = this.#known[shard]?.view;
    const isNews = view.leader.name !== before?.leader.name;
    if (before === undefined || view.answeredAt >= before.answeredAt || isNews) {
      this.#known[shard] = { view, at: Date.now() };
      this.leaders.hear(shard, view.leader);
    }
    return view;
  }

  #suspect(suspicion: Suspicion): void {
    for (const on of this.#suspicious) on(suspicion);
  }
}
