import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsServer } from '@pushfleet/contract';
import { until } from '@pushfleet/contract';
import type { Random } from '@pushfleet/contract/simulation';
import type { Weather } from '../door.ts';
import { faults, leaderOf } from '../faults.ts';
import type { Fleet } from '../fleet.ts';
import { type Pair, pairs, type Wiring } from '../wiring.ts';
import type { SmallDisk } from './small-disks.ts';

/** What a fault is given. */
export interface Scene<S = Fleet> {
  readonly fleet: S;
  /** Its times and choices: the same for the same seed. */
  readonly random: Random;
  /** The disks of the nats-servers, in a fleet that has small ones. */
  readonly disks: readonly SmallDisk[];
  /** Says that recovery begins; at the end of the fault unless it is called. */
  over(): void;
}

/**
 * Each kind of fleet that faults are played on: of processes the usual one, one with Redis behind Sentinel and one with small
 * disks; one of containers.
 */
export type Kind = 'usual' | 'sentinel' | 'disks' | 'containers';

/** How much goes on while something goes wrong; publishing lasts until it is made good. */
export interface Load {
  readonly publications: number;
  readonly publishers: number;
  readonly clients: number;
  /** Publications a second of all publishers together. */
  readonly rate: number;
}

/** @typeParam S what it is played on: a fleet of processes, or one of containers */
export interface FaultCase<S = Fleet> {
  readonly kind: Kind;
  /** The part, or the two parts that it is between. */
  readonly where: string;
  readonly what: string;
  /** What differs from the load of other faults. */
  readonly load?: Partial<Load>;
  /** Leaves a whole fleet behind. */
  play(scene: Scene<S>): Promise<void>;
}

const between = (random: Random, from: number, to: number): number => from + random.below(to - from + 1);

/**
 * Longer than whatever waits for an answer: two pings of a connection to NATS take 15 s, slots of workers and leases
 * of instances less.
 */
const silenceMs = [16_000, 18_000] as const;

/** Recovery begins with the kill: nothing comes back by itself, and what starts it again belongs to the recovery. */
const killed =
  (play: (fleet: Fleet) => Promise<void>): FaultCase['play'] =>
  async ({ fleet, over }) => {
    over();
    await play(fleet);
  };

/** Stops processes without a word, and lets them go on when everybody has given them up. */
const frozen =
  (pidsOf: (fleet: Fleet) => readonly number[] | Promise<readonly number[]>): FaultCase['play'] =>
  async ({ fleet, random }) => {
    const pids = await pidsOf(fleet);
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    await sleep(between(random, ...silenceMs));
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  };

const oldest = (instances: readonly { readonly pid: number }[]): number => {
  const [first] = instances;
  if (first === undefined) throw new Error('no instance lives that could be stopped');
  return first.pid;
};

async function leadingServer(fleet: Fleet): Promise<NatsServer> {
  const leader = await leaderOf(fleet);
  return fleet.nats.servers.find(({ name }) => name === leader) as NatsServer;
}

const oneEdgeOfEach = (fleet: Fleet): number[] => fleet.protocols.map((name) => oldest(fleet.edgesOf(name)));

const ofProcesses: readonly (readonly [where: string, what: string, play: FaultCase['play']])[] = [
  ['edge', 'kill -9, one of each kind', killed(faults['kill -9 of an edge'])],
  ['publish', 'kill -9', killed(faults['kill -9 of a publish service'])],
  ['publish', 'kill -9 behind a NATS that is silent', killUnstored],
  ['worker', 'kill -9', killed(faults['kill -9 of a worker'])],
  ['registry', 'kill -9', killed(faults['kill -9 of the registry'])],
  ['NATS', "kill -9 of a leader's server", killed(faults["kill -9 of a stream leader's server"])],
  ['NATS', 'a leader steps down', killed(faults['graceful step-down of a stream leader'])],
  ['NATS', 'kill -9 of all servers', killed(killAllServers)],
  ['Redis', 'kill -9', killed(killRedis)],
  ['Redis', 'restarted and emptied', killed(faults['Redis restarted and emptied'])],
  ['edge', 'SIGSTOP, one of each kind', frozen(oneEdgeOfEach)],
  ['publish', 'SIGSTOP', frozen(({ publishers }) => [oldest(publishers)])],
  ['worker', 'SIGSTOP', frozen(({ workers }) => [oldest(workers)])],
  ['registry', 'SIGSTOP', frozen(({ registry }) => [registry.pid])],
  ['NATS', "SIGSTOP of a leader's server", frozen(async (fleet) => [(await leadingServer(fleet)).pid])],
  ['Redis', 'SIGSTOP', frozen(({ redis }) => [redis.pid])],
  ['every service', 'restarted, one instance after the other', ({ fleet }) => restartServices(fleet)],
  ['NATS', 'restarted, one server after the other', ({ fleet }) => restartServers(fleet.nats.servers)],
];

/** Otherwise hardly a draft is under way at the kill, and one that is acknowledged before it is stored is not missed. */
async function killUnstored({ fleet, over }: Scene): Promise<void> {
  const pids = fleet.nats.servers.map(({ pid }) => pid);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  try {
    await sleep(2_000);
    await fleet.end(fleet.publishers, 'SIGKILL');
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  }
  over();
  await fleet.startPublisher();
}

async function killAllServers({ nats }: Fleet): Promise<void> {
  await Promise.all(nats.servers.map((server) => server.kill('SIGKILL')));
  await Promise.all(nats.servers.map((server) => server.restart()));
}

async function killRedis({ redis }: Fleet): Promise<void> {
  await redis.kill('SIGKILL');
  await redis.restart();
}

async function restartServices(fleet: Fleet): Promise<void> {
  for (const _ of fleet.edges) await faults['SIGTERM of an edge'](fleet);
  for (const _ of fleet.publishers) await faults['SIGTERM of a publish service'](fleet);
  for (const _ of fleet.workers) await faults['SIGTERM of a worker'](fleet);
  await fleet.restartRegistry('SIGTERM');
}

async function restartServers(servers: readonly NatsServer[]): Promise<void> {
  for (const server of servers) await server.restart();
}

/** What the network between two parts does, and for how long. */
type Disturbance = readonly [what: string, weather: Weather, ms: readonly [number, number]];
const ofNetwork: readonly Disturbance[] = [
  ['silent', { silent: true }, silenceMs],
  ['reset', { reset: true }, [3_000, 4_000]],
  ['200 ms each way', { delayMs: 200 }, [5_000, 7_000]],
];
/** A narrow way matters where much passes. */
const narrow: Disturbance = ['16 kB/s each way', { bytesPerSecond: 16_000 }, [5_000, 7_000]];
const busy: readonly Pair[] = ['client–edge', 'publisher–publish', 'edge–NATS', 'NATS–NATS'];
/** Publish waits for what it has sent, and then refuses: whoever sends again has to find its order kept. */
const refusing: Disturbance = ['silent until publish refuses', { silent: true }, [22_000, 26_000]];

const disturbancesOf = (pair: Pair): readonly Disturbance[] => [
  ...ofNetwork,
  ...(busy.includes(pair) ? [narrow] : []),
  ...(pair === 'publish–NATS' ? [refusing] : []),
];

const disturbed =
  (pair: Pair, weather: Weather, ms: readonly [number, number]): FaultCase['play'] =>
  async ({ fleet, random }) => {
    const wiring = fleet.wiring as Wiring;
    // Of servers one is disturbed: what leads to and from the leader of a shard.
    const server = pair === 'NATS–NATS' ? fleet.nats.servers.indexOf(await leadingServer(fleet)) : undefined;
    if (wiring.of(pair, server).every(({ passages }) => passages === 0))
      throw new Error(`nothing leads from one to the other of ${pair}`);
    wiring.set(pair, weather, server);
    await sleep(between(random, ...ms));
    wiring.set(pair, {}, server);
  };

/** The disk is full until JetStream has seen it, and some seconds more; then who runs it makes room. */
const full =
  (which: (scene: Scene) => Promise<readonly number[]>): FaultCase['play'] =>
  async (scene) => {
    const indexes = await which(scene);
    const { fleet, random } = scene;
    const disks = indexes.map((index) => scene.disks[index] as SmallDisk);
    const servers = indexes.map((index) => fleet.nats.servers[index] as NatsServer);
    await Promise.all(disks.map((disk) => disk.fill()));
    for (const server of servers) await until(() => gaveUp(server), `${server.name} to see it`);
    await sleep(between(random, 5_000, 8_000));
    await Promise.all(disks.map((disk) => disk.free()));
    scene.over();
    // A server that could not write has given JetStream up until it is started again; one alone waits for the others.
    await Promise.all(servers.map((server) => server.restart()));
  };

const gaveUp = async ({ monitorUrl }: NatsServer): Promise<boolean> =>
  !(await fetch(`${monitorUrl}/healthz`)).ok;

const leadersDisk = async ({ fleet }: Scene) => [fleet.nats.servers.indexOf(await leadingServer(fleet))];
const allDisks = async ({ disks }: Scene) => disks.map((_, index) => index);

/** Until Sentinel has made another one the primary; then the first is there again. */
const failedOver =
  (away: (pid: number) => void, back: (server: Fleet['redis']) => Promise<void>): FaultCase['play'] =>
  async ({ fleet: { sentinel }, over }) => {
    if (sentinel === undefined) throw new Error('this fleet has no Sentinel');
    const before = await sentinel.primary();
    over();
    away(before.pid);
    await until(async () => (await sentinel.primary()) !== before, 'another primary');
    await back(before);
  };

export const cases: readonly FaultCase[] = [
  ...ofProcesses.map(([where, what, play]) => ({ kind: 'usual', where, what, play }) as const),
  ...pairs.flatMap((where) =>
    disturbancesOf(where).map(
      ([what, weather, ms]) => ({ kind: 'usual', where, what, play: disturbed(where, weather, ms) }) as const,
    ),
  ),
  {
    kind: 'disks',
    where: 'JetStream',
    what: "the disk of a leader's server is full",
    play: full(leadersDisk),
  },
  { kind: 'disks', where: 'JetStream', what: 'the disks of all servers are full', play: full(allDisks) },
  {
    ...{ kind: 'sentinel', where: 'Redis', what: 'the primary is killed, its replica takes over' },
    play: failedOver(
      (pid) => process.kill(pid, 'SIGKILL'),
      (server) => server.restart(),
    ),
  },
  {
    ...{
      kind: 'sentinel',
      where: 'Redis',
      what: 'the primary stops, its replica takes over, and it goes on',
    },
    play: failedOver(
      (pid) => process.kill(pid, 'SIGSTOP'),
      async ({ pid }) => void process.kill(pid, 'SIGCONT'),
    ),
  },
];
