import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forSeeds, type Random, SimulatedClock } from '@pushfleet/contract/simulation';
import { Client } from './client.ts';
import { matches } from './filter.ts';
import type { TransportName } from './fleet.ts';
import { Ladder } from './ladder.ts';
import { defaultLimits } from './limits.ts';
import type { Message } from './message.ts';
import type { SubscribeOptions, Subscription } from './subscription.ts';
import { type Condition, type Entry, ModelFleet, ModelNetwork } from './testing-fleet.ts';
import { Tokens } from './token.ts';

const names: readonly TransportName[] = ['websocket', 'sse', 'poll'];
const topics = ['a/1', 'a/2', 'b/1', 'b/2', 'c'];
const filters = ['a/#', 'a/1', '+/1', 'b/+', 'c', '#'];

interface Watched {
  readonly subscription: Subscription;
  readonly options: SubscribeOptions;
  readonly received: Message[];
  /** What the log held when it stood, and when it was to be complete from. */
  from: readonly number[] | undefined;
  readonly retained: readonly Entry[];
  ended: boolean;
}

class World {
  readonly clock = new SimulatedClock();
  readonly fleet: ModelFleet;
  readonly network: ModelNetwork;
  readonly client: Client;
  readonly watched: Watched[] = [];
  readonly cursors: string[] = [];
  readonly random: Random;
  readonly ways = new Set<TransportName>();

  constructor(random: Random) {
    this.random = random;
    this.fleet = new ModelFleet(random, this.clock);
    this.network = new ModelNetwork(this.fleet, random, this.clock);
    const order = names.filter((name) => name === 'poll' || random.chance(0.9));
    this.client = new Client({
      clock: this.clock,
      random: () => random.next(),
      transports: Object.fromEntries(order.map((name) => [name, this.network.transport(name)])),
      ladder: new Ladder(order, random.chance(0.3) ? random.pick(names) : undefined, () => {}),
      tokens: new Tokens('token', this.clock),
      limits: defaultLimits,
      post: () => Promise.reject(new Error('nobody publishes here')),
      onWake: () => () => {},
    });
    this.client.on('transport', (name) => name !== undefined && this.ways.add(name));
    this.client.on('error', (error) => assert.ok(error.retryable, error.message));
  }

  subscribe(): void {
    const { random } = this;
    const after = this.cursors.length > 0 && random.chance(0.4) ? random.pick(this.cursors) : undefined;
    const retained = random.chance(0.2);
    const slow = random.chance(0.25);
    const options = {
      ...(after !== undefined && { after }),
      retained,
      ...(slow && { buffer: 1 + random.below(6) }),
    };
    const subscription = this.client.subscribe(random.pick(filters), options);
    const watched: Watched = {
      ...{ subscription, options, received: [], ended: false },
      from: after === undefined ? undefined : placeOf(after),
      retained: retained ? [...this.fleet.retained.values()] : [],
    };
    this.watched.push(watched);
    subscription.ready.then(
      () => {
        watched.from ??= this.fleet.head;
      },
      () => {},
    );
    if (slow) void this.#readSlowly(watched);
    else subscription.on('message', (message) => watched.received.push(message));
  }

  async #readSlowly(watched: Watched): Promise<void> {
    const pace = this.random.below(3_000);
    for await (const message of watched.subscription) {
      watched.received.push(message);
      if (this.#calm) continue;
      await new Promise<void>((resolve) => this.clock.after(this.random.below(pace + 1), resolve));
    }
  }

  #calm = false;

  publish(): void {
    this.fleet.publish(this.random.pick(topics), this.random.chance(0.2));
    if (this.random.chance(0.2)) this.cursors.push(this.fleet.cursor);
  }

  disturb(): void {
    const { random, network } = this;
    const kind = random.below(6);
    if (kind === 0) network.cutSome();
    else if (kind === 1) network.drainSome();
    else if (kind === 2) network.refuse = random.below(4);
    else if (kind === 3) this.client.reconnect();
    else network.set(random.pick(names), random.pick<Condition>(['open', 'blocked', 'hanging', 'buffering']));
  }

  async settle(): Promise<void> {
    for (const name of names) this.network.conditions[name] = 'open';
    this.network.refuse = 0;
    this.#calm = true;
    // Longer than a stall takes to be noticed, and the longest back-off after it.
    await this.clock.advance(240_000);
  }
}

const placeOf = (cursor: string): number[] =>
  (cursor.split('-')[2] ?? '').split('.').map((position) => Number.parseInt(position, 36));

async function play(random: Random): Promise<World> {
  const world = new World(random);
  const { clock } = world;
  for (let i = random.below(10); i > 0; i--) world.publish();
  for (let i = 1 + random.below(3); i > 0; i--) world.subscribe();
  for (let i = 0; i < 150; i++) {
    await clock.advance(random.chance(0.1) ? random.below(20_000) : random.below(200));
    if (random.chance(0.7)) world.publish();
    if (random.chance(0.06)) world.disturb();
    if (random.chance(0.04) && world.watched.length < 8) world.subscribe();
    if (random.chance(0.01)) {
      const one = random.pick(world.watched);
      one.ended = true;
      one.subscription.close();
    }
  }
  await world.settle();
  return world;
}

function check({ fleet, watched, network }: World): void {
  const log = fleet.log.flat();
  const at = new Map(log.map((entry) => [entry.id, entry]));
  for (const { subscription, received, from, options, retained, ended } of watched) {
    const what = `${subscription.filter} ${JSON.stringify(options)}`;
    const ids = received.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, `${what}: nothing comes twice`);
    const last = new Map<string, number>();
    for (const { id, topic, retained: first } of received) {
      assert.ok(matches(subscription.filter, topic));
      if (first) continue; // ahead of what lies behind the cursor
      const { shard, sequence } = at.get(id) as Entry;
      // What was stored before its place may come, since a resume may go back, and is not promised.
      if (sequence <= (from?.[shard] ?? Number.POSITIVE_INFINITY)) continue;
      assert.ok(sequence > (last.get(topic) ?? 0), `${what}: ${topic} comes in order: ${ids}`);
      last.set(topic, sequence);
    }
    if (ended) continue;
    assert.ok(from !== undefined, `${what}: it stands in the end`);
    const owed = log.filter(
      ({ topic, shard, sequence }) =>
        matches(subscription.filter, topic) && sequence > (from[shard] as number),
    );
    const kept = retained.filter(({ topic }) => matches(subscription.filter, topic));
    // A retained one may have been followed by another before it was asked for.
    const missing = owed.filter(({ id }) => !ids.includes(id));
    assert.deepEqual(missing, [], `${what}: nothing is lost of ${owed.length}`);
    for (const { topic, sequence } of kept) {
      const got = received.some(
        ({ id, topic: its }) => its === topic && (at.get(id) as Entry).sequence >= sequence,
      );
      assert.ok(got, `${what}: the retained one of ${topic}`);
    }
  }
  const links = [...network.links].map(
    ({ name, feed }) => `${name} ${feed?.cursor} ${[...(feed?.filters ?? [])]}`,
  );
  assert.ok(links.length <= 1, `all share one connection in the end: ${links.join('; ')}`);
}

test('over any network each subscription is given everything once and in order', async () => {
  const ways = new Set<TransportName>();
  let received = 0;
  await forSeeds(1_000, async (random) => {
    const world = await play(random);
    check(world);
    await world.client.close();
    for (const way of world.ways) ways.add(way);
    received += world.watched.reduce((sum, one) => sum + one.received.length, 0);
  });
  assert.deepEqual(ways, new Set(names));
  assert.ok(received > 0);
});
