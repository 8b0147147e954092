import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { migrate } from '@pushfleet/bus';
import { findNatsServer } from '@pushfleet/cli/servers';
import { type NatsCluster, type ServiceProcess, startNats, startService } from '@pushfleet/contract';
import { type Edge, edges } from './pushfleet-edges.ts';
import { pushfleetPaths } from './pushfleet-paths.ts';
import { StreamPublisher } from './stream-publisher.ts';
import type { Intake, Outgoing, Running, Target } from './target.ts';
import { secret, token } from './token.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * The product: one edge in front of the clients, publish and one nats-server behind it.
 *
 * @param name the edge's folder below `services/`
 * @param nodeOptions NODE_OPTIONS of the services' processes: for a profile of them
 */
export async function pushfleet(name: keyof typeof edges, nodeOptions?: string): Promise<Target> {
  const edge: Edge = edges[name];
  const binary = await findNatsServer({ root, progress: (line) => process.stderr.write(`${line}\n`) });
  const nats = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim();
  return {
    name: 'pushfleet',
    scenarios: edge.scenarios,
    about: () =>
      `Node ${process.versions.node}, ${nats}; one ${name}, one publish, one nats-server with one shard and file storage, ` +
      'a token of its own for each client, published by one gRPC `PublishStream`',
    start: () => start(name, nodeOptions),
  };
}

async function start(name: keyof typeof edges, nodeOptions: string | undefined): Promise<Running> {
  const nats = await startNats();
  const services: ServiceProcess[] = [];
  const stop = async () => {
    // Services end by themselves where they are profiled, since the profile is written at the end.
    const signal = nodeOptions === undefined ? 'SIGKILL' : 'SIGTERM';
    await Promise.all(services.map((service) => service.kill(signal, 30_000)));
    await nats.stop();
  };
  try {
    await migrateOnce(nats);
    const env = {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_TOKEN_SECRET: secret,
      PUSHFLEET_LOG_LEVEL: 'info',
      PUSHFLEET_DRAIN_SECONDS: '1',
      PUSHFLEET_PUBLISH_RATE: '1000000',
      PUSHFLEET_PUBLISH_BURST: '1000000',
      // One stream publishes for as long as a scenario takes.
      PUSHFLEET_PUBLISH_GRPC_CONNECTION_AGE_SECONDS: '86400',
      ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }),
    };
    const startEdge = async () => {
      const edge = await startService(name, env);
      services.push(edge);
      return edge;
    };
    const publish = await startService('publish', env);
    services.push(publish);
    return new Fleet(nats, publish, edges[name], await startEdge(), startEdge, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The layout of the log for a run. */
export async function migrateOnce(nats: NatsCluster): Promise<void> {
  await migrate({
    servers: nats.url,
    shards: 1,
    replicas: 1,
    maxAgeMs: 3_600_000,
    maxBytes: 8 * 1024 ** 3,
    duplicateWindowMs: 120_000,
  });
}

class Fleet implements Running {
  readonly intake: Intake;
  readonly stop: () => Promise<void>;
  readonly turns: Edge['turns'];
  readonly #request: Edge['request'];
  readonly #nats: NatsCluster;
  readonly #publish: ServiceProcess;
  readonly #publisher: StreamPublisher;
  readonly #startEdge: () => Promise<ServiceProcess>;
  #edge: ServiceProcess;

  constructor(
    nats: NatsCluster,
    publish: ServiceProcess,
    { request, turns }: Edge,
    edge: ServiceProcess,
    startEdge: () => Promise<ServiceProcess>,
    stop: () => Promise<void>,
  ) {
    this.turns = turns;
    this.#request = request;
    this.#nats = nats;
    this.#publish = publish;
    this.#edge = edge;
    this.#startEdge = startEdge;
    const grpc = publish.addresses.grpc ?? '';
    this.#publisher = new StreamPublisher(grpc, token('publisher', { publish: ['#'] }));
    this.intake = {
      paths: pushfleetPaths(publish.addresses, nats.url),
      front: [publish.pid],
      behind: this.#brokers,
      stored: async () => (await natsServerTells<{ messages: number }>(nats, 'jsz')).messages,
    };
    this.stop = async () => {
      this.#publisher.close();
      await stop();
    };
  }

  get host(): string {
    return this.#address[0];
  }

  get port(): number {
    return Number(this.#address[1]);
  }

  get #address(): readonly [string, string] {
    return (this.#edge.addresses.http ?? '').split(':') as [string, string];
  }

  get #brokers(): number[] {
    return this.#nats.servers.map((server) => server.pid);
  }

  get pids(): Running['pids'] {
    return { front: [this.#edge.pid], behind: [this.#publish.pid, ...this.#brokers] };
  }

  request(client: number, topic: number): string {
    const bearer = token(`client-${client}`, { subscribe: ['bench/#'] });
    return `${this.#request(topic)}Host: ${this.host}\r\nAuthorization: Bearer ${bearer}\r\n\r\n`;
  }

  publish(messages: readonly Outgoing[]): Promise<void> {
    return this.#publisher.publish(messages);
  }

  async restart(): Promise<void> {
    await this.#edge.kill('SIGKILL');
    this.#edge = await this.#startEdge();
  }

  async brokerMessages(): Promise<number> {
    return (await natsServerTells<{ out_msgs: number }>(this.#nats, 'varz')).out_msgs;
  }
}

/** A page of nats-server's own monitoring. */
async function natsServerTells<T>(nats: NatsCluster, page: string): Promise<T> {
  const answer = await fetch(`${nats.servers[0]?.monitorUrl}/${page}`);
  return (await answer.json()) as T;
}
