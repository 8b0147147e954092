import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { findNatsServer } from '@pushfleet/cli/servers';
import { startNats, startService } from '@pushfleet/contract';
import { migrateOnce } from '../targets/pushfleet.ts';
import { secret, token } from '../targets/token.ts';
import type { Broker, RunningBroker } from './broker.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * The product: one edge-mqtt that is published to and subscribed at, and one nats-server behind it.
 *
 * @param nodeOptions NODE_OPTIONS of the edge's process: for a profile of it
 */
export async function pushfleet(say: (line: string) => void, nodeOptions?: string): Promise<Broker> {
  const binary = await findNatsServer({ root, progress: say });
  const nats = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim();
  return {
    name: 'pushfleet',
    versions: [4, 5],
    about: () =>
      `Node ${process.versions.node}, ${nats}; one edge-mqtt, one nats-server with one shard and file storage, ` +
      'a token of its own for each client',
    start: () => start(nodeOptions),
  };
}

async function start(nodeOptions: string | undefined): Promise<RunningBroker> {
  const nats = await startNats();
  try {
    await migrateOnce(nats);
    const edge = await startService('edge-mqtt', {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_TOKEN_SECRET: secret,
      PUSHFLEET_DRAIN_SECONDS: '1',
      PUSHFLEET_EDGE_MQTT_RATE: '1000000',
      PUSHFLEET_EDGE_MQTT_BURST: '1000000',
      PUSHFLEET_EDGE_MQTT_PACKET_RATE: '1000000',
      ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }),
    });
    const [host, port] = (edge.addresses.mqtt ?? '').split(':') as [string, string];
    return {
      ...{ host, port: Number(port) },
      password: (subject) => token(subject, { publish: ['bench/#'], subscribe: ['bench/#'] }),
      pids: { front: [edge.pid], behind: nats.servers.map(({ pid }) => pid) },
      async stop() {
        // Where it is profiled it ends by itself, since the profile is written at the end.
        await edge.kill(nodeOptions === undefined ? 'SIGKILL' : 'SIGTERM', 30_000);
        await nats.stop();
      },
    };
  } catch (error) {
    await nats.stop();
    throw error;
  }
}
