import { connect, type MqttClient } from 'mqtt';
import type { MqttProgram } from './mqtt-programs.ts';
import { type PahoSaid, persistent, type Where, watch } from './mqtt-session-client.ts';
import { type Level, type Made, payloadOf } from './mqtt-sessions-check.ts';

/** What a publisher made, and which of it was acknowledged. */
export interface Publisher {
  readonly name: string;
  readonly made: readonly Made[];
  /** How many of these are acknowledged. */
  readonly acknowledged: number;
  readonly troubles: readonly string[];
  /** Publishes at its rate, over topics in turn, until it is told to finish. */
  start(): void;
  /** Resolves when it published at least its count and all of it is acknowledged. */
  finish(): Promise<void>;
  close(): void;
}

export interface PublisherOptions {
  readonly name: string;
  /** Those of QoS 1 and of QoS 2. */
  readonly topics: Readonly<Record<Level, readonly string[]>>;
  /** The least it publishes. */
  readonly count: number;
  /** Publications a second. */
  readonly rate: number;
}

/** Fewer than the Receive Maximum of the edge. */
const window = 16;

abstract class PacedPublisher implements Publisher {
  readonly name: string;
  readonly troubles: string[] = [];
  readonly #o: PublisherOptions;
  readonly #made = new Map<string, Made>();
  readonly #open = new Set<string>();
  #last = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #onDone: () => void = () => {};

  constructor(o: PublisherOptions) {
    this.name = o.name;
    this.#o = o;
  }

  get acknowledged(): number {
    return this.#made.size - this.#open.size;
  }

  get made(): readonly Made[] {
    return [...this.#made.values()];
  }

  start(): void {
    const started = performance.now();
    this.#timer = setInterval(() => {
      const due = Math.min(this.#last, Math.floor(((performance.now() - started) / 1_000) * this.#o.rate));
      while (this.#made.size < due && this.#open.size < window) this.#publish(this.#made.size + 1);
      if (this.#made.size >= this.#last && this.#open.size === 0) this.#onDone();
    }, 10);
  }

  finish(): Promise<void> {
    this.#last = Math.max(this.#o.count, this.#made.size);
    return new Promise((resolve) => {
      this.#onDone = resolve;
    });
  }

  close(): void {
    clearInterval(this.#timer);
  }

  protected heard(payload: string): void {
    const made = this.#made.get(payload);
    if (made === undefined || !this.#open.delete(payload)) return;
    this.#made.set(payload, { ...made, fate: 'owed' });
  }

  protected abstract send(made: Made, payload: string): void;

  #publish(number: number): void {
    const { name: publisher, topics } = this.#o;
    const qos: Level = number % 3 === 0 ? 1 : 2;
    const ours = topics[qos];
    const topic = ours[(number * 7 + publisher.length) % ours.length] as string;
    const made: Made = { publisher, number, topic, qos, fate: 'possible' };
    const payload = payloadOf(made);
    this.#made.set(payload, made);
    this.#open.add(payload);
    this.send(made, payload);
  }
}

export class JsPublisher extends PacedPublisher {
  readonly #client: MqttClient;

  constructor(where: Where, o: PublisherOptions, version: 4 | 5) {
    super(o);
    this.#client = connect(`mqtt://${where.address}`, persistent(where, o.name, version));
    watch(this.#client, o.name, this.troubles);
  }

  protected send({ topic, qos }: Made, payload: string): void {
    this.#client.publish(topic, payload, { qos }, (error) => {
      if (error) this.troubles.push(`${this.name}: ${payload} on ${topic}: ${error.message}`);
      else this.heard(payload);
    });
  }

  override close(): void {
    super.close();
    this.#client.end(true);
  }
}

export class PahoPublisher extends PacedPublisher {
  readonly #program: MqttProgram;
  readonly #reading: NodeJS.Timeout;

  constructor(program: MqttProgram, o: PublisherOptions) {
    super(o);
    this.#program = program;
    let known = false;
    this.#reading = setInterval(() => {
      for (const line of program.take()) {
        const { acknowledged, connected, present } = JSON.parse(line) as PahoSaid;
        if (acknowledged !== undefined) this.heard(acknowledged);
        if (connected !== 'Success') continue;
        if (known && !present) this.troubles.push(`${this.name}: its session is gone`);
        known = true;
      }
    }, 10);
  }

  protected send({ topic, qos }: Made, payload: string): void {
    this.#program.say(JSON.stringify({ topic, payload, qos }));
  }

  override close(): void {
    super.close();
    clearInterval(this.#reading);
  }
}
