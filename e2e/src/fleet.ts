import { migrate } from '@pushfleet/bus';
import {
  type NatsCluster,
  type RedisServer,
  type SentinelRedis,
  type ServiceProcess,
  startNats,
  startRedis,
  startSentinel,
  startService,
} from '@pushfleet/contract';
import { SignJWT } from 'jose';
import { Door } from './door.ts';
import { type Part, Wiring } from './wiring.ts';

const secret = 'a secret for tests alone, thirty-two bytes or more';

/** The services that clients connect to, by the names of their folders. */
const edgeServices = ['edge-sse', 'edge-websocket', 'edge-longpoll', 'edge-mqtt'] as const;
export type EdgeService = (typeof edgeServices)[number];

/** The listener that clients of an edge come to, by its name in the service's log. */
export const listenerOf = (name: EdgeService): 'http' | 'mqtt' => (name === 'edge-mqtt' ? 'mqtt' : 'http');

export const isEdge = (name: string): name is EdgeService => edgeServices.includes(name as EdgeService);

export interface FleetOptions {
  readonly natsServers?: 1 | 3;
  readonly shards?: number;
  /** Instances of each edge. */
  readonly edges?: number;
  /** Which edges; edge-sse alone unless asked for. */
  readonly protocols?: readonly EdgeService[];
  readonly publishers?: number;
  /** Instances of delivery-webhook; none unless asked for. */
  readonly workers?: number;
  /** Instances of delivery-websub; none unless asked for. Their address is the fleet's public one then. */
  readonly hubs?: number;
  /** Doors between all parts, so that what lies between them can be disturbed. */
  readonly wired?: boolean;
  /** Redis with a replica behind Sentinel. */
  readonly sentinel?: boolean;
  /** Where the stores of the nats-servers lie; temporary folders unless they are named. */
  readonly natsFolders?: readonly string[];
  /** More variables for every service. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What a token may do. */
export interface Claims {
  readonly sub?: string;
  readonly ns?: string;
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly manage?: true | readonly string[];
  readonly presence?: readonly string[];
  readonly jti?: string;
  /** As jose reads it: '1h', '5s'. */
  readonly expires?: string;
}

/** A token of the issuer that the fleets of these tests trust. */
export function token(claims: Claims): Promise<string> {
  const { sub = 'tester', ns, jti, expires = '1h', ...grants } = claims;
  return new SignJWT({
    pushfleet: grants,
    ...(ns !== undefined && { ns }),
    ...(jti !== undefined && { jti }),
  })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(sub)
    .setIssuedAt()
    .setExpirationTime(expires)
    .sign(new TextEncoder().encode(secret));
}

/** Real servers and the services as processes, with one address in front of the instances of each. */
export class Fleet {
  readonly nats: NatsCluster;
  readonly redis: RedisServer;
  /** Who says which Redis is the primary, where it was asked for. */
  readonly sentinel: SentinelRedis | undefined;
  /** What lies between the parts, where it was asked for. */
  readonly wiring: Wiring | undefined;
  readonly #edges = new Map<EdgeService, ServiceProcess[]>(edgeServices.map((name) => [name, []]));
  readonly #doors = new Map<EdgeService, Door>();
  readonly publishers: ServiceProcess[] = [];
  readonly workers: ServiceProcess[] = [];
  readonly hubs: ServiceProcess[] = [];
  registry!: ServiceProcess;
  /** host:port of the publish services' HTTP. */
  http!: Door;
  /** host:port of the publish services' gRPC. */
  grpc!: Door;
  /** host:port of the WebSub hubs that were asked for. */
  hub: Door | undefined;
  readonly #env: Record<string, string>;

  private constructor(
    { nats, redis, sentinel, wiring }: Pick<Fleet, 'nats' | 'redis' | 'sentinel' | 'wiring'>,
    env: Readonly<Record<string, string>>,
  ) {
    this.nats = nats;
    this.redis = redis;
    this.sentinel = sentinel;
    this.wiring = wiring;
    this.#env = {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_REDIS_URL: sentinel?.url ?? redis.url,
      PUSHFLEET_TOKEN_SECRET: secret,
      PUSHFLEET_LOG_LEVEL: 'info',
      ...env,
    };
  }

  static async start(o: FleetOptions = {}): Promise<Fleet> {
    const servers = o.natsServers ?? 1;
    const wiring = o.wired === true ? new Wiring() : undefined;
    const [nats, sentinel] = await Promise.all([
      startNats({
        servers,
        ...(wiring !== undefined && { route: wiring.route }),
        ...(o.natsFolders !== undefined && { folders: o.natsFolders }),
      }),
      o.sentinel === true ? startSentinel() : undefined,
    ]);
    const redis = (await sentinel?.primary()) ?? (await startRedis());
    const fleet = new Fleet({ nats, redis, sentinel, wiring }, o.env ?? {});
    try {
      await migrate({
        servers: nats.url,
        shards: o.shards ?? 1,
        replicas: servers,
        maxAgeMs: 3_600_000,
        maxBytes: 1024 ** 3,
        duplicateWindowMs: 120_000,
      });
      await fleet.#startServices(o);
    } catch (error) {
      await fleet.stop();
      throw error;
    }
    return fleet;
  }

  async #startServices({
    edges = 1,
    protocols = ['edge-sse'],
    publishers = 1,
    workers = 0,
    hubs = 0,
  }: FleetOptions) {
    if (hubs > 0) {
      this.hub = await Door.open(() => this.hubs.map(({ addresses }) => addresses.http as string));
      this.#env.PUSHFLEET_PUBLIC_URL = `http://${this.hub.address}`;
    }
    await this.wiring?.wire({
      natsUrl: this.nats.url,
      redisUrl: this.redis.url,
      registry: () => this.registry.addresses.grpc as string,
    });
    this.registry = await startService('registry', this.#envOf('registry'));
    this.#env.PUSHFLEET_REGISTRY_URL = `http://${this.registry.addresses.grpc}`;
    await Promise.all([
      ...protocols.flatMap((name) => Array.from({ length: edges }, () => this.startEdge(name))),
      ...Array.from({ length: publishers }, () => this.startPublisher()),
      ...Array.from({ length: workers }, () => this.startWorker()),
      ...Array.from({ length: hubs }, () => this.startHub()),
    ]);
    for (const name of protocols) {
      this.#doors.set(
        name,
        await Door.open(() =>
          this.edgesOf(name).map(({ addresses }) => addresses[listenerOf(name)] as string),
        ),
      );
    }
    this.http = await Door.open(() => this.publishers.map(({ addresses }) => addresses.http as string));
    this.grpc = await Door.open(() => this.publishers.map(({ addresses }) => addresses.grpc as string));
    this.wiring?.name('client–edge', [...this.#doors.values()]);
    this.wiring?.name('publisher–publish', [this.grpc]);
  }

  /** What every service of the fleet is told. */
  get env(): Readonly<Record<string, string>> {
    return this.#env;
  }

  #envOf(part: Part): Record<string, string> {
    return { ...this.#env, ...this.wiring?.envOf(part) };
  }

  /** The instances of an edge, the oldest first. */
  edgesOf(name: EdgeService): ServiceProcess[] {
    return this.#edges.get(name) as ServiceProcess[];
  }

  /** One host:port for all instances of an edge that was asked for. */
  door(name: EdgeService): Door {
    return this.#doors.get(name) as Door;
  }

  /** The instances of edge-sse. */
  get edges(): ServiceProcess[] {
    return this.edgesOf('edge-sse');
  }

  /** host:port of the SSE edges. */
  get sse(): Door {
    return this.door('edge-sse');
  }

  /** Those edges that were asked for. */
  get protocols(): readonly EdgeService[] {
    return [...this.#doors.keys()];
  }

  async startEdge(name: EdgeService = 'edge-sse'): Promise<void> {
    this.edgesOf(name).push(await startService(name, this.#envOf('edge')));
  }

  async startPublisher(): Promise<void> {
    this.publishers.push(await startService('publish', this.#envOf('publish')));
  }

  async startWorker(): Promise<void> {
    this.workers.push(await startService('delivery-webhook', this.#envOf('worker')));
  }

  async startHub(): Promise<void> {
    this.hubs.push(await startService('delivery-websub', this.#envOf('worker')));
  }

  /** The registry anew, at the addresses that it had. */
  async restartRegistry(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const { http, grpc } = this.registry.addresses as { http: string; grpc: string };
    await this.registry.kill(signal);
    const listen = { PUSHFLEET_REGISTRY_LISTEN: http, PUSHFLEET_REGISTRY_GRPC_LISTEN: grpc };
    this.registry = await startService('registry', { ...this.#envOf('registry'), ...listen });
  }

  /** Takes an instance out as the signal does; resolves when its process is gone. */
  async end(instances: ServiceProcess[], signal: NodeJS.Signals): Promise<void> {
    const [instance] = instances;
    if (instance === undefined) throw new Error('no instance lives that could be ended');
    const ended = instance.kill(signal, 60_000);
    instances.shift();
    await ended;
  }

  /** What the services printed, for a failure's report. */
  logs(): string {
    return this.services
      .map((service) => `--- ${service.name} (${service.pid})\n${service.logs()}`)
      .join('\n');
  }

  async stop(): Promise<void> {
    for (const door of [...this.#doors.values(), this.http, this.grpc, this.hub]) door?.close();
    this.wiring?.close();
    await Promise.all(this.services.map((service) => service.kill('SIGKILL')));
    await Promise.all([this.nats.stop(), this.redis.stop(), this.sentinel?.stop()]);
  }

  /** A token that this fleet takes. */
  readonly token = token;

  /** Those that were started, as far as that came. */
  get services(): ServiceProcess[] {
    const all: (ServiceProcess | undefined)[] = [
      this.registry,
      ...[...this.#edges.values()].flat(),
      ...this.publishers,
      ...this.workers,
      ...this.hubs,
    ];
    return all.filter((service) => service !== undefined);
  }
}
