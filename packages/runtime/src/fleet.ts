import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Namespace, Signals } from '@pushfleet/core';
import {
  type Instance,
  nothing,
  readAnswer,
  readSign,
  type Sign,
  type Usage,
  writeAnswer,
  writeGoodbye,
  writeSigns,
} from './fleet-message.ts';
import type { Metrics } from './metrics.ts';
import type { Part } from './part.ts';

export type { Instance, Usage } from './fleet-message.ts';

export interface FleetOptions {
  readonly service: string;
  /** What the subscribers of this instance speak. */
  readonly protocol?: string;
  /** What each namespace uses here, told once a second. Without it nothing is used. */
  readonly usage?: () => Iterable<readonly [Namespace, Usage]>;
}

/** What one instance knows of the others: who runs, what they use together, and what they answer. */
export interface Fleet extends Part {
  /** The name of this instance. */
  readonly instance: string;
  /** Those that were heard of lately, this one included. */
  instances(): readonly Instance[];
  /** Turns in a row, of a second each, in which it heard itself; 0 where it hears nobody. */
  readonly steady: number;
  /**
   * Asks every instance that answers this name, this one included. Resolves once all that are known to have
   * answered, after `waitMs` milliseconds (1,000) at the latest, and at once without a connection. Who has
   * nothing to say is not in the answers; their values are to be checked like any input.
   */
  ask<T>(
    name: string,
    question: unknown,
    waitMs?: number,
  ): Promise<readonly { readonly from: Instance; readonly answer: T }[]>;
  /** Answers questions of this name, which come from any instance; undefined says nothing. Once per name. */
  answer(name: string, on: (question: unknown) => unknown): void;
  /** What the other instances together say that a namespace uses there. */
  elsewhere(namespace: Namespace): Usage;
}

/** The signal under which all tell of themselves. */
const signal = 'instances';
const everyMs = 1_000;
/** Not heard of for so many of its own turns, an instance forgets another. */
const forgetTurns = 5;
/** Who hears its own signs for so many turns has heard everybody's. */
const settledTurns = 2;
const mostInstances = 1_000;

/** Declares how many instances of each service are known here, this one included. */
export function declareFleetMetrics(metrics: Pick<Metrics, 'gauge'>, fleet: Pick<Fleet, 'instances'>): void {
  const description = 'Instances of the fleet that were heard of lately, by service.';
  metrics.gauge('pushfleet_fleet_instances', { description }, () => {
    const counts = new Map<string, number>();
    for (const { service } of fleet.instances()) counts.set(service, (counts.get(service) ?? 0) + 1);
    return Array.from(counts, ([service, count]) => [count, { service }] as const);
  });
}

/** Makes this process known to the others of the fleet, and them to it. */
export function createFleet(signals: Signals, options: FleetOptions): Fleet {
  return new Gossip(signals, options);
}

interface Other {
  readonly instance: Instance;
  answers: ReadonlySet<string>;
  readonly usage: ReadonlyMap<Namespace, Usage>[];
  /** Turns without a sign of it. */
  missed: number;
}

/**
 * Time is counted in this instance's own turns, not read from a clock: clocks of different machines are never
 * compared, and after a stall of this process one turn has passed and nobody is forgotten for it.
 */
class Gossip implements Fleet {
  readonly name = 'fleet';
  readonly #self: Instance;
  readonly #signals: Signals;
  readonly #usage: NonNullable<FleetOptions['usage']>;
  readonly #others = new Map<string, Other>();
  readonly #answers = new Map<string, (question: unknown) => unknown>();
  /** Sums over the others, until one of them tells something new. */
  readonly #sums = new Map<Namespace, Usage>();
  #stops: (() => void)[] = [];
  #interval: NodeJS.Timeout | undefined;
  #heardSelf = false;
  /** Turns in a row in which it heard itself. */
  #steady = 0;

  constructor(signals: Signals, { service, protocol, usage = () => [] }: FleetOptions) {
    const host = hostname()
      .replace(/[^A-Za-z0-9.-]/g, '')
      .slice(0, 63);
    const instance = `${host}-${randomBytes(6).toString('hex')}`;
    this.#self = Object.freeze({ instance, service, ...(protocol === undefined ? {} : { protocol }) });
    this.#signals = signals;
    this.#usage = usage;
  }

  get steady(): number {
    return this.#steady;
  }

  get instance(): string {
    return this.#self.instance;
  }

  async start(): Promise<void> {
    this.#stops.push(this.#signals.hear(signal, (value) => this.#hear(value)));
    for (const [name, on] of this.#answers) this.#listen(name, on);
    this.#tell();
    this.#interval = setInterval(() => this.#turn(), everyMs).unref();
  }

  /** What is still here is told of until the end: it counts as long as it is there. */
  async drain(): Promise<void> {}

  async close(): Promise<void> {
    if (this.#interval === undefined) return;
    clearInterval(this.#interval);
    this.#interval = undefined;
    for (const stop of this.#stops) stop();
    this.#signals.tell(signal, writeGoodbye(this.#self));
  }

  instances(): readonly Instance[] {
    return [this.#self, ...Array.from(this.#others.values(), ({ instance }) => instance)];
  }

  answer(name: string, on: (question: unknown) => unknown): void {
    if (this.#answers.has(name)) throw new Error(`"${name}" is answered already`);
    this.#answers.set(name, on);
    if (this.#interval === undefined) return;
    this.#listen(name, on);
    this.#tell();
  }

  #listen(name: string, on: (question: unknown) => unknown): void {
    this.#stops.push(
      this.#signals.answer(name, async (question) => writeAnswer(this.#self, await on(question))),
    );
  }

  async ask<T>(
    name: string,
    question: unknown,
    waitMs = 1_000,
  ): Promise<readonly { readonly from: Instance; readonly answer: T }[]> {
    const awaited = this.#knownToAnswer(name);
    const seen = new Set<string>();
    const answers: { from: Instance; answer: T }[] = [];
    await this.#signals.ask(name, question, waitMs, (value) => {
      const heard = readAnswer(value);
      if (heard === undefined || seen.has(heard.from.instance)) return false;
      seen.add(heard.from.instance);
      if (heard.answered) answers.push({ from: heard.from, answer: heard.answer as T });
      awaited?.delete(heard.from.instance);
      return awaited?.size === 0 || seen.size === mostInstances;
    });
    return answers;
  }

  /** Whose answers to wait for; undefined where it is not known: before everybody had the time to be heard. */
  #knownToAnswer(name: string): Set<string> | undefined {
    const known = new Set(this.#answers.has(name) ? [this.instance] : []);
    for (const [instance, { answers }] of this.#others) if (answers.has(name)) known.add(instance);
    return this.#steady < settledTurns || known.size === 0 ? undefined : known;
  }

  elsewhere(namespace: Namespace): Usage {
    if (this.#others.size === 0) return nothing;
    let sum = this.#sums.get(namespace);
    if (sum === undefined) {
      sum = this.#sum(namespace);
      this.#sums.set(namespace, sum);
    }
    return sum;
  }

  #sum(namespace: Namespace): Usage {
    const sum = { connections: 0, subscriptions: 0, published: 0 };
    for (const { usage } of this.#others.values()) {
      for (const part of usage) {
        const of = part.get(namespace) ?? nothing;
        sum.connections += of.connections;
        sum.subscriptions += of.subscriptions;
        sum.published += of.published;
      }
    }
    return sum;
  }

  #turn(): void {
    // Who does not hear itself is cut off, and hears nobody: what it knows of the others stays.
    this.#steady = this.#heardSelf ? this.#steady + 1 : 0;
    if (this.#heardSelf) this.#age();
    this.#heardSelf = false;
    this.#tell();
  }

  #age(): void {
    for (const [instance, other] of this.#others) {
      other.missed++;
      if (other.missed >= forgetTurns) this.#forget(instance);
    }
  }

  #forget(instance: string): void {
    this.#others.delete(instance);
    this.#sums.clear();
  }

  #tell(): void {
    for (const sign of writeSigns(this.#self, [...this.#answers.keys()], this.#usage())) {
      this.#signals.tell(signal, sign);
    }
  }

  #hear(value: unknown): void {
    const sign = readSign(value);
    if (sign === undefined) return;
    if ('gone' in sign) this.#forget(sign.gone);
    else if (sign.instance === this.instance) this.#heardSelf = true;
    else this.#note(sign);
  }

  #note({ answers, part, parts, usage, ...instance }: Sign): void {
    const known = this.#others.get(instance.instance);
    if (known === undefined && this.#others.size >= mostInstances) return;
    const other = known ?? { instance, answers: new Set(), usage: [], missed: 0 };
    other.missed = 0;
    other.answers = new Set(answers);
    other.usage.length = Math.min(other.usage.length, parts);
    // Parts may arrive out of order; those before this one are empty until they come.
    while (other.usage.length < part) other.usage.push(new Map());
    other.usage[part] = usage;
    this.#others.set(instance.instance, other);
    this.#sums.clear();
  }
}
