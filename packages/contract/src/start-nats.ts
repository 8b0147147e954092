import { rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  findNatsServer,
  type NatsInstance,
  type NatsOptions,
  runNats,
  withFreePorts,
} from '@pushfleet/cli/servers';
import { endWithUs, temporaryFolder } from './cleanup.ts';
import { root } from './root.ts';
import { until } from './until.ts';

export interface NatsServer {
  /** Of the process that runs now. */
  readonly pid: number;
  readonly url: string;
  /** The address of its monitoring pages (`/healthz`, `/jsz`, `/connz` …). */
  readonly monitorUrl: string;
  readonly name: string;
  /** Sends the signal and waits for the end of the process. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again with the same ports and store, and waits until JetStream answers. */
  restart(): Promise<void>;
}

export interface NatsCluster {
  /** Every server's address, with commas between. */
  readonly url: string;
  readonly servers: readonly NatsServer[];
  stop(): Promise<void>;
}

export interface StartNatsOptions {
  readonly servers?: 1 | 3;
  /** More lines of nats-server configuration, for each server. */
  readonly config?: string;
  /** Where each server has its store, however small the disk is; temporary folders unless they are named. */
  readonly folders?: readonly string[];
  /**
   * A port that stands for the one by which servers reach the server `to`, for the server `from` alone; nobody is told
   * of any other way then, clients neither. Servers count from 0.
   */
  readonly route?: (from: number, to: number, port: number) => Promise<number>;
}

/** One real nats-server, or three in a cluster, with JetStream in a temporary folder; resolves when it is ready. */
export async function startNats(o: StartNatsOptions = {}): Promise<NatsCluster> {
  const binary = await findNatsServer({ root, progress: console.log });
  const directory = temporaryFolder('nats');
  const count = o.servers ?? 1;
  const servers = await withFreePorts(3 * count, async (ports) => {
    const plans = (await plan(count, ports, o.route)).map((ours, index) => ({
      ...ours,
      binary,
      directory: o.folders?.[index] ?? join(directory, ours.name),
      ...(o.folders !== undefined && { maxFileBytes: 1024 ** 4 }),
      ...(o.config !== undefined && { config: o.config }),
    }));
    return startAll(plans);
  });
  await Promise.all(servers.map((server) => ready(server.monitorUrl, count)));
  return {
    url: servers.map((server) => server.url).join(','),
    servers,
    async stop() {
      await Promise.all(servers.map((server) => server.kill('SIGKILL')));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function plan(
  count: 1 | 3,
  ports: readonly number[],
  route: StartNatsOptions['route'],
): Promise<Omit<NatsOptions, 'binary' | 'directory'>[]> {
  const clusterPorts = ports.slice(2 * count);
  const routesOf = async (from: number): Promise<readonly number[]> =>
    route === undefined
      ? clusterPorts
      : Promise.all(clusterPorts.flatMap((port, to) => (to === from ? [] : [route(from, to, port)])));
  const plans = Array.from({ length: count }, async (_, index) => ({
    name: `nats-${index + 1}`,
    port: ports[index] as number,
    monitorPort: ports[count + index] as number,
    ...(count > 1 && {
      cluster: {
        port: clusterPorts[index] as number,
        routes: await routesOf(index),
        hidden: route !== undefined,
      },
    }),
  }));
  return Promise.all(plans);
}

async function startAll(plans: NatsOptions[]): Promise<NatsServer[]> {
  const started = await Promise.allSettled(plans.map((options) => startServer(options, plans.length)));
  const failed = started.find((result) => result.status === 'rejected');
  const servers = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  if (failed === undefined) return servers;
  await Promise.all(servers.map((server) => server.kill('SIGKILL')));
  throw failed.reason;
}

async function startServer(options: NatsOptions, count: number): Promise<NatsServer> {
  let instance: NatsInstance = await runNats(options);
  endWithUs(instance.child);
  return {
    name: options.name,
    url: instance.url,
    monitorUrl: instance.monitorUrl,
    get pid() {
      return instance.child.pid;
    },
    async kill(signal) {
      await instance.child.stop(signal);
    },
    async restart() {
      await instance.child.stop('SIGTERM');
      instance = await runNats(options);
      endWithUs(instance.child);
      await ready(instance.monitorUrl, count);
    },
  };
}

interface JetStreamState {
  readonly meta_cluster?: { readonly leader?: string; readonly cluster_size: number };
}

// A cluster accepts streams only when every member is known and a leader is elected.
async function ready(monitorUrl: string, count: number): Promise<void> {
  const isReady = async (): Promise<boolean> => {
    const health = await fetch(`${monitorUrl}/healthz`);
    if (!health.ok || count === 1) return health.ok;
    const state = (await (await fetch(`${monitorUrl}/jsz`)).json()) as JetStreamState;
    return state.meta_cluster?.leader !== undefined && state.meta_cluster.cluster_size === count;
  };
  await until(isReady, `JetStream at ${monitorUrl}`);
}
