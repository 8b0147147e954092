import { Door, type Weather } from './door.ts';

/** What stands at one end of a connection that the fleet makes by itself; `worker` is who delivers to receivers. */
export type Part = 'edge' | 'publish' | 'worker' | 'registry';
const parts: readonly Part[] = ['edge', 'publish', 'worker', 'registry'];

/** Two parts that talk to each other over a network, who connects first. Edges hear of each other by NATS alone. */
export const pairs = [
  'client–edge',
  'publisher–publish',
  'edge–NATS',
  'publish–NATS',
  'worker–NATS',
  'registry–NATS',
  'NATS–NATS',
  'registry–Redis',
  'edge–registry',
  'publish–registry',
  'worker–registry',
  'worker–endpoint',
] as const;
export type Pair = (typeof pairs)[number];

const addressOf = (url: string): string => new URL(url).host;

/** Doors between the parts of a fleet, for faults of what lies between them. */
export class Wiring {
  readonly #doors = new Map<Pair, Door[]>();
  readonly #routes: { readonly from: number; readonly to: number; readonly door: Door }[] = [];
  readonly #env = new Map<Part, Record<string, string>>();

  /** What stands between two parts; of NATS–NATS, what leads from and to one server. */
  of(pair: Pair, server?: number): readonly Door[] {
    if (pair !== 'NATS–NATS') return this.#doors.get(pair) ?? [];
    const ofServer = this.#routes.filter(
      ({ from, to }) => server === undefined || from === server || to === server,
    );
    return ofServer.map(({ door }) => door);
  }

  /** The network between two parts is like this from now on. */
  set(pair: Pair, weather: Weather, server?: number): void {
    for (const door of this.of(pair, server)) door.weather = weather;
  }

  /** Puts doors, which somebody else closes, between two parts. */
  name(pair: Pair, doors: readonly Door[]): void {
    this.#doors.set(pair, [...this.of(pair), ...doors]);
  }

  async #between(pair: Pair, address: () => string): Promise<string> {
    const door = await Door.open(() => [address()]);
    this.name(pair, [door]);
    return door.address;
  }

  /** A door before the port by which servers reach a server. @returns its own port */
  readonly route = async (from: number, to: number, port: number): Promise<number> => {
    const door = await Door.open(() => [`127.0.0.1:${port}`]);
    this.#routes.push({ from, to, door });
    return door.port;
  };

  /** Doors before what each part is told to connect to. */
  async wire(o: { readonly natsUrl: string; readonly redisUrl: string; registry(): string }): Promise<void> {
    for (const part of parts) {
      const servers = o.natsUrl.split(',').map((url) => this.#between(`${part}–NATS`, () => addressOf(url)));
      const env: Record<string, string> = {
        PUSHFLEET_NATS_URL: (await Promise.all(servers)).map((address) => `nats://${address}`).join(','),
      };
      if (part === 'registry') {
        const redis = await this.#between('registry–Redis', () => addressOf(o.redisUrl));
        env.PUSHFLEET_REDIS_URL = `redis://${redis}`;
      } else {
        env.PUSHFLEET_REGISTRY_URL = `http://${await this.#between(`${part}–registry`, o.registry)}`;
      }
      this.#env.set(part, env);
    }
  }

  /** What a part is told instead of where the others really are. */
  envOf(part: Part): Readonly<Record<string, string>> {
    return this.#env.get(part) ?? {};
  }

  close(): void {
    for (const door of [...this.#doors.values()].flat()) door.close();
    for (const { door } of this.#routes) door.close();
  }
}
