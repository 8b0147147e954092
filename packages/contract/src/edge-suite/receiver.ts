import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../until.ts';
import {
  type Arrival,
  type Ask,
  comesBack,
  type EdgeProtocol,
  type End,
  type Line,
  type Received,
  Refused,
} from './under-test.ts';

const patienceMs = 20_000;

/** A client over as many connections as it takes: what it was given, and its place. */
export class Receiver {
  readonly protocol: EdgeProtocol;
  readonly ask: Ask;
  readonly received: Received[] = [];
  readonly gaps: (Arrival & { kind: 'gap' })[] = [];
  cursor: string | undefined;
  /** While it stays: connections that ended under it, and attempts that brought none. */
  cuts = 0;
  failures = 0;
  /** How the connection at hand ended. */
  end: End | undefined;
  #line: Line | undefined;
  /** Counts connections: what comes late by one that was left is not heard. */
  #turn = 0;
  #closed = false;

  constructor(protocol: EdgeProtocol, ask: Ask) {
    this.protocol = protocol;
    this.ask = ask;
    this.cursor = ask.after;
  }

  /** @throws Refused */
  static async open(protocol: EdgeProtocol, address: string, ask: Ask): Promise<Receiver> {
    const receiver = new Receiver(protocol, ask);
    await receiver.connect(address);
    return receiver;
  }

  /** Begins, or begins again from its cursor. @throws Refused */
  async connect(address: string): Promise<void> {
    const turn = ++this.#turn;
    this.end = undefined;
    const ask = { ...this.ask, after: this.cursor };
    this.#line = await this.protocol.connect(address, ask, (arrival) => {
      if (turn === this.#turn && !this.#closed) this.#hear(arrival);
    });
    if (this.#closed) this.#line.close();
  }

  #hear(arrival: Arrival): void {
    if (arrival.kind === 'end') this.end ??= { code: arrival.code, reconnect: arrival.reconnect };
    else if (arrival.kind === 'place') this.cursor = arrival.cursor;
    else if (arrival.kind === 'gap') {
      this.gaps.push(arrival);
      this.cursor = arrival.to;
    } else {
      this.received.push(arrival.value);
      this.cursor = arrival.cursor ?? this.cursor;
    }
  }

  get connected(): boolean {
    return this.#line !== undefined && this.end === undefined;
  }

  /** Leaves without a word and goes on at another address. @throws Refused */
  async move(address: string): Promise<void> {
    if (this.#line?.move !== undefined && this.end === undefined) {
      this.#line.move(address);
      return;
    }
    this.#line?.close();
    await this.connect(address);
  }

  /**
   * Begins where it has not, and comes back by itself, for as long as it is told to or cut; resolves when it is closed.
   *
   * @param address where it goes at that moment
   * @throws Error where it is told not to come back
   */
  async stay(address: () => string): Promise<void> {
    if (this.#line === undefined) this.end ??= { code: 'cut', reconnect: true };
    while (!this.#closed) {
      await sleep(20);
      const end = this.end;
      if (end === undefined) continue;
      if (!end.reconnect) throw new Error(`told to stay away: ${end.code}`);
      if (this.#line !== undefined) this.cuts++;
      this.#line?.close();
      this.#line = undefined;
      // Whoever is between two instances asks again.
      await this.connect(address()).catch((error) => {
        if (error instanceof Refused && !comesBack(error.code)) throw error;
        this.failures++;
        this.end ??= { code: 'cut', reconnect: true };
      });
      if (this.end !== undefined) await sleep(200);
    }
  }

  /** The ids in the order of their first arrival: at least once is the promise, and a duplicate has the id of the first. */
  get ids(): readonly string[] {
    return [...new Set(this.received.map(({ id }) => id))];
  }

  async has(ids: readonly string[], ms = patienceMs): Promise<void> {
    const missing = () => {
      const seen = new Set(this.ids);
      return ids.filter((id) => !seen.has(id));
    };
    await until(() => missing().length === 0, 'all to arrive', ms).catch((cause) => {
      const left = missing();
      throw new Error(`${this.#told}: ${left.length} of ${ids.length} did not arrive, ${left.slice(0, 5)}`, {
        cause,
      });
    });
  }

  async ended(ms = patienceMs): Promise<End> {
    await until(() => this.end !== undefined, `${this.#told} to end`, ms);
    return this.end as End;
  }

  pause(): void {
    this.#line?.pause();
  }

  resume(): void {
    this.#line?.resume();
  }

  close(): void {
    this.#closed = true;
    this.#line?.close();
  }

  get #told(): string {
    const end = this.end === undefined ? '' : `, ended by ${this.end.code}`;
    return `${this.protocol.name} on ${this.ask.filters.join(' ')}${end}`;
  }
}
