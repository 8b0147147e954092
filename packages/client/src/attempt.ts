import type { Clock } from './clock.ts';
import type { PushfleetError } from './errors.ts';
import type { TransportName } from './fleet.ts';
import type { ReceivedMessage } from './message.ts';
import type { Gap, Start } from './subscription.ts';
import { broken, type End, type Link, type LinkEvents, type Transport } from './transport.ts';

/** How many times `openMs` a connection may take, once something came over it, until what it asked for stands. */
const liveShare = 3;
/** Nothing says that all retained ones have come: so long after the last of them, a connection that still stands has. */
export const retainedMs = 60_000;

export interface AttemptOptions {
  readonly name: TransportName;
  readonly transport: Transport;
  readonly filters: readonly string[];
  readonly start: Start;
  readonly token: () => Promise<string>;
  readonly clock: Clock;
  readonly openMs: number;
}

export interface AttemptEvents {
  live(attempt: Attempt): void;
  message(attempt: Attempt, message: ReceivedMessage): void;
  gap(attempt: Attempt, gap: Gap): void;
  moved(attempt: Attempt): void;
  end(attempt: Attempt, end: End): void;
}

/** One connection from the moment it is wanted until it ends, with the times it may take and the place it has reached. */
export class Attempt implements LinkEvents {
  readonly name: TransportName;
  readonly filters: Set<string>;
  readonly #o: AttemptOptions;
  readonly #on: AttemptEvents;
  #place: Start;
  #link: Link | undefined;
  #token = '';
  #cancel: () => void = () => {};
  #ended = false;
  #liveAt: number | undefined;
  /** When the last retained one came; Infinity before any could. */
  #retainedAt = Number.POSITIVE_INFINITY;
  isAlive = false;

  constructor(options: AttemptOptions, on: AttemptEvents) {
    this.#o = options;
    this.#on = on;
    this.name = options.name;
    this.filters = new Set(options.filters);
    this.#place = options.start;
    this.#open().catch((error: PushfleetError) => this.end({ error, broken: false }));
  }

  /** What was asked for stands, or stood until the end. */
  get isLive(): boolean {
    return this.#liveAt !== undefined;
  }

  /** For how long it has stood, in milliseconds. */
  get liveMs(): number {
    return this.#liveAt === undefined ? 0 : this.#o.clock.now() - this.#liveAt;
  }

  /** Where to go on from, once it has ended. */
  get place(): Start {
    const { after, retained } = this.#place;
    return { after, retained: retained && this.#o.clock.now() - this.#retainedAt < retainedMs };
  }

  get token(): string {
    return this.#token;
  }

  get link(): Link | undefined {
    return this.#ended ? undefined : this.#link;
  }

  async #open(): Promise<void> {
    this.#token = await this.#o.token();
    if (this.#ended) return;
    this.#limit(this.#o.openMs);
    const ask = { filters: this.#o.filters, ...this.#o.start, token: this.#token };
    try {
      this.#link = this.#o.transport.open(ask, this);
    } catch (cause) {
      this.end(broken(`${this.name} cannot be used here.`, cause));
      return;
    }
    // It may have ended before it was known.
    if (this.#ended) this.#link.close();
  }

  #limit(ms: number): void {
    this.#cancel();
    this.#cancel = this.#o.clock.after(ms, () => this.end(broken(`Nothing came over ${this.name} in time.`)));
  }

  alive(): void {
    if (this.isAlive || this.#ended) return;
    this.isAlive = true;
    this.#limit(this.#o.openMs * liveShare);
  }

  live(cursor: string | undefined): void {
    if (this.#ended || this.isLive) return;
    this.#cancel();
    this.#liveAt = this.#retainedAt = this.#o.clock.now();
    if (cursor !== undefined) this.#place = { ...this.#place, after: cursor };
    this.#on.live(this);
  }

  message(message: ReceivedMessage): void {
    if (this.#ended) return;
    this.#on.message(this, message);
    if (message.retained) this.#retainedAt = this.#o.clock.now();
    // The retained ones come first: as long as they do, a connection that follows has to ask for them again.
    const { after, retained } = this.#place;
    this.#place = message.retained
      ? { after: after ?? message.cursor, retained }
      : { after: message.cursor, retained: false };
    if (!this.#ended) this.#on.moved(this);
  }

  gap(gap: Gap): void {
    if (this.#ended) return;
    this.#on.gap(this, gap);
    this.moved(gap.to);
  }

  moved(cursor: string): void {
    if (this.#ended || (cursor === this.#place.after && !this.#place.retained)) return;
    this.#place = { after: cursor, retained: false };
    this.#on.moved(this);
  }

  renew(token: string): boolean {
    if (this.link?.renew === undefined) return false;
    this.#token = token;
    this.link.renew(token);
    return true;
  }

  end(end: End): void {
    if (this.#ended) return;
    this.close();
    this.#on.end(this, end);
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancel();
    this.#link?.close();
  }
}
