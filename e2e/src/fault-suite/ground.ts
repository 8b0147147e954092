import { Door } from '../door.ts';
import { settled } from '../faults.ts';
import { Fleet, type FleetOptions, token } from '../fleet.ts';
import { cluster } from '../under-faults.ts';
import { Receivers } from '../webhook-receivers.ts';
import { HookManager, webhookEnv } from '../webhooks.ts';
import type { Kind } from './cases.ts';
import type { HookSite } from './hook-client.ts';
import { SmallDisk } from './small-disks.ts';

/** Holds what a fleet stores while the faults of disks are played, three times over. */
const diskBytes = 256 * 1024 ** 2;

/** Lets nothing happen to clients and deliveries but what a fault does. */
export const calm: Readonly<Record<string, string>> = {
  // Otherwise Comet's clients come back now and then without a fault.
  PUSHFLEET_EDGE_LONGPOLL_RESPONSE_BYTES: '1GiB',
  // No delivery is given up within a fault, and none waits much longer than the fault lasts.
  PUSHFLEET_WEBHOOK_RETRY: ['1s', '2s', ...Array.from({ length: 48 }, () => '3s')].join(','),
  PUSHFLEET_WEBHOOK_TIMEOUT: '5',
  PUSHFLEET_WEBHOOK_BREAKER_SECONDS: '1',
};

const usual: FleetOptions = {
  ...cluster,
  workers: 2,
  wired: true,
  env: { ...cluster.env, ...webhookEnv, ...calm },
};
const small: FleetOptions = { ...usual, wired: false, edges: 1, publishers: 1 };

/** What faults are played on: a fleet, with endpoints for its webhooks. */
export interface Ground<S> extends HookSite {
  readonly fleet: S;
  readonly disks: readonly SmallDisk[];
  /** Resolves once nothing that an earlier fault has left behind would be counted with the next. */
  settled(): Promise<void>;
  /** What the services said. */
  logs(): Promise<string>;
  close(): Promise<void>;
}

/** A ground of processes. */
export class Playground implements Ground<Fleet> {
  readonly fleet: Fleet;
  readonly receivers: Receivers;
  readonly manager: HookManager;
  readonly disks: readonly SmallDisk[];
  readonly #door: Door;

  private constructor(
    { fleet, receivers, disks }: Pick<Playground, 'fleet' | 'receivers' | 'disks'>,
    door: Door,
    owner: string,
  ) {
    this.fleet = fleet;
    this.receivers = receivers;
    this.disks = disks;
    this.#door = door;
    this.manager = new HookManager(fleet, owner);
  }

  /** @throws NotHere where this machine cannot have such a fleet */
  static async open(kind: Kind): Promise<Playground> {
    const disks = kind === 'disks' ? await smallDisks() : [];
    const fleet = await Fleet.start(
      kind === 'usual'
        ? usual
        : kind === 'sentinel'
          ? { ...small, natsServers: 1, shards: 1, sentinel: true }
          : { ...small, natsFolders: disks.map(({ folder }) => folder) },
    ).catch(async (error) => {
      await Promise.all(disks.map((disk) => disk.unmount()));
      throw error;
    });
    const receivers = await Receivers.open();
    const door = await Door.open(() => [receivers.address]);
    fleet.wiring?.name('worker–endpoint', [door]);
    const owner = await token({ sub: 'owner', subscribe: ['#'], manage: true });
    return new Playground({ fleet, receivers, disks }, door, owner);
  }

  get address(): string {
    return this.#door.address;
  }

  settled(): Promise<void> {
    return settled(this.fleet);
  }

  async logs(): Promise<string> {
    return this.fleet.logs();
  }

  async close(): Promise<void> {
    this.#door.close();
    this.receivers.close();
    await this.fleet.stop();
    await Promise.all(this.disks.map((disk) => disk.unmount()));
  }
}

/** Why a kind of fleet cannot be had here. */
export class NotHere extends Error {}

async function smallDisks(): Promise<SmallDisk[]> {
  const disks: SmallDisk[] = [];
  try {
    for (let i = 0; i < 3; i++) disks.push(await SmallDisk.mount(diskBytes));
  } catch (cause) {
    await Promise.all(disks.map((disk) => disk.unmount()));
    throw new NotHere('a file system of its own takes root', { cause });
  }
  return disks;
}
