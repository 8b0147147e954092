import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { forSeeds, type Random, SimulatedClock } from '@pushfleet/contract/simulation';
import {
  type Cursor,
  defaultNamespace,
  type Item,
  matches,
  type Place,
  type Publication,
  PushfleetError,
  parseCursor,
  parseTopic,
  parseTopicFilter,
  type TopicFilter,
} from '@pushfleet/core';
import { createHubs, type Delivery, type Feed, type FeedOptions, type Hubs } from './mod.ts';
import { draft } from './test/stage.ts';

const topics = ['a', 'a/b', 'a/c', 'a/b/c', 'x/b', '$fleet/a'].map(parseTopic);
const filters = ['#', 'a/#', 'a/+', 'a/b', '+/b', '$fleet/#', 'x/b'].map(parseTopicFilter);
const auditMs = 1_000;
/** A loss nobody told of is found within two audits, as long as its filter is followed. */
const foundMs = 2 * auditMs + 100;
const overflows = ['close', 'latest', 'rewind'] as const;

/** A client: feeds that come and go, and what it has to see over all of them. */
class Client {
  readonly #world: World;
  readonly overflow: FeedOptions['overflow'];
  /** At the end it takes a few at a time and comes again for the rest, as a poll does. */
  readonly polls: boolean;
  /** What is owed per filter: everything stored behind this place. */
  readonly owed = new Map<TopicFilter, Place>();
  readonly seen = new Set<string>();
  /** Where it would resume: what it was told last. */
  cursor: Cursor | undefined;
  feed: Feed | undefined;
  readonly #history: string[] = [];
  /** Of the current feed. */
  #given = new Set<string>();
  #newest = new Map<string, number>();
  #ordered = true;
  /** How many one after the other gave it its filters. */
  #calls = 1;
  /** Where the log was when it began behind a publication of its own. */
  #start: Place | undefined;

  constructor(world: World) {
    this.#world = world;
    this.overflow = world.random.pick(overflows);
    this.polls = world.orderly && world.random.chance(0.3);
  }

  get #random(): Random {
    return this.#world.random;
  }

  #pickFilters(): TopicFilter[] {
    const picked = Array.from({ length: 1 + this.#random.below(3) }, () => this.#random.pick(filters));
    return [...new Set(picked)];
  }

  /** Opens a feed: a first one, or one that resumes, in one call or in several. */
  async open(patient: boolean): Promise<void> {
    if (this.cursor === undefined && this.#world.orderly && this.#random.chance(0.2))
      await this.#beginBehindOne();
    const first = this.cursor === undefined;
    const wanted = first ? this.#pickFilters() : [...this.owed.keys()];
    this.#given = new Set();
    this.#newest = new Map();
    this.#ordered = true;
    const feed = this.#world.hub().open({
      overflow: this.overflow,
      count: patient ? 1_000 : 1 + this.#random.below(8),
      bytes: 1_000_000,
      onReadable: () => {
        const knows = this.cursor !== undefined; // else it has yet to learn where it began
        if (this.#random.chance(0.4) && knows && feed === this.feed)
          this.take(feed, 1 + this.#random.below(4));
      },
      onClose: (reason) => {
        assert.notEqual(reason.kind, 'failed', `the feed failed${this.story}`);
        if (feed !== this.feed) return;
        this.#note('closed', reason.kind);
        this.feed = undefined;
      },
    });
    this.feed = feed;
    this.#note('open', wanted.join(), this.cursor);
    const after = this.cursor === undefined ? {} : { after: this.cursor };
    const calls =
      first || this.polls || this.#random.chance(0.6) ? [wanted] : wanted.map((filter) => [filter]);
    const together = this.#random.chance(0.5);
    this.#calls = together ? 1 : calls.length;
    const inTurn = async () => {
      for (const call of calls) await feed.add(call, after);
    };
    const adding = together ? Promise.all(calls.map((call) => feed.add(call, after))) : inTurn();
    const added = await this.#world.during(adding);
    if (!added) this.leave();
    else if (first) {
      this.cursor = feed.cursor;
      for (const filter of wanted) this.owed.set(filter, parseCursor(this.cursor));
    }
  }

  /** It publishes first, and begins behind that: a place that has a position in one shard alone. */
  async #beginBehindOne(): Promise<void> {
    this.cursor = await this.#world.publish();
    this.#start = this.#world.heads();
    for (const filter of this.#pickFilters()) this.owed.set(filter, this.#start);
  }

  #owedBehind(cursor: Cursor): Place {
    const place = parseCursor(cursor);
    const positions = place.positions.map((position, shard) => position ?? this.#start?.positions[shard]);
    return { ...place, positions };
  }

  /** One more filter, from now on or from where the client stands. */
  async widen(): Promise<void> {
    const [filter] = filters.filter((one) => !this.owed.has(one)).slice(this.#random.below(3));
    const { feed, cursor } = this;
    if (feed === undefined || cursor === undefined || filter === undefined) return;
    const back = this.#random.chance(0.5);
    if (back) this.#ordered = false; // what it brings of the past may be older than what others brought
    this.#note('widen', filter, back ? cursor : 'now');
    const added = await this.#world.during(feed.add([filter], back ? { after: cursor } : {}));
    if (added) this.owed.set(filter, back ? this.#owedBehind(cursor) : this.#world.heads());
  }

  take(feed: Feed, count: number): number {
    const items = feed.take(count, 1_000_000);
    for (const item of items) this.#see(item);
    if (this.#random.chance(0.1)) this.cursor = feed.cursor;
    this.#note('cursor', this.cursor);
    return items.length;
  }

  /** Takes what there is at the end; a poll leaves with what it got, and remembers how far that was. */
  settle(): void {
    const { feed } = this;
    if (feed === undefined) return;
    let taken = this.take(feed, 3);
    if (this.polls && (taken > 0 || feed.live)) {
      if (taken === 0) this.cursor = feed.cursor;
      this.leave();
    } else while (taken > 0 && this.feed !== undefined) taken = this.take(feed, 3);
  }

  leave(): void {
    this.#note('leave');
    this.feed?.close();
    this.feed = undefined;
  }

  #see(item: Item<Delivery>): void {
    this.#world.seen++;
    assert.equal(item.kind, 'publication', 'nothing expired, so there is no gap');
    if (item.kind !== 'publication') return;
    const { publication, cursor, filters: matched } = item.value;
    this.#note('see', name(publication), matched.join(), cursor);
    assert.ok(matched.length > 0 && matched.every((filter) => matches(filter, publication.topic)));
    const { log, orderly, silent, unheard } = this.#world;
    // A filter that comes later goes back for what came late, and brings again what others brought of that time. So does
    // the log around a change of leader, where it came while the log was asked.
    const mayRepeat = unheard || (silent && log.leaderSince !== undefined);
    if (!mayRepeat && (!silent || (this.#ordered && this.#calls === 1)))
      assert.ok(!this.#given.has(publication.id), `${name(publication)} came twice${this.story}`);
    const newest = this.#newest.get(publication.topic) ?? 0;
    // Around a change of leader a filter that is read from the log goes back behind one that is given from memory, and
    // what nobody knew to be lost when its bearer came back is found later.
    const mayGoBack = (this.#calls > 1 && log.leaderSince !== undefined) || (orderly && silent) || unheard;
    if (this.#ordered && !mayGoBack)
      assert.ok(publication.sequence > newest, `${name(publication)} came late${this.story}`);
    this.#given.add(publication.id);
    this.#newest.set(publication.topic, publication.sequence);
    this.seen.add(publication.id);
    this.cursor = cursor;
  }

  /** What was stored behind the places of its filters and never came. */
  missing(): Publication[] {
    const owed = this.#world.log.shards.flatMap(({ entries }, shard) =>
      entries
        .map(({ publication }) => publication)
        .filter(({ topic, sequence }) =>
          [...this.owed].some(
            ([filter, place]) => matches(filter, topic) && sequence > (place.positions[shard] ?? 0),
          ),
        ),
    );
    const last = new Map(owed.map((publication) => [publication.topic, publication]));
    const due = this.overflow === 'latest' ? [...last.values()] : owed;
    return due.filter(({ id }) => !this.seen.has(id));
  }

  #note(...what: unknown[]): void {
    this.#history.push(`${this.#world.clock.now() % 1_000_000} ${what.join(' ')}`);
  }

  get story(): string {
    return `\n${this.overflow}\n${this.#history.slice(-60).join('\n')}`;
  }
}

const name = ({ topic, shard, sequence, id }: Publication): string =>
  `${topic} ${shard}:${sequence} id ${id}`;

interface Edge {
  readonly backbone: MemoryBackbone;
  readonly hubs: Hubs;
  away: boolean;
}

class World {
  readonly random: Random;
  readonly clock = new SimulatedClock();
  readonly edges: Edge[] = [];
  readonly clients: Client[] = [];
  /** Items that anybody took. */
  seen = 0;
  /** Nothing is doubled or overtaken. */
  readonly orderly: boolean;
  /** What is lost does not announce itself; then there is one edge, for no other would know. */
  readonly silent: boolean;
  /** An edge heard late of a change of leader. */
  unheard = false;
  #settling = false;
  #ids = 0;

  constructor(random: Random, orderly: boolean, edges: number) {
    this.random = random;
    this.orderly = orderly;
    this.silent = edges === 1;
    const shards = 1 + random.below(3);
    for (let i = 0; i < edges; i++) this.#addEdge(shards);
  }

  #addEdge(shards: number): void {
    const { random, clock } = this;
    const delay = 1 + random.below(5);
    const known = this.edges[0]?.backbone.log;
    const network = () => (this.orderly ? (edge.away ? [] : [delay]) : this.#fate());
    const backbone = createMemoryBackbone({
      clock,
      shards,
      ...(known !== undefined && { log: known }),
      network,
      latency: () => random.below(8),
      follower: { auditMs, heldMessages: 1 + random.below(8), retryMs: 20 },
    });
    const hubs = createHubs(backbone, {
      clock,
      ringCount: 1 + random.below(20),
      pageCount: 1 + random.below(6),
      replays: 1 + random.below(3),
      pageLingerMs: random.below(60),
      keptBytes: random.below(2_000),
      retryMs: 20,
      interestLingerMs: this.silent ? foundMs : random.below(60),
      replacedLingerMs: this.silent ? foundMs : 1 + random.below(60),
      idleMs: this.silent ? 2 * foundMs : random.below(200),
    });
    const edge: Edge = { backbone, hubs, away: false };
    this.edges.push(edge);
  }

  /** A network that loses, doubles and overtakes without telling. */
  #fate(): number[] {
    if (this.#settling) return [1];
    const delays = [];
    if (!this.random.chance(0.1)) delays.push(this.random.below(40));
    if (this.random.chance(0.1)) delays.push(this.random.below(60));
    return delays;
  }

  get log(): MemoryBackbone['log'] {
    return (this.edges[0] as Edge).backbone.log;
  }

  hub() {
    return this.random.pick(this.edges).hubs.of(defaultNamespace);
  }

  heads(): Place {
    return { generation: this.log.generation, positions: this.log.heads().sequences, time: 0 };
  }

  /** Lets things happen until a promise settles; whether it was kept. */
  async during(promise: Promise<unknown>): Promise<boolean> {
    let kept: boolean | undefined;
    promise.then(
      () => {
        kept = true;
      },
      () => {
        kept = false;
      },
    );
    const end = this.clock.now() + 10_000;
    while (kept === undefined) {
      assert.ok(this.clock.now() < end, 'an add neither resolves nor fails');
      if (!this.#settling && this.random.chance(0.3)) await this.publish();
      await this.clock.advance(1 + this.random.below(5));
    }
    return kept;
  }

  async publish(): Promise<Cursor> {
    const topic = this.random.pick(topics);
    const bus = (this.edges[0] as Edge).backbone.bus(defaultNamespace);
    const [stored] = await bus.publish([draft(topic, String(++this.#ids))]);
    assert.ok(stored !== undefined && !(stored instanceof PushfleetError));
    return stored.cursor;
  }

  async outage(): Promise<void> {
    const edge = this.random.pick(this.edges);
    edge.away = true;
    if (!(this.silent && this.orderly)) edge.backbone.source.cut(new PushfleetError('unavailable', 'away'));
    for (let i = this.random.below(4); i > 0; i--) await this.publish();
    await this.clock.advance(this.random.below(100));
    edge.away = false;
    edge.backbone.source.restore();
    if (this.orderly && this.random.chance(0.5)) this.log.leaderSince = this.clock.now();
  }

  /** What an edge was not given when the log's leader died, it misses without knowing until it hears of the new one. */
  async changeOfLeader(): Promise<void> {
    const edge = this.random.pick(this.edges);
    this.unheard = true;
    edge.away = true;
    for (let i = this.random.below(3); i > 0; i--) await this.publish();
    this.log.leaderSince = this.clock.now();
    for (const other of this.edges) if (other !== edge) other.backbone.source.hearOfLeaders();
    for (let i = this.random.below(3); i > 0; i--) await this.publish();
    edge.away = false;
    this.clock.after(this.random.below(1_000), () => edge.backbone.source.hearOfLeaders());
    for (let i = this.random.below(8); i > 0; i--) {
      await this.publish();
      await this.clock.advance(this.random.below(20));
      if (this.random.chance(0.5)) this.#someoneTakes();
      else await this.#someoneMoves();
    }
  }

  async step(): Promise<void> {
    const { random } = this;
    const dice = random.next();
    if (dice < 0.5) for (let i = random.below(4); i >= 0; i--) await this.publish();
    else if (dice < 0.75) this.#someoneTakes();
    else if (dice < 0.88) await this.#someoneMoves();
    else if (dice < 0.9) await this.outage();
    else if (dice < 0.92 && this.orderly && !this.silent) await this.changeOfLeader();
    else await this.clock.advance(random.below(100));
    if (random.chance(0.5)) await this.clock.advance(random.below(10));
  }

  #someoneTakes(): void {
    if (this.clients.length === 0) return;
    const client = this.random.pick(this.clients);
    if (client.feed !== undefined) client.take(client.feed, 1 + this.random.below(5));
  }

  async #someoneMoves(): Promise<void> {
    if (this.clients.length < 4) this.clients.push(new Client(this));
    const client = this.random.pick(this.clients);
    if (client.feed === undefined) await client.open(!this.orderly && client.overflow !== 'rewind');
    else if (this.random.chance(0.3)) await client.widen();
    else if (this.orderly) client.leave();
  }

  /** Everybody comes back and takes until nothing comes any more. */
  async settle(): Promise<void> {
    this.#settling = true;
    await this.clock.advance(4_000);
    const end = this.clock.now() + 60_000;
    for (let quiet = 0; quiet < 8; quiet++) {
      const before = this.seen;
      for (const client of this.clients) {
        if (client.feed === undefined) await client.open(false);
        client.settle();
      }
      await this.clock.advance(25);
      if (this.seen > before) quiet = 0;
      assert.ok(this.clock.now() < end, 'it never comes to rest');
    }
  }

  assertWhole(): void {
    for (const client of this.clients) {
      const missing = client.missing().map(name);
      assert.ok(missing.length === 0, `missing ${missing.join('; ')}${client.story}`);
    }
  }
}

async function run(random: Random, orderly: boolean, edges: number): Promise<void> {
  const world = new World(random, orderly, edges);
  for (let i = 0; i < 50; i++) await world.step();
  await world.settle();
  world.assertWhole();
}

test('over all its feeds, on any edge, a client sees everything from its first cursor on, once per feed, in order', async () => {
  await forSeeds(300, (random) => run(random, true, 2));
});

test('a network that loses, doubles and overtakes without telling: who stays sees everything', async () => {
  await forSeeds(300, (random) => run(random, false, 1));
});

test('an edge that loses without telling: who leaves and comes back to it sees everything', async () => {
  await forSeeds(150, (random) => run(random, true, 1));
});
