import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Random } from '@pushfleet/contract/simulation';
import { defaultNamespace } from '@pushfleet/core';
import { type Crash, Fleet, noFaults, type Pod } from './testing-fleet.ts';
import { StrictClient } from './testing-strict.ts';

// Sessions of QoS 1 and 2 in the registry, on two and three pods that are killed. PUSHFLEET_SEED=… replays one run,
// PUSHFLEET_SEEDS says how many there are.
const only = process.env.PUSHFLEET_SEED;
const seeds = Number(process.env.PUSHFLEET_SEEDS ?? 150);

interface World {
  readonly random: Random;
  readonly fleet: Fleet;
  readonly clients: readonly StrictClient[];
}

const topics = ['t/one', 't/two'];
/** Subscriptions, and the topics of them whose publications come once. */
const subscriptions = [
  { filters: ['t/two:2', 't/one:1'], exact: ['t/two'] },
  { filters: ['t/#:2'], exact: topics },
  { filters: ['t/+:1', 't/two/#:2'], exact: ['t/two'] },
] as const;

function worldOf(seed: number, over: { readonly crash?: Crash; readonly faulty: boolean }): World {
  const random = new Random(seed);
  const fleet = new Fleet({
    ...{ random, pods: 2 + random.below(2) },
    faults: over.faulty
      ? { delay: 1 + random.below(30), lost: random.pick([0, 0, 0.03]), late: random.pick([0, 0, 0.01]) }
      : noFaults,
    ...(over.crash && { crash: over.crash }),
    server: { inflight: 1 + random.below(8), receiveMaximum: 16, expiryMost: 200_000 },
    outbox: { count: 1 + random.below(10), bytes: 100_000 },
  });
  const clients = [0, 1].map(
    (i) =>
      new StrictClient({
        ...{ name: `client${i}`, version: random.pick([4, 5]), topics },
        ...random.pick(subscriptions),
        ...{ window: 1 + random.below(6), receiveMaximum: 1 + random.below(5) },
        willDelay: random.pick([0, 0, 1]),
        isBlemished: (name) => fleet.isBlemished(name),
      }),
  );
  return { random, fleet, clients };
}

const turn = async ({ fleet, random }: World, ms: number): Promise<void> => {
  await fleet.clock.advance(random.below(ms) + 1);
};

async function begin(world: World): Promise<void> {
  const { fleet, clients, random } = world;
  for (let round = 0; !clients.every(({ subscribed }) => subscribed); round++) {
    assert.ok(round < 2_000, 'nobody gets in');
    for (const client of clients) {
      if (!client.online && !client.connecting) client.connect(random.pick(fleet.alive), random);
      client.carry(10);
    }
    await turn(world, 20);
  }
}

/** Until the pod has told the registry of all who have left; false where it was killed, or somebody may have come first. */
async function told(world: World, pod: Pod, client: string): Promise<boolean> {
  const { fleet } = world;
  const begun = fleet.clock.now();
  let done = false;
  void pod.stage.store.drain().then(() => {
    done = true;
  });
  while (!done && pod.alive) await turn(world, 20);
  return pod.alive && fleet.acquiredAt(client) < begun - fleet.faults.delay;
}

async function step(world: World, lossy: boolean): Promise<void> {
  const { random, fleet, clients } = world;
  const client = random.pick(clients);
  const what = random.next();
  if (what < 0.3) client.publish(random);
  else if (what < 0.8) client.carry(random.below(5));
  else if (what < 0.84) await turn(world, 100);
  else if (what < 0.87) client.lose();
  else if (what < 0.93) client.connect(random.pick(fleet.alive), random);
  else if (what < 0.935) await client.goodbye((pod) => told(world, pod, client.name));
  else if (what < 0.942) fleet.kill(random.pick(fleet.alive));
  else if (what < 0.945 && lossy) fleet.loseHot();
  // Who resumes is given again what was published shortly before.
  else if (what < 0.955) fleet.backbone.log.leaderSince = fleet.clock.now();
  await turn(world, 8);
}

/** Without faults, until everything has come that is still to come. */
async function finish(world: World): Promise<void> {
  const { fleet, clients, random } = world;
  fleet.faults = noFaults;
  // What is held up arrives, and who waited for it has tried again.
  await fleet.clock.advance(8_000);
  let rounds = 0;
  for (let quiet = 0; quiet < 6; ) {
    assert.ok(++rounds < 3_000, 'it does not come to an end');
    for (const client of clients) {
      if (!client.online && !client.connecting) client.connect(random.pick(fleet.alive), random);
    }
    await fleet.clock.advance(100);
    const carried = clients.map((client) => client.carry(1_000));
    const waiting = clients.some(({ online, unfinished }) => !online || unfinished > 0);
    const busy = waiting || carried.some((count) => count > 0);
    quiet = busy ? 0 : quiet + 1;
  }
  // What a pod owed that was killed is owed no more.
  await fleet.clock.advance(15_000);
}

function check({ fleet, clients }: World): void {
  assert.deepEqual(fleet.errors, []);
  for (const { unfinished, name } of clients) assert.equal(unfinished, 0, `${name} waits for an answer`);
  const blemished = (name: string): boolean => fleet.isBlemished(name);
  const acknowledged = clients.flatMap((client) => client.acknowledged);
  for (const client of clients) checkTexts(client, acknowledged, blemished);
  checkWills(fleet, clients);
}

function checkTexts(
  { name, texts, exact }: StrictClient,
  acknowledged: readonly string[],
  blemished: (name: string) => boolean,
): void {
  const came = new Map<string, number>();
  for (const text of texts) came.set(text, (came.get(text) ?? 0) + 1);
  for (const text of acknowledged)
    assert.ok(came.has(text), `${text} was acknowledged and did not come to ${name}`);
  const numbers = new Map<string, number[]>();
  for (const [text, count] of came) {
    const [topic = '', qos = '', from = '', number] = text.split(' ');
    if (qos === '0') continue;
    const once = qos === '2' && exact.includes(topic) && !blemished(name) && !blemished(from);
    if (once) assert.equal(count, 1, `${text} came ${count} times to ${name}`);
    const group = `${topic} ${qos} ${from}`;
    numbers.set(group, [...(numbers.get(group) ?? []), Number(number)]);
  }
  for (const [group, order] of numbers) {
    const ascending = order.every((number, i) => i === 0 || number > (order[i - 1] as number));
    assert.ok(ascending, `${group} came to ${name} as ${order.join(' ')}`);
  }
}

function checkWills(fleet: Fleet, clients: readonly StrictClient[]): void {
  const published = fleet.stored('will', defaultNamespace);
  for (const client of clients) {
    const last = [...client.wills.keys()].at(-1);
    for (const [will, is] of client.wills) {
      const count = published.filter((one) => one === will).length;
      assert.ok(count <= 1, `the will ${will} came ${count} times`);
      // One that is displaced by a ghost may not have heard of it.
      if (will === last && fleet.ghosts > 0) continue;
      if (will === last) assert.equal(count, 0, `the will ${will} of who is there came`);
      else if (is === 'dropped') assert.equal(count, 0, `the will ${will} came behind a goodbye`);
      else if (is === 'due' && client.willIsAtOnce) assert.equal(count, 1, `the will ${will} did not come`);
    }
  }
}

async function run(seed: number): Promise<void> {
  const world = worldOf(seed, { faulty: true });
  const lossy = seed % 4 === 0;
  await begin(world);
  for (let i = 0; i < 150; i++) await step(world, lossy);
  await finish(world);
  check(world);
}

/** A short life, in which a pod is killed at one write; how many writes there were. */
async function crashing(seed: number, crash: Crash | undefined): Promise<number> {
  const world = worldOf(seed, { faulty: false, ...(crash && { crash }) });
  const { random, clients, fleet } = world;
  await begin(world);
  for (let i = 0; i < 25; i++) {
    for (const client of clients) {
      if (!client.online && !client.connecting) client.connect(random.pick(fleet.alive), random);
      client.publish(random);
      client.carry(random.below(4));
    }
    if (i % 8 === 5) random.pick(clients).connect(random.pick(fleet.alive), random);
    await turn(world, 10);
  }
  const { writes } = fleet;
  await finish(world);
  check(world);
  return writes;
}

async function replayable(seed: number, go: () => Promise<unknown>, what = ''): Promise<void> {
  try {
    await go();
  } catch (error) {
    throw new Error(`seed ${seed}${what} fails; PUSHFLEET_SEED=${seed} replays it`, { cause: error });
  }
}

const given = (count: number): number[] =>
  only === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number(only)];

suite('sessions on pods that are killed, taken over, and cut off from the registry', () => {
  test('QoS 2 comes once, QoS 1 at least once, both in order, and wills once', {
    timeout: 3_600_000,
  }, async () => {
    for (const seed of given(seeds)) await replayable(seed, () => run(seed));
  });

  test('whatever write a pod is killed at', { timeout: 3_600_000 }, async () => {
    for (const seed of given(Math.ceil(seeds / 150))) {
      const writes = await crashing(seed, undefined);
      for (let write = 1; write <= writes; write++) {
        for (const applied of [false, true]) {
          const what = ` with a crash at write ${write}${applied ? ', applied' : ''}`;
          await replayable(seed, () => crashing(seed, { write, applied }), what);
        }
      }
    }
  });
});
