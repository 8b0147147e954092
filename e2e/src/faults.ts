import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { until } from '@pushfleet/contract';
import type { EdgeService, Fleet } from './fleet.ts';

/** What may happen to a fleet while it works. Each leaves a whole fleet behind. */
export const faults = {
  /** The oldest instance of each edge. */
  async 'kill -9 of an edge'(fleet: Fleet) {
    await replaceEdges(fleet, 'SIGKILL');
  },
  async 'SIGTERM of an edge'(fleet: Fleet) {
    await replaceEdges(fleet, 'SIGTERM');
  },
  async 'kill -9 of a publish service'(fleet: Fleet) {
    await fleet.end(fleet.publishers, 'SIGKILL');
    await fleet.startPublisher();
  },
  async 'SIGTERM of a publish service'(fleet: Fleet) {
    await fleet.end(fleet.publishers, 'SIGTERM');
    await fleet.startPublisher();
  },
  async 'kill -9 of a worker'(fleet: Fleet) {
    await fleet.end(fleet.workers, 'SIGKILL');
    await fleet.startWorker();
  },
  async 'SIGTERM of a worker'(fleet: Fleet) {
    await fleet.end(fleet.workers, 'SIGTERM');
    await fleet.startWorker();
  },
  async 'kill -9 of the registry'(fleet: Fleet) {
    await fleet.restartRegistry('SIGKILL');
  },
  async 'Redis restarted'(fleet: Fleet) {
    await fleet.redis.restart();
  },
  async 'Redis restarted and emptied'(fleet: Fleet) {
    await fleet.redis.restart({ empty: true });
  },
  async 'kill -9 of a nats-server'(fleet: Fleet) {
    const [server] = fleet.nats.servers;
    await server?.kill('SIGKILL');
    await server?.restart();
  },
  async "kill -9 of a stream leader's server"(fleet: Fleet) {
    const leader = await leaderOf(fleet);
    const server = fleet.nats.servers.find(({ name }) => name === leader);
    await server?.kill('SIGKILL');
    await server?.restart();
  },
  async 'graceful step-down of a stream leader'(fleet: Fleet) {
    await onLogStream(fleet, async (request, stream) => {
      await request(`$JS.API.STREAM.LEADER.STEPDOWN.${stream}`);
    });
  },
} as const;

export type Fault = keyof typeof faults;

async function replaceEdges(fleet: Fleet, signal: NodeJS.Signals): Promise<void> {
  const replace = async (name: EdgeService): Promise<void> => {
    await fleet.end(fleet.edgesOf(name), signal);
    await fleet.startEdge(name);
  };
  await Promise.all(fleet.protocols.map(replace));
}

/** The name of the server that leads a stream of the log. */
export async function leaderOf(fleet: Fleet): Promise<string> {
  return onLogStream(fleet, async (_request, _stream, leader) => leader);
}

/** A place in the log goes back by so much where a leader changed within it: what it was given is given again. */
export const mistrustMs = 10_000;

/**
 * Resolves once every stream has had its leader for so long that a client which resumes is given nothing twice.
 *
 * @throws Error where leaders change for a minute
 */
export async function settled(fleet: Fleet): Promise<void> {
  if (fleet.nats.servers.length === 1) return; // it leads itself
  const connection = await connect({ servers: fleet.nats.url });
  try {
    const manager = await jetstreamManager(connection);
    const old = async (): Promise<boolean> => {
      const streams = await manager.streams.list().next();
      const since = streams.map(({ cluster }) => Date.parse(cluster?.leader_since ?? ''));
      return since.every((at) => Date.now() - at > mistrustMs + 1_000);
    };
    await until(old, 'leaders that stay');
  } finally {
    await connection.close();
  }
}

async function onLogStream<T>(
  fleet: Fleet,
  use: (request: (subject: string) => Promise<unknown>, stream: string, leader: string) => Promise<T>,
): Promise<T> {
  const nc = await connect({ servers: fleet.nats.url.split(',') });
  try {
    const manager = await jetstreamManager(nc);
    let leader = '';
    let stream = '';
    await until(async () => {
      for await (const info of manager.streams.list()) {
        if (!info.config.subjects?.some((subject) => subject.includes('.log.'))) continue;
        stream = info.config.name;
        leader = info.cluster?.leader ?? '';
      }
      return leader !== '';
    }, 'the log to have a leader');
    return await use((subject) => nc.request(subject, '', { timeout: 5_000 }), stream, leader);
  } finally {
    await nc.close();
  }
}
