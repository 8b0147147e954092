import { connect } from 'node:net';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats } from '@nats-io/transport-node';
import {
  type NatsCluster,
  type RedisServer,
  type ServiceProcess,
  startNats,
  startRedis,
  startService,
} from '@pushfleet/contract';
import { migrateOnce } from '../targets/pushfleet.ts';
import { secret, token } from '../targets/token.ts';
import type { RunningBroker } from './broker.ts';

/** What a session costs something in. */
export const parts = ['edge', 'registry', 'Redis', 'NATS'] as const;
export type Part = (typeof parts)[number];

/** What sessions take, in bytes. */
export interface Stored {
  readonly redis: number;
  /** In the log besides the publications, which sessions do not add to. */
  readonly log: number;
}

/** MQTT edges over a registry, a Redis and one nats-server. */
export class SessionFleet {
  readonly #nats: NatsCluster;
  readonly #redis: RedisServer;
  readonly #registry: ServiceProcess;
  readonly #nodeOptions: string | undefined;
  readonly #edges: ServiceProcess[] = [];

  private constructor(
    servers: { nats: NatsCluster; redis: RedisServer; registry: ServiceProcess },
    nodeOptions: string | undefined,
  ) {
    this.#nats = servers.nats;
    this.#redis = servers.redis;
    this.#registry = servers.registry;
    this.#nodeOptions = nodeOptions;
  }

  /** @param nodeOptions NODE_OPTIONS of the services' processes: for a profile of them */
  static async start(edges: number, nodeOptions?: string): Promise<SessionFleet> {
    const [nats, redis] = await Promise.all([startNats(), startRedis()]);
    const most = '1000000';
    const env = {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_REDIS_URL: redis.url,
      PUSHFLEET_TOKEN_SECRET: secret,
      PUSHFLEET_DRAIN_SECONDS: '1',
      PUSHFLEET_EDGE_MQTT_RATE: most,
      PUSHFLEET_EDGE_MQTT_BURST: most,
      PUSHFLEET_EDGE_MQTT_PACKET_RATE: most,
      ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }),
    };
    let registry: ServiceProcess | undefined;
    try {
      await migrateOnce(nats);
      registry = await startService('registry', env);
      const known = { ...env, PUSHFLEET_REGISTRY_URL: `http://${registry.addresses.grpc}` };
      const fleet = new SessionFleet({ nats, redis, registry }, nodeOptions);
      for (let i = 0; i < edges; i++) fleet.#edges.push(await startService('edge-mqtt', known));
      return fleet;
    } catch (error) {
      await registry?.kill('SIGKILL');
      await Promise.all([nats.stop(), redis.stop()]);
      throw error;
    }
  }

  /** One of the edges. */
  edge(index: number): RunningBroker {
    const edge = this.#edges[index] as ServiceProcess;
    const [host, port] = (edge.addresses.mqtt ?? '').split(':') as [string, string];
    const { edge: front, ...behind } = { ...this.#pids, edge: [edge.pid] };
    return {
      ...{ host, port: Number(port) },
      password: (subject) => token(subject, { publish: ['bench/#'], subscribe: ['bench/#'] }),
      pids: { front, behind: Object.values(behind).flat(), each: { edge: front, ...behind } },
      stop: () => this.stop(),
    };
  }

  /** Kills the first of the edges. */
  async lose(): Promise<void> {
    await this.#edges.shift()?.kill('SIGKILL');
  }

  async stored(): Promise<Stored> {
    return { redis: await this.#usedByRedis(), log: await this.#besidePublications() };
  }

  async stop(): Promise<void> {
    // Services end by themselves where they are profiled, since the profile is written at the end.
    const signal = this.#nodeOptions === undefined ? 'SIGKILL' : 'SIGTERM';
    await Promise.all([...this.#edges, this.#registry].map((service) => service.kill(signal, 30_000)));
    await Promise.all([this.#nats.stop(), this.#redis.stop()]);
  }

  get #pids(): Record<Exclude<Part, 'edge'>, readonly number[]> {
    return {
      registry: [this.#registry.pid],
      Redis: [this.#redis.pid],
      NATS: this.#nats.servers.map(({ pid }) => pid),
    };
  }

  async #usedByRedis(): Promise<number> {
    const { hostname, port } = new URL(this.#redis.url);
    const socket = connect({ host: hostname, port: Number(port) });
    socket.setEncoding('utf8').write('INFO memory\r\n');
    let text = '';
    for await (const part of socket) {
      text += part;
      const used = /^used_memory:(\d+)\r$/m.exec(text)?.[1];
      if (used !== undefined) return Number(used);
    }
    throw new Error(`Redis says ${text}`);
  }

  async #besidePublications(): Promise<number> {
    const connection = await connectNats({ servers: this.#nats.url });
    try {
      let bytes = 0;
      for await (const { config, state } of (await jetstreamManager(connection)).streams.list()) {
        if (!config.subjects?.some((subject) => subject.includes('.log.'))) bytes += state.bytes;
      }
      return bytes;
    } finally {
      await connection.close();
    }
  }
}
