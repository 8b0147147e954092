// A fleet and the networks before it as a model, for the simulation; nothing else imports it.
import type { Random, SimulatedClock } from '@pushfleet/contract/simulation';
import { PushfleetError, unreachable } from './errors.ts';
import { matches } from './filter.ts';
import type { TransportName } from './fleet.ts';
import { ReceivedMessage } from './message.ts';
import type { Ask, End, Link, LinkEvents, Transport } from './transport.ts';

export interface Entry {
  readonly topic: string;
  readonly id: string;
  readonly shard: number;
  readonly sequence: number;
}

type Place = readonly number[];

const shards = 2;
const format = (place: Place): string => `g1-0-${place.map((position) => position.toString(36)).join('.')}`;
const parse = (cursor: string): number[] =>
  (cursor.split('-')[2] ?? '').split('.').map((position) => Number.parseInt(position, 36));

/** The log and its hubs, each publication stored once. */
export class ModelFleet {
  readonly log: Entry[][] = Array.from({ length: shards }, () => []);
  readonly retained = new Map<string, Entry>();
  readonly feeds = new Set<ModelFeed>();
  /** Resumes may go back, around a change of leader, but not behind a place where somebody began. */
  readonly #floor: number[] = Array(shards).fill(0);
  readonly #random: Random;
  readonly #clock: SimulatedClock;
  #ids = 0;

  constructor(random: Random, clock: SimulatedClock) {
    this.#random = random;
    this.#clock = clock;
  }

  publish(topic: string, retain: boolean, id = String(this.#ids++)): Entry {
    const shard = [...topic].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % shards;
    const log = this.log[shard] as Entry[];
    const entry = { topic, id, shard, sequence: log.length + 1 };
    log.push(entry);
    if (retain) this.retained.set(topic, entry);
    for (const feed of this.feeds) this.#clock.after(this.#random.below(20), () => feed.pump());
    return entry;
  }

  get head(): number[] {
    return this.log.map(({ length }) => length);
  }

  get cursor(): string {
    return format(this.head);
  }

  begin(after: string | undefined): number[] {
    if (after === undefined) {
      const { head } = this;
      head.forEach((position, shard) => {
        this.#floor[shard] = Math.max(this.#floor[shard] as number, position);
      });
      return head;
    }
    const back = this.#random.chance(0.1) ? this.#random.below(10) : 0;
    return parse(after).map((position, shard) =>
      Math.min(position, Math.max(position - back, this.#floor[shard] as number)),
    );
  }

  message(entry: Entry, place: Place, retained: boolean): ReceivedMessage {
    const { topic, id } = entry;
    const event = { id, source: 's', type: 't', subject: topic, time: '', datacontenttype: 'text/plain' };
    return new ReceivedMessage({ ...event, pushfleetcursor: format(place), data: '' }, retained);
  }
}

interface Wire {
  message(message: ReceivedMessage): void;
  moved(cursor: string): void;
}

/** What one connection is given. */
export class ModelFeed {
  readonly filters: Set<string>;
  readonly #fleet: ModelFleet;
  readonly #random: Random;
  readonly #wire: Wire;
  #at: number[];
  #told = '';

  constructor(
    fleet: ModelFleet,
    random: Random,
    ask: Pick<Ask, 'filters' | 'after' | 'retained'>,
    wire: Wire,
  ) {
    this.#fleet = fleet;
    this.#random = random;
    this.#wire = wire;
    this.filters = new Set(ask.filters);
    this.#at = fleet.begin(ask.after);
    fleet.feeds.add(this);
    if (!ask.retained) return;
    for (const entry of fleet.retained.values()) {
      if (this.#matches(entry)) wire.message(fleet.message(entry, this.#at, true));
    }
  }

  get cursor(): string {
    return format(this.#at);
  }

  #matches({ topic }: Entry): boolean {
    return [...this.filters].some((filter) => matches(filter, topic));
  }

  pump(): void {
    if (!this.#fleet.feeds.has(this)) return;
    for (;;) {
      const behind = this.#at.map((_, shard) => shard).filter((shard) => this.#next(shard) !== undefined);
      if (behind.length === 0) return;
      const shard = this.#random.pick(behind);
      const entry = this.#next(shard) as Entry;
      this.#at[shard] = entry.sequence;
      if (this.#matches(entry)) this.#wire.message(this.#fleet.message(entry, this.#at, false));
    }
  }

  #next(shard: number): Entry | undefined {
    return this.#fleet.log[shard]?.[this.#at[shard] as number];
  }

  /** Cursors go back while what lies behind `after` is given. */
  add(filters: readonly string[], after: string | undefined): void {
    const fresh = filters.filter((filter) => !this.filters.has(filter));
    const place = after === undefined ? this.#fleet.begin(undefined) : this.#fleet.begin(after);
    for (const [shard, log] of this.#fleet.log.entries()) {
      for (const entry of log.slice(place[shard], this.#at[shard])) {
        place[shard] = entry.sequence;
        const given = this.#matches(entry);
        if (given || !fresh.some((filter) => matches(filter, entry.topic))) continue;
        const floor = place.map((position, i) => Math.min(position, this.#at[i] as number));
        this.#wire.message(this.#fleet.message(entry, floor, false));
      }
      place[shard] = Math.max(place[shard] as number, this.#at[shard] as number);
    }
    for (const filter of fresh) this.filters.add(filter);
  }

  beat(): void {
    if (this.cursor === this.#told) return;
    this.#told = this.cursor;
    this.#wire.moved(this.cursor);
  }
}

/** What the network does to one kind of connection at the moment. */
export type Condition = 'open' | 'blocked' | 'hanging' | 'buffering';

/** A network with one condition for each way through it. */
export class ModelNetwork {
  readonly conditions: Record<TransportName, Condition> = { websocket: 'open', sse: 'open', poll: 'open' };
  readonly links = new Set<ModelLink>();
  readonly fleet: ModelFleet;
  readonly random: Random;
  readonly clock: SimulatedClock;
  opened = 0;
  refuse = 0;

  constructor(fleet: ModelFleet, random: Random, clock: SimulatedClock) {
    this.fleet = fleet;
    this.random = random;
    this.clock = clock;
  }

  transport(name: TransportName): Transport {
    return {
      open: (ask, events) => {
        this.opened++;
        const kind = name === 'websocket' ? SocketLink : name === 'sse' ? ModelLink : PollingLink;
        return new kind(this, name, ask, events);
      },
    };
  }

  set(name: TransportName, condition: Condition): void {
    this.conditions[name] = condition;
    if (condition === 'open') return;
    for (const link of [...this.links]) {
      if (link.name !== name) continue;
      if (condition === 'blocked') link.cut();
      else link.stall();
    }
  }

  cutSome(): void {
    for (const link of [...this.links]) if (this.random.chance(0.7)) link.cut();
  }

  drainSome(): void {
    for (const link of [...this.links]) if (this.random.chance(0.5)) link.drain();
  }
}

/** A one-way stream: what was sent arrives in order and late, and what is on its way when it is cut never does. */
class ModelLink implements Link {
  readonly name: TransportName;
  protected readonly network: ModelNetwork;
  protected readonly events: LinkEvents;
  protected readonly ask: Ask;
  feed: ModelFeed | undefined;
  protected ended = false;
  #stalled = false;
  #arrivesAt = 0;
  readonly #latency: number;

  constructor(network: ModelNetwork, name: TransportName, ask: Ask, events: LinkEvents) {
    this.network = network;
    this.name = name;
    this.ask = ask;
    this.events = events;
    this.#latency = 1 + network.random.below(80);
    network.links.add(this);
    const condition = network.conditions[name];
    if (condition === 'blocked') network.clock.after(this.#latency, () => this.cut());
    else if (condition === 'hanging') this.#stalled = true;
    else if (network.refuse > 0 && network.refuse--) network.clock.after(this.#latency, () => this.drain());
    else network.clock.after(this.#latency, () => this.begin());
    // A buffering proxy lets the first bytes through at times, and then holds back what follows.
    if (condition === 'buffering') {
      if (network.random.chance(0.5)) this.send(() => events.alive());
      this.stall();
    }
  }

  protected begin(): void {
    if (this.ended) return;
    this.send(() => this.events.alive());
    this.attach();
    this.send(() => this.events.live(undefined));
    this.#beat();
  }

  protected attach(): void {
    const wire = {
      message: (message: ReceivedMessage) => this.send(() => this.events.message(message)),
      moved: (cursor: string) => this.send(() => this.events.moved(cursor)),
    };
    this.feed = new ModelFeed(this.network.fleet, this.network.random, this.ask, wire);
    if (this.ask.after === undefined) this.feed.beat();
    this.feed.pump();
  }

  #beat(): void {
    this.network.clock.after(15_000 + this.network.random.below(10_000), () => {
      if (this.ended) return;
      this.feed?.beat();
      this.#beat();
    });
  }

  /** Something arrives, behind all that was sent before. */
  protected send(arrive: () => void): void {
    const { clock, random } = this.network;
    this.#arrivesAt = Math.max(this.#arrivesAt, clock.now() + this.#latency + random.below(10));
    clock.after(this.#arrivesAt - clock.now(), () => {
      if (!this.ended && !this.#stalled) arrive();
    });
  }

  stall(): void {
    if (this.ended || this.#stalled) return;
    this.#stalled = true;
    // What the client's own watch over silence finds.
    this.network.clock.after(40_000 + this.network.random.below(20_000), () =>
      this.end({ error: unreachable('stalled'), broken: true, stalled: true }),
    );
  }

  cut(): void {
    this.end({ error: unreachable('cut'), broken: true });
  }

  drain(): void {
    const retryMs = this.network.random.below(4_000);
    this.send(() => this.end({ error: new PushfleetError('draining', 'draining'), broken: false, retryMs }));
  }

  protected end(end: End): void {
    if (this.ended) return;
    this.close();
    this.events.end(end);
  }

  check(): void {
    if (this.#stalled) this.network.clock.after(10_000, () => this.cut());
  }

  close(): void {
    this.ended = true;
    this.network.links.delete(this);
    if (this.feed !== undefined) this.network.fleet.feeds.delete(this.feed);
  }
}

/** Filters come and go while it stands. */
class SocketLink extends ModelLink {
  #doneAt = 0;

  add(filters: readonly string[], after: string | undefined): Promise<void> {
    return this.#ask(() => this.feed?.add(filters, after));
  }

  remove(filters: readonly string[]): void {
    void this.#ask(() => {
      for (const filter of filters) this.feed?.filters.delete(filter);
    }).catch(() => {});
  }

  #ask(act: () => void): Promise<void> {
    const { clock, random } = this.network;
    // One after the other, as they were sent.
    this.#doneAt = Math.max(this.#doneAt, clock.now() + random.below(50));
    return new Promise((resolve, reject) => {
      clock.after(this.#doneAt - clock.now(), () => {
        if (this.ended) {
          reject(unreachable('ended'));
          return;
        }
        act();
        this.send(resolve);
      });
    });
  }
}

/** Takes what there is in batches, and goes on from the cursor of what arrived. */
class PollingLink extends ModelLink {
  protected override begin(): void {
    if (this.ended) return;
    this.#poll(this.ask.after, true);
  }

  #poll(after: string | undefined, first: boolean): void {
    if (this.ended) return;
    const { fleet, random, clock } = this.network;
    const batch: ReceivedMessage[] = [];
    const wire = { message: (message: ReceivedMessage) => batch.push(message), moved: () => {} };
    const ask = { ...this.ask, after, retained: first && this.ask.retained };
    const feed = new ModelFeed(fleet, random, ask, wire);
    this.feed = feed;
    feed.pump();
    const answer = () => {
      fleet.feeds.delete(feed);
      const items = batch.slice(0, 20);
      const cursor = batch.length > 20 ? (items[19] as ReceivedMessage).cursor : feed.cursor;
      this.send(() => {
        this.events.alive();
        for (const message of items) if (!this.ended) this.events.message(message);
        if (this.ended) return;
        this.events.moved(cursor);
        if (first) this.events.live(undefined);
        clock.after(random.below(30), () => this.#poll(cursor, false));
      });
    };
    if (first || batch.length > 0) answer();
    else this.#wait(batch, answer, clock.now() + 25_000);
  }

  #wait(batch: readonly ReceivedMessage[], answer: () => void, until: number): void {
    const { clock } = this.network;
    clock.after(50, () => {
      if (this.ended) return;
      if (batch.length > 0 || clock.now() >= until) answer();
      else this.#wait(batch, answer, until);
    });
  }
}
