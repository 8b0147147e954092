import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';

/** Streams as the tests make them. */
export const testStreams = {
  shards: 1,
  replicas: 1,
  maxAgeMs: 3_600_000,
  maxBytes: 268_435_456,
  duplicateWindowMs: 120_000,
} as const;

/** A connection of an operator's, beside the bus. */
export async function jetStreamManager(
  servers: string,
): Promise<{ manager: JetStreamManager; connection: NatsConnection; close(): Promise<void> }> {
  const connection = await connect({
    servers: servers.split(','),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  });
  return { manager: await jetstreamManager(connection), connection, close: () => connection.close() };
}
