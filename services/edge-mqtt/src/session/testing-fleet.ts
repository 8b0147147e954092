// What fleet.sim.test.ts is made of: pods on one log and one registry. Nothing else imports it.
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { type Random, SimulatedClock } from '@pushfleet/contract/simulation';
import { type Namespace, PushfleetError, type Stored, type Topic } from '@pushfleet/core';
import { Desk } from '@pushfleet/edge';
import {
  type Mishap,
  type PublishedWill,
  type TestCall,
  TestRegistry,
} from '@pushfleet/edge/testing-sessions';
import type { SessionKey } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { RegistryStore } from './registry-store.ts';
import type { ServerTerms } from './terms.ts';
import { type Client, Stage } from './testing.ts';

/** What a write goes through on its way. */
export interface Faults {
  /** How long a question, and its answer, may be under way: milliseconds. */
  readonly delay: number;
  /** How often a question gets lost, and how often its answer. */
  readonly lost: number;
  /** How often one is held up for longer than anybody waits, and done all the same. */
  readonly late: number;
}

export const noFaults: Faults = { delay: 5, lost: 0, late: 0 };

const away = (): PushfleetError => new PushfleetError('unavailable', 'The registry is out of reach.');
const silent = { warn: () => {}, info: () => {} };
const never = <T>(): Promise<T> => new Promise(() => {});
/** It may be under way for so long. */
const acquiringMs = 10_000;
/** The registry's callers wait for five seconds. */
const tooLateMs = 5_001;

/** Where a pod is killed: at which write of the whole fleet, before it was applied or behind that. */
export interface Crash {
  readonly write: number;
  readonly applied: boolean;
}

export interface FleetOptions {
  readonly random: Random;
  readonly pods: number;
  readonly faults: Faults;
  readonly crash?: Crash;
  readonly server: Partial<ServerTerms>;
  readonly outbox: { readonly count: number; readonly bytes: number };
}

/** One process of the edge. */
export class Pod {
  readonly name: string;
  readonly stage: Stage;
  desk: Desk | undefined;
  alive = true;
  /** Who hears of its end. */
  readonly onKilled: (() => void)[] = [];

  constructor(name: string, stage: Stage) {
    this.name = name;
    this.stage = stage;
  }

  arrive(...connect: Parameters<Stage['arrive']>): Promise<Client> {
    return this.stage.arrive(...connect);
  }
}

/** Several pods, the registry, and a log that they share. */
export class Fleet {
  readonly clock = new SimulatedClock();
  readonly backbone: MemoryBackbone;
  readonly registry: TestRegistry;
  readonly pods: Pod[] = [];
  /** Writes so far, to the registry and to the log. */
  writes = 0;
  /** Sessions that a pod acquired when its client had long given up. */
  ghosts = 0;
  faults: Faults;
  readonly #blemished = new Set<string>();
  readonly #lacking = new Set<string>();
  readonly #o: FleetOptions;
  readonly #random: Random;
  readonly #sessions = new Set<string>();
  /** When they were asked for last. */
  readonly #acquired = new Map<string, number>();
  #made = 0;

  constructor(options: FleetOptions) {
    this.#o = options;
    this.#random = options.random;
    this.faults = options.faults;
    this.backbone = createMemoryBackbone({ clock: this.clock });
    this.registry = new TestRegistry({
      clock: this.clock,
      signals: {
        // A question may get lost: who was not asked learns of it by its next write.
        ask: (...question) =>
          this.#random.chance(this.faults.lost) ? this.#wait(500) : this.backbone.signals.ask(...question),
      },
      onCall: (call) => this.#mishap(call),
      onCommit: ({ whole, key, generation }) => {
        const isOwner = this.registry.record(key as SessionKey)?.generation === generation;
        if (whole && isOwner) this.#lacking.delete(nameOf(key));
        return undefined;
      },
      onWill: (published) => this.#publish(published),
    });
    for (let i = 0; i < options.pods; i++) this.start();
  }

  /** A session whose hot state was lost, and not put whole again before somebody resumed it. */
  isBlemished(client: string): boolean {
    return [...this.#blemished].some((name) => name.endsWith(`/${client}`));
  }

  /** When somebody asked for the session of this client last. */
  acquiredAt(client: string): number {
    const names = [...this.#acquired].filter(([name]) => name.endsWith(`/${client}`));
    return Math.max(0, ...names.map(([, at]) => at));
  }

  get errors(): readonly unknown[] {
    return this.alive.flatMap(({ stage }) => stage.errors);
  }

  get alive(): readonly Pod[] {
    return this.pods.filter(({ alive }) => alive);
  }

  /** Another pod. */
  start(): Pod {
    const name = `pod${this.#made++}`;
    const { server, outbox } = this.#o;
    const stage: Stage = new Stage({
      ...{ server, outbox, fleet: { clock: this.clock, log: this.backbone.log, name } },
      storing: (store) => this.#storing(pod, store),
    });
    const pod: Pod = new Pod(name, stage);
    const desk = new Desk({
      ...{ protocol: 'mqtt', instance: name, calls: this.registry.calls(name) },
      ...{ signals: stage.backbone.signals, patienceMs: 5_000, log: silent },
      random: () => this.#random.next(),
      // The log has whole milliseconds.
      clock: { now: () => this.clock.now(), after: (ms, run) => this.clock.after(Math.ceil(ms), run) },
      behind: (run) => this.clock.after(0, run),
    });
    desk.start();
    pod.desk = desk;
    stage.store = new RegistryStore({
      ...{ desk, given: 1_000 },
      bus: (namespace) => stage.backbone.bus(namespace),
      onUnreadable: (error) => stage.errors.push(error),
    });
    this.pods.push(pod);
    return pod;
  }

  /** As kill -9 does; another one takes its place. */
  kill(pod: Pod): void {
    if (!pod.alive) return;
    pod.alive = false;
    void pod.stage.backbone.close();
    void pod.desk?.close(AbortSignal.abort());
    for (const killed of pod.onKilled) killed();
    pod.onKilled.length = 0;
    this.registry.kill(pod.name);
    this.start();
  }

  /** Loses what the registry keeps beside the log. */
  loseHot(): void {
    for (const name of this.#sessions) {
      const isAcquired = this.clock.now() - (this.#acquired.get(name) ?? 0) < acquiringMs;
      (isAcquired ? this.#blemished : this.#lacking).add(name);
    }
    this.registry.loseHot();
  }

  #mishap({ instance, name, keys }: TestCall): Mishap {
    for (const key of keys) this.#sessions.add(nameOf(key));
    if (name === 'acquire') this.#acquired.set(nameOf(keys[0]), this.clock.now());
    if (name === 'acquire' && keys.some((key) => this.#lacking.delete(nameOf(key)))) {
      this.#blemished.add(nameOf(keys[0]));
    }
    const { delay, lost, late } = this.faults;
    const random = this.#random;
    const beforeMs = random.below(delay);
    const afterMs = random.below(delay);
    const crash = name === 'get' ? undefined : this.#crashes();
    if (crash !== undefined) {
      this.kill(this.pods.find((pod) => pod.name === instance) as Pod);
      return crash.applied ? { beforeMs } : { refused: away() };
    }
    if (random.chance(late)) {
      if (name === 'acquire') this.ghosts++;
      return { beforeMs: tooLateMs + random.below(2_000) };
    }
    if (random.chance(lost)) return { beforeMs, refused: away() };
    if (random.chance(lost)) return { beforeMs, afterMs, unheard: away() };
    return { beforeMs, afterMs };
  }

  /** Counts a write; where it is the one that a pod is killed at, says how. */
  #crashes(): Crash | undefined {
    return ++this.writes === this.#o.crash?.write ? this.#o.crash : undefined;
  }

  async #storing(pod: Pod, store: () => Promise<Stored>): Promise<Stored> {
    const crash = this.#crashes();
    if (crash !== undefined) this.kill(pod);
    if (crash?.applied === false) return never();
    await this.#wait(this.#random.below(this.faults.delay));
    // What was sent by a pod that is killed meanwhile may arrive, or not.
    if (!pod.alive && crash === undefined && this.#random.chance(0.5)) return never();
    const stored = await store();
    await this.#wait(this.#random.below(this.faults.delay));
    return pod.alive ? stored : never();
  }

  async #publish({ key, will, incarnation, generation }: PublishedWill): Promise<void> {
    const { topic, payload, contentType, source, origin } = will;
    const id = `${incarnation}-${generation}`;
    const draft = { id, topic: topic as Topic, payload, contentType, source, origin };
    await this.backbone.bus(key.namespace as Namespace).publish([draft]);
  }

  #wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.clock.after(ms, resolve);
    return promise;
  }

  /** What lies in the log on a topic. */
  stored(topic: string, namespace: Namespace): readonly string[] {
    return this.backbone.log.shards.flatMap(({ entries }) =>
      entries
        .filter((entry) => entry.namespace === namespace && entry.publication.topic === topic)
        .map(({ publication }) => Buffer.from(publication.payload).toString()),
    );
  }
}

const nameOf = (key: SessionKey | undefined): string => `${key?.namespace} ${key?.protocol} ${key?.id}`;
