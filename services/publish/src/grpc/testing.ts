// What the tests of the gRPC API share; nothing else imports it.
import { fileURLToPath } from 'node:url';
import { type Client, credentials, loadPackageDefinition, Metadata, ServerCredentials } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Backbone } from '@pushfleet/core';
import { createHubs } from '@pushfleet/hub';
import { type Grant, TimerWheel } from '@pushfleet/runtime';
import { type CoreOptions, core, log, token } from '../testing.ts';
import { GrpcApi, type GrpcOptions } from './api.ts';
import { Streams } from './streams.ts';

/** The gRPC API on a free port, and a client made from the .proto at run time, as a stranger would. */
export async function startGrpc(
  options: Partial<GrpcOptions> &
    CoreOptions & {
      readonly keepAliveMs?: number;
      readonly outbox?: { readonly count: number; readonly bytes: number };
      /** Another instance on this log. */
      readonly hubsOf?: Backbone;
    } = {},
) {
  const parts = core(options);
  const wheel = new TimerWheel({ tickMs: 5 });
  const revoked = new Set<string>();
  const listeners = new Set<() => void>();
  const streams = new Streams({
    wheel,
    revocations: {
      revoked: ({ subject }: Grant) => revoked.has(subject),
      onRevoked: (on) => {
        listeners.add(on);
        return () => listeners.delete(on);
      },
    },
  });
  const hubs = createHubs(options.hubsOf ?? parts.backbone);
  await hubs.start();
  const api = new GrpcApi({
    ...parts,
    hubs,
    streams,
    log,
    address: { host: '127.0.0.1', port: 0 },
    credentials: ServerCredentials.createInsecure(),
    messageBytes: 4 * 1_048_576,
    messageMs: 60_000,
    streamDrafts: 1_000,
    subscribe: {
      wheel,
      ...(options.outbox ?? { count: 1_000, bytes: 4 * 1_048_576 }),
      keepAliveMs: options.keepAliveMs ?? 30_000,
      deliveries: { writing: () => undefined },
    },
    subscriptions: 100,
    connections: 100,
    connectionAgeMs: 60_000,
    drainWindowMs: 100,
    serving: () => parts.backbone.ready,
    ...options,
  });
  await api.start();
  const client = publishClient(`127.0.0.1:${api.port}`);
  const revoke = (subject: string) => {
    revoked.add(subject);
    for (const on of listeners) on();
  };
  const stop = async () => {
    client.close();
    await api.close();
    await hubs.close();
    wheel.close();
  };
  return { ...parts, api, client, hubs, streams, wheel, revoke, stop };
}

// biome-ignore lint/suspicious/noExplicitAny: a client made at run time has no types
export type DynamicClient = Client & Record<string, any>;

/** A client of the publish API made from its .proto. */
export function publishClient(target: string, security = credentials.createInsecure()): DynamicClient {
  const file = fileURLToPath(import.meta.resolve('@pushfleet/proto/pushfleet/publish/v1/publish.proto'));
  const root = file.slice(0, -'pushfleet/publish/v1/publish.proto'.length);
  const loaded = loadPackageDefinition(
    loadSync(file, { includeDirs: [root], longs: Number, defaults: true, oneofs: true }),
  );
  // biome-ignore lint/suspicious/noExplicitAny: as above
  return new (loaded as any).pushfleet.publish.v1.PublishService(target, security);
}

/** Metadata with a token; `claims` as for `token`. */
export function authorized(claims: object = {}): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token(claims)}`);
  return metadata;
}
