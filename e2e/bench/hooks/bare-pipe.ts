import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { AckPolicy, jetstreamManager, StorageType } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { startNats } from '@pushfleet/contract';
import type { Sender } from './sender.ts';

const pipeFile = new URL('./pipe.ts', import.meta.url);
const stream = 'bench';
const consumer = 'pipe';

/** What the benchmark tells the pipe's process, which answers with the kind. */
export type PipeOrder =
  | { readonly kind: 'open'; readonly servers: string; readonly stream: string; readonly consumer: string }
  | { readonly kind: 'route'; readonly urls: readonly (readonly string[])[] };

/** The reference: JetStream, HMAC, undici and nothing else. */
export const barePipe: Sender = {
  name: 'bare pipe',
  about: () =>
    `a pull consumer of nats.js, HMAC, undici and an acknowledgement on Node ${process.versions.node}; one nats-server with file storage`,
  async start() {
    const nats = await startNats();
    const nc = await connect({ servers: nats.url });
    const child = fork(pipeFile, { execArgv: [] });
    const tell = async (order: PipeOrder) => {
      child.send(order);
      await once(child, 'message');
    };
    await addStream(nc);
    await tell({ kind: 'open', servers: nats.url, stream, consumer });
    return {
      pids: { front: [child.pid as number], behind: nats.servers.map(({ pid }) => pid) },
      route: (urls) => tell({ kind: 'route', urls }),
      async publish(messages) {
        for (const { topic, payload } of messages) nc.publish(`${stream}.${topic}`, payload);
        await nc.flush();
      },
      async stop() {
        await ended(child);
        await nc.close();
        await nats.stop();
      },
    };
  },
};

async function addStream(nc: NatsConnection): Promise<void> {
  const manager = await jetstreamManager(nc);
  await manager.streams.add({ name: stream, subjects: [`${stream}.*`], storage: StorageType.File });
  await manager.consumers.add(stream, {
    durable_name: consumer,
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 1_000,
  });
}

async function ended(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.disconnect();
  await gone;
}
