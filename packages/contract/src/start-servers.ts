import { migrate } from '@pushfleet/bus';
import { type NatsCluster, startNats } from './start-nats.ts';
import { type RedisServer, startRedis } from './start-redis.ts';
import { type ServiceProcess, startService } from './start-service.ts';

export interface StartServersOptions {
  /** Of tokens, and of the calls between services. */
  readonly secret: string;
  /** Of the log; 1 unless said otherwise. */
  readonly shards?: number;
}

/** What a fleet stands on, and the services that are started on it. */
export interface Servers {
  readonly nats: NatsCluster;
  readonly redis: RedisServer;
  /** `startService` with where these servers are and the secret; `env` comes on top. */
  start(name: string, env?: Readonly<Record<string, string>>): Promise<ServiceProcess>;
  /** Kills the services that were started, and then the servers. */
  stop(): Promise<void>;
}

/** One nats-server with the streams, and a redis-server. */
export async function startServers({ secret, shards = 1 }: StartServersOptions): Promise<Servers> {
  const [nats, redis] = await Promise.all([startNats(), startRedis()]);
  const streams = { shards, replicas: 1, maxAgeMs: 3_600_000, maxBytes: 67_108_864 };
  await migrate({ servers: nats.url, ...streams, duplicateWindowMs: 120_000 });
  const common = {
    PUSHFLEET_NATS_URL: nats.url,
    PUSHFLEET_REDIS_URL: redis.url,
    PUSHFLEET_TOKEN_SECRET: secret,
  };
  const services: ServiceProcess[] = [];
  return {
    ...{ nats, redis },
    async start(name, env = {}) {
      const service = await startService(name, { ...common, ...env });
      services.push(service);
      return service;
    },
    async stop() {
      await Promise.all(services.map((service) => service.kill('SIGKILL')));
      await Promise.all([nats.stop(), redis.stop()]);
    },
  };
}
