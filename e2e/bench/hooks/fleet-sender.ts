import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findNatsServer } from '@pushfleet/cli/servers';
import {
  type NatsCluster,
  type RedisServer,
  type ServiceProcess,
  startNats,
  startRedis,
  startService,
} from '@pushfleet/contract';
import {
  SigningScheme,
  Subscription,
  SubscriptionServiceClient,
  SubscriptionState,
  WebhookFormat,
  WebhookHandshake,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { internalClient } from '@pushfleet/runtime';
import { migrateOnce } from '../targets/pushfleet.ts';
import { StreamPublisher } from '../targets/stream-publisher.ts';
import { secret, token } from '../targets/token.ts';
import type { RunningSender, Sender } from './sender.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const plenty = '1000000';

/**
 * The product: one delivery-webhook, and behind it publish, the registry with its Redis, and one nats-server.
 *
 * @param nodeOptions NODE_OPTIONS of the worker: for a profile of it
 */
export async function fleetSender(nodeOptions?: string): Promise<Sender> {
  const binary = await findNatsServer({ root, progress: (line) => process.stderr.write(`${line}\n`) });
  const nats = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim();
  return {
    name: 'pushfleet',
    about: () =>
      `Node ${process.versions.node}, ${nats}; one delivery-webhook, one publish, one registry with its Redis, one nats-server ` +
      'with one shard and file storage; HMAC, the payload as the body; published by one gRPC `PublishStream`',
    start: () => start(nodeOptions),
  };
}

async function start(nodeOptions: string | undefined): Promise<RunningSender> {
  const [nats, redis] = await Promise.all([startNats(), startRedis()]);
  const services: ServiceProcess[] = [];
  const stop = async () => {
    const signal = nodeOptions === undefined ? 'SIGKILL' : 'SIGTERM'; // a profile is written at the end
    await Promise.all(services.map((service) => service.kill(signal, 30_000)));
    await Promise.all([nats.stop(), redis.stop()]);
  };
  try {
    await migrateOnce(nats);
    return await startServices(nats, redis, services, nodeOptions, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startServices(
  nats: NatsCluster,
  redis: RedisServer,
  services: ServiceProcess[],
  nodeOptions: string | undefined,
  stop: () => Promise<void>,
): Promise<RunningSender> {
  const env: Record<string, string> = {
    PUSHFLEET_NATS_URL: nats.url,
    PUSHFLEET_REDIS_URL: redis.url,
    PUSHFLEET_TOKEN_SECRET: secret,
    PUSHFLEET_SECRETS_KEYS: `bench:${randomBytes(32).toString('base64')}`,
    PUSHFLEET_OUTBOUND_ALLOW: '127.0.0.0/8',
    PUSHFLEET_LOG_LEVEL: 'info',
    PUSHFLEET_DRAIN_SECONDS: '1',
    PUSHFLEET_PUBLISH_RATE: plenty,
    PUSHFLEET_PUBLISH_BURST: plenty,
  };
  const add = async (name: string, more: Record<string, string> = {}) => {
    const service = await startService(name, { ...env, ...more });
    services.push(service);
    return service;
  };
  const registry = await add('registry');
  const registryUrl = `http://${registry.addresses.grpc}`;
  env.PUSHFLEET_REGISTRY_URL = registryUrl;
  const publish = await add('publish');
  const worker = await add('delivery-webhook', {
    PUSHFLEET_WEBHOOK_ENDPOINT_RATE: '100000',
    ...(nodeOptions !== undefined && { NODE_OPTIONS: nodeOptions }),
  });
  const publisher = new StreamPublisher(publish.addresses.grpc ?? '', token('publisher', { publish: ['#'] }));
  return {
    pids: {
      front: [worker.pid],
      behind: [publish.pid, registry.pid, redis.pid, ...nats.servers.map(({ pid }) => pid)],
    },
    route: (urls) => subscribe(registryUrl, urls),
    publish: (messages) => publisher.publish(messages),
    async stop() {
      publisher.close();
      await stop();
    },
  };
}

async function subscribe(registryUrl: string, urls: readonly (readonly string[])[]): Promise<void> {
  const config = { tokenSecret: secret } as Parameters<typeof internalClient>[0];
  const { target, credentials, options } = internalClient(config, { url: registryUrl, service: 'bench' });
  const client = new SubscriptionServiceClient(target, credentials, options);
  const create = promisify(client.createSubscription.bind(client)) as (request: {
    subscription: Subscription;
  }) => Promise<unknown>;
  try {
    const all = urls.flatMap((each, topic) => each.map((url) => subscription(topic, url)));
    for (const one of all) await create({ subscription: one });
  } finally {
    client.close();
  }
}

const subscription = (topic: number, url: string): Subscription =>
  Subscription.fromPartial({
    namespace: 'default',
    filter: `bench/${topic}`,
    authority: { subject: 'bench', subscribeGrants: ['bench/#'] },
    state: SubscriptionState.SUBSCRIPTION_STATE_ACTIVE,
    target: {
      $case: 'webhook',
      webhook: {
        url,
        format: WebhookFormat.WEBHOOK_FORMAT_VERBATIM,
        secrets: [
          {
            keyId: 'bench',
            scheme: SigningScheme.SIGNING_SCHEME_HMAC_SHA256,
            secret: randomBytes(32),
            createdAt: new Date(),
          },
        ],
        handshake: WebhookHandshake.WEBHOOK_HANDSHAKE_NONE,
      },
    },
  });
