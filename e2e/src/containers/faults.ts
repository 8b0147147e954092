import { until } from '@pushfleet/contract';
import type { FaultCase, Scene } from '../fault-suite/cases.ts';
import { calm, type Ground, NotHere } from '../fault-suite/ground.ts';
import { Receivers } from '../webhook-receivers.ts';
import { HookManager } from '../webhooks.ts';
import { Compose, edges } from './compose.ts';
import { withoutEngine } from './engine.ts';

const patienceMs = 120_000;

/** A ground of containers: the fleet of docker-compose.yml. */
export class ContainerGround implements Ground<Compose> {
  readonly fleet: Compose;
  readonly receivers: Receivers;
  readonly manager: HookManager;
  readonly disks = [];

  private constructor(fleet: Compose, receivers: Receivers, owner: string) {
    this.fleet = fleet;
    this.receivers = receivers;
    this.manager = new HookManager(fleet, owner);
  }

  /** Builds the image and starts a fleet. @throws NotHere where there is no engine */
  static async open(): Promise<ContainerGround> {
    const reason = await withoutEngine();
    if (reason !== undefined) throw new NotHere(reason);
    return ContainerGround.on(await Compose.up(calm));
  }

  /** On a fleet that runs, which `close` ends. */
  static async on(fleet: Compose): Promise<ContainerGround> {
    const receivers = await Receivers.open(await fleet.gateway());
    const owner = await fleet.token({ sub: 'owner', subscribe: ['#'], manage: true });
    return new ContainerGround(fleet, receivers, owner);
  }

  get address(): string {
    return this.receivers.address;
  }

  settled(): Promise<void> {
    return this.fleet.settled();
  }

  logs(): Promise<string> {
    return this.fleet.logs();
  }

  async close(): Promise<void> {
    this.receivers.close();
    await this.fleet.down();
  }
}

type Play = FaultCase<Compose>['play'];

/** All instances of a service; recovery begins with the kill, since what starts it again belongs to it. */
const killed =
  (service: string): Play =>
  async ({ fleet, over }) => {
    over();
    await fleet.compose('kill', service);
    await fleet.startAgain(service);
  };

/** SIGKILL to one instance of each of these services at once. */
export const oneKilled =
  (...services: readonly string[]): Play =>
  async ({ fleet, over }) => {
    over();
    await Promise.all(services.map((service) => fleet.killOne(service)));
    await fleet.startAgain(...services);
  };

/** Whichever Redis is the primary; it is started again once Sentinel has made another one. */
async function primaryKilled({ fleet, over }: Scene<Compose>): Promise<void> {
  const before = await fleet.primary();
  over();
  await fleet.compose('kill', before);
  await until(async () => (await fleet.primary()) !== before, 'Sentinel to make another primary', patienceMs);
  await fleet.startAgain(before);
}

const restarted =
  (...services: readonly string[]): Play =>
  async ({ fleet }) => {
    for (const service of services)
      for (const instance of await fleet.instancesOf(service)) await fleet.restart(instance);
  };

const servers = ['nats-1', 'nats-2', 'nats-3'];
const others = ['publish', 'registry', 'delivery-webhook', 'front'];

/** As many as one process can be, with as much for each as two cores bear that hold everything. */
const crowd = { publications: 400, clients: 500, rate: 20 };

/** So many that the front has given some of each kind to either instance. */
const spread = { clients: 60 };

const listed: readonly Pick<FaultCase<Compose>, 'where' | 'what' | 'load' | 'play'>[] = [
  ...[...servers, ...edges, ...others].map((service) => ({
    where: service,
    what: 'docker compose kill',
    play: killed(service),
  })),
  ...edges
    .filter((edge) => edge !== 'edge-mqtt') // has one instance
    .map((edge) => ({
      where: edge,
      what: 'kill -9 of one instance',
      load: spread,
      play: oneKilled(edge),
    })),
  { where: 'Redis', what: 'docker compose kill of the primary', play: primaryKilled },
  { where: 'Redis', what: 'docker compose kill of the primary, again', play: primaryKilled },
  {
    where: 'every service',
    what: 'restarted, one container after the other, under 500 clients',
    load: crowd,
    play: restarted('registry', ...edges, 'publish', 'delivery-webhook', 'delivery-websub'),
  },
  { where: 'NATS', what: 'restarted, one server after the other', play: restarted(...servers) },
];

export const containerCases: readonly FaultCase<Compose>[] = listed.map((fault) => ({
  ...fault,
  kind: 'containers',
}));
