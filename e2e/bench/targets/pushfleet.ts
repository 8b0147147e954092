import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { migrate } from '@pushfleet/bus';
import { findNatsServer } from '@pushfleet/cli/servers';
import { type NatsCluster, type ServiceProcess, startNats, startService } from '@pushfleet/contract';
import { StreamPublisher } from './stream-publisher.ts';
import type { Running, Target } from './target.ts';
import { secret, token } from './token.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * The product: one edge in front of the clients, publish and one nats-server behind it.
 *
 * @param edgeNodeOptions NODE_OPTIONS of the edge's process alone: for a profile of it
 */
export async function pushfleet(edgeNodeOptions?: string): Promise<Target> {
  const binary = await findNatsServer({ root, progress: (line) => process.stderr.write(`${line}\n`) });
  const nats = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim();
  return {
    name: 'pushfleet',
    about: () =>
      `Node ${process.versions.node}, ${nats}; one edge-sse, one publish, one nats-server with one shard and file storage, ` +
      'a token of its own for each client, published by one gRPC `PublishStream`',
    start: () => start(edgeNodeOptions),
  };
}

async function start(edgeNodeOptions: string | undefined): Promise<Running> {
  const nats = await startNats();
  const services: ServiceProcess[] = [];
  const stop = async () => {
    // The edge ends by itself where it is profiled, since the profile is written at the end.
    const signal = edgeNodeOptions === undefined ? 'SIGKILL' : 'SIGTERM';
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
    };
    services.push(await startService('publish', env));
    const edgeEnv = edgeNodeOptions === undefined ? env : { ...env, NODE_OPTIONS: edgeNodeOptions };
    services.push(await startService('edge-sse', edgeEnv));
    return runningOf(nats, services[1] as ServiceProcess, services[0] as ServiceProcess, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function migrateOnce(nats: NatsCluster): Promise<void> {
  await migrate({
    servers: nats.url,
    shards: 1,
    replicas: 1,
    maxAgeMs: 3_600_000,
    maxBytes: 2 * 1024 ** 3,
    duplicateWindowMs: 120_000,
  });
}

function runningOf(
  nats: NatsCluster,
  edge: ServiceProcess,
  publish: ServiceProcess,
  stop: () => Promise<void>,
): Running {
  const [host = '', port = ''] = (edge.addresses.http ?? '').split(':');
  const publisher = new StreamPublisher(publish.addresses.grpc ?? '', token('publisher', { publish: ['#'] }));
  return {
    host,
    port: Number(port),
    request: (client, topic) => {
      const bearer = token(`client-${client}`, { subscribe: ['bench/#'] });
      return (
        `GET /sse?topic=bench/${topic} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n` +
        `Authorization: Bearer ${bearer}\r\n\r\n`
      );
    },
    publish: (messages) => publisher.publish(messages),
    pids: { front: [edge.pid], behind: [publish.pid, ...nats.servers.map((server) => server.pid)] },
    async stop() {
      publisher.close();
      await stop();
    },
  };
}
