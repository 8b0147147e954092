import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Random } from '@pushfleet/contract/simulation';
import type { MemoryStore } from './memory-store.ts';
import { Stage } from './testing.ts';
import { Publisher, type SimulatedClient, SlowStore, Subscriber } from './testing-simulation.ts';

// A publisher and a subscriber with sessions that are kept, connections that lose what is on its way, and a session
// store that takes its time. PUSHFLEET_SEED=… replays one run.
const seeds = process.env.PUSHFLEET_SEED === undefined ? 120 : 1;
const firstSeed = Number(process.env.PUSHFLEET_SEED ?? 1);
const steps = 300;

/** Texts by what they were sent as, in the order of their first coming. */
const firsts = (texts: readonly string[], kind: string): number[] => [
  ...new Set(texts.filter((text) => text.startsWith(`${kind} `)).map((text) => Number(text.split(' ')[2]))),
];

const ascending = (numbers: readonly number[]): boolean =>
  numbers.every((number, i) => i === 0 || number > (numbers[i - 1] as number));

async function step(
  random: Random,
  stage: Stage,
  publisher: Publisher,
  client: SimulatedClient,
): Promise<void> {
  const what = random.next();
  if (what < 0.3) publisher.publish(random);
  else if (what < 0.75) client.carry(random.below(4));
  else if (what < 0.8) await stage.clock.advance(random.below(50));
  else if (what < 0.9) await stage.settle(random.below(10));
  else if (what < 0.93) {
    const { promise, resolve } = Promise.withResolvers<void>();
    stage.stalled = promise;
    stage.clock.after(random.below(80), resolve);
  } else if (what < 0.96) client.lose();
  else if (what < 0.965) stage.backbone.log.leaderSince = stage.clock.now();
  else await client.connect();
}

/** Without losses, until everything has come that is still to come. */
async function finish(stage: Stage, clients: readonly SimulatedClient[]): Promise<void> {
  for (const client of clients) await client.connect();
  for (let quiet = 0; quiet < 5; ) {
    await stage.settle(200);
    const carried = clients.map((client) => client.carry(1_000));
    quiet = carried.some((count) => count > 0) ? 0 : quiet + 1;
  }
}

function stageOf(random: Random): Stage {
  const stage = new Stage({
    server: { inflight: 1 + random.below(8), receiveMaximum: 1 + random.below(8), expiryMost: 100_000 },
    outbox: { count: 1 + random.below(10), bytes: 100_000 },
  });
  if (random.chance(0.7)) stage.store = new SlowStore(stage.store as MemoryStore, stage.clock, random);
  return stage;
}

async function run(seed: number): Promise<void> {
  const random = new Random(seed);
  const stage = stageOf(random);
  const version = random.chance(0.5) ? 5 : 4;
  const publisher = new Publisher(stage, version, stage.server.receiveMaximum);
  const subscriber = new Subscriber(stage, version, 1 + random.below(5));
  const clients = [publisher, subscriber];
  await publisher.connect();
  await subscriber.subscribe(['two/#:2', 'one/#:1']);
  for (let i = 0; i < steps; i++) await step(random, stage, publisher, random.pick(clients));
  await finish(stage, clients);
  assert.deepEqual(stage.errors, []);
  assert.deepEqual(publisher.unfinished, 0, 'something of the publisher is not acknowledged');
  check(publisher.acknowledged, subscriber.texts);
}

function check(acknowledged: readonly string[], texts: readonly string[]): void {
  const came = new Map<string, number>();
  for (const text of texts) came.set(text, (came.get(text) ?? 0) + 1);
  for (const text of acknowledged) assert.ok(came.has(text), `${text} was acknowledged and did not come`);
  for (const [text, count] of came) {
    const exact = text.startsWith('two 2 ') || /^\w+ 0 /.test(text);
    if (exact) assert.equal(count, 1, `${text} came ${count} times`);
  }
  for (const topic of ['one', 'two']) {
    for (const qos of [1, 2]) {
      const order = firsts(texts, `${topic} ${qos}`);
      assert.ok(ascending(order), `${topic} of QoS ${qos} came as ${order.join(' ')}`);
    }
  }
}

const shared = ['$share/g/two/#:2', '$share/g/one/#:1'];

/** Members of shared subscriptions, of whose sessions all but the first may end at any time. */
async function runShared(seed: number): Promise<void> {
  const random = new Random(seed);
  const stage = stageOf(random);
  const endings = random.chance(0.5) ? 0.01 : 0;
  const publisher = new Publisher(stage, 5, stage.server.receiveMaximum);
  await publisher.connect();
  const [first, ...others] = [0, 1, 2].map(
    (i) => new Subscriber(stage, random.pick([4, 5]), 1 + random.below(5), `member ${i}`),
  ) as [Subscriber, ...Subscriber[]];
  const members = [first, ...others];
  for (const member of members) await member.subscribe(shared);
  for (let i = 0; i < steps; i++) {
    if (random.chance(endings)) await random.pick(others).subscribe(shared);
    await step(random, stage, publisher, random.pick([publisher, ...members]));
  }
  await finish(stage, [publisher, ...members]);
  assert.deepEqual(stage.errors, []);
  assert.deepEqual(publisher.unfinished, 0, 'something of the publisher is not acknowledged');
  checkShared(
    publisher.acknowledged,
    members.flatMap(({ texts }) => texts),
    endings > 0,
  );
}

function checkShared(acknowledged: readonly string[], texts: readonly string[], endings: boolean): void {
  const came = new Set(texts);
  for (const text of acknowledged) {
    // [MQTT-4.8.2-5]: what a session was sent with QoS 2 ends with it.
    const mayEnd = endings && text.startsWith('two 2 ');
    assert.ok(mayEnd || came.has(text), `${text} was acknowledged and did not come`);
  }
  const once = texts.filter((text) => text.startsWith('two 2 ') || /^\w+ 0 /.test(text));
  assert.equal(new Set(once).size, once.length, 'something came to more than one');
}

async function forEachSeed(go: (seed: number) => Promise<void>): Promise<void> {
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    try {
      await go(seed);
    } catch (error) {
      throw new Error(`PUSHFLEET_SEED=${seed} replays it`, { cause: error });
    }
  }
}

suite('whatever is lost on the way', () => {
  test('QoS 2 comes once, QoS 1 at least once, and both in order', { timeout: 240_000 }, () =>
    forEachSeed(run),
  );

  test('and to one of those who share a subscription', { timeout: 240_000 }, () => forEachSeed(runShared));
});
