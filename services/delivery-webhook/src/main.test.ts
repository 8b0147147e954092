import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ServiceError } from '@grpc/grpc-js';
import { connectJetStream, type JetStreamBackbone, migrate } from '@pushfleet/bus';
import {
  type Collector,
  type NatsCluster,
  type RedisServer,
  type ServiceProcess,
  startCollector,
  startNats,
  startRedis,
  startService,
  until,
} from '@pushfleet/contract';
import { type Draft, parseNamespace, parseTopic } from '@pushfleet/core';
import {
  type CreateSubscriptionResponse,
  Subscription,
  SubscriptionServiceClient,
  SubscriptionState,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { createLog, internalClient, internalFields, readConfig } from '@pushfleet/runtime';
import { Webhook } from 'standardwebhooks';
import { hmacSecret, type Receiver, secretText, startReceiver, webhook } from './testing.ts';

const namespace = parseNamespace('shop');
const tokenSecret = 'a secret of the tests that is long enough';
const traceId = 'a'.repeat(32);

const draft = (id: string, traced = false): Draft => ({
  ...{ id, source: 'till', topic: parseTopic('orders/1') },
  ...{ contentType: 'application/json', payload: Buffer.from(`{"order":"${id}"}`) },
  ...(traced && { trace: { parent: `00-${traceId}-${'b'.repeat(16)}-01` } }),
});

describe('delivery-webhook as a process', () => {
  const secret = hmacSecret();
  let nats: NatsCluster;
  let redis: RedisServer;
  let collector: Collector;
  let registry: ServiceProcess;
  let worker: ServiceProcess;
  let backbone: JetStreamBackbone;
  let receiver: Receiver;
  /** What the receiver waits for before it answers. */
  let answering: Promise<void> = Promise.resolve();

  before(async () => {
    [nats, redis, collector] = await Promise.all([startNats(), startRedis(), startCollector()]);
    const streams = {
      shards: 1,
      replicas: 1,
      maxAgeMs: 3_600_000,
      maxBytes: 2 ** 27,
      duplicateWindowMs: 120_000,
    };
    await migrate({ servers: nats.url, ...streams });
    const env = {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_REDIS_URL: redis.url,
      PUSHFLEET_TOKEN_SECRET: tokenSecret,
      PUSHFLEET_SECRETS_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')}`,
      PUSHFLEET_OUTBOUND_ALLOW: '127.0.0.1',
      PUSHFLEET_TRACES_URL: collector.url,
    };
    registry = await startService('registry', env);
    const registryUrl = `http://${registry.addresses.grpc}`;
    worker = await startService('delivery-webhook', { ...env, PUSHFLEET_REGISTRY_URL: registryUrl });
    const log = createLog({ name: 'test', level: 'silent' });
    backbone = connectJetStream({ servers: nats.url, name: 'test', log });
    await backbone.start();
    receiver = await startReceiver(async (_, response) => {
      await answering;
      response.writeHead(204).end();
    });
    await subscribe(registryUrl, receiver.url);
  });
  after(async () => {
    await backbone.close();
    await Promise.all([worker.kill('SIGKILL'), registry.kill('SIGKILL'), receiver.close(), collector.stop()]);
    await Promise.all([nats.stop(), redis.stop()]);
  });

  async function subscribe(registryUrl: string, url: string): Promise<void> {
    const config = readConfig(internalFields, { PUSHFLEET_TOKEN_SECRET: tokenSecret });
    const { target, credentials, options } = internalClient(config, { url: registryUrl, service: 'test' });
    const client = new SubscriptionServiceClient(target, credentials, options);
    const subscription = Subscription.fromPartial({
      ...{ namespace, id: 'sub-1', filter: 'orders/#' },
      authority: { subject: 'ann', subscribeGrants: ['orders/#'] },
      state: SubscriptionState.SUBSCRIPTION_STATE_ACTIVE,
      target: { $case: 'webhook', webhook: webhook({ url, secrets: [secret] }) },
    });
    await new Promise<CreateSubscriptionResponse>((resolve, reject) => {
      client.createSubscription({ subscription, ownerLimit: 0 }, (error: ServiceError | null, response) =>
        error === null ? resolve(response) : reject(error),
      );
    });
    client.close();
  }
  const publish = async (one: Draft): Promise<void> => {
    const [stored] = await backbone.bus(namespace).publish([one]);
    assert.ok(stored && 'cursor' in stored, String(stored));
  };
  const received = (id: string) => receiver.seen.find(({ body }) => JSON.parse(body.toString()).id === id);

  test('posts what is published, signed, in the trace of its publication', async () => {
    await publish(draft('o-1', true));
    await until(() => received('o-1') !== undefined, 'the delivery');
    const { headers, body } = received('o-1') ?? assert.fail();
    const event = new Webhook(secretText(secret)).verify(body, headers as Record<string, string>);
    assert.deepEqual((event as { data: unknown }).data, { order: 'o-1' });
    assert.match(String(headers['webhook-id']), /^msg_[\w-]{22}$/);
    await until(() => collector.spans.some(({ name }) => name === 'deliver'), 'the span');
    const span = collector.spans.find(({ name }) => name === 'deliver');
    assert.deepEqual([span?.traceId, span?.kind, span?.failed], [traceId, 'CLIENT', false]);
    assert.equal(headers.traceparent, `00-${traceId}-${span?.spanId}-01`);
    assert.equal(span?.attributes['pushfleet.verdict'], 'delivered');
  });

  test('shows attempts and how far the log is read', async () => {
    const scrape = async () => (await fetch(`http://${worker.addresses.ops}/metrics`)).text();
    assert.match(await scrape(), /pushfleet_webhook_attempt_seconds_count\{verdict="delivered"\} [1-9]/);
    const behind = async () => (await scrape()).includes('\npushfleet_webhook_behind_publications 0\n');
    await until(behind, 'the log to be read');
  });

  test('waits for what is on its way when it is told to stop, and exits 0', async () => {
    const held = Promise.withResolvers<void>();
    answering = held.promise;
    await publish(draft('o-2'));
    await until(() => received('o-2') !== undefined, 'the delivery');
    const ended = worker.kill('SIGTERM', 30_000);
    await until(async () => worker.logs().includes('"draining"'), 'the drain');
    held.resolve();
    assert.equal(await ended, 0);
    assert.doesNotMatch(worker.logs(), /not everything went well/);
    const text = secretText(secret).slice('whsec_'.length);
    assert.ok(!worker.logs().includes(text), 'a secret in the log');
    assert.equal(receiver.seen.filter(({ body }) => body.includes('o-2')).length, 1);
  });
});

test('without a registry it says so, and that a restart does not help', async () => {
  const env = { ...process.env, PUSHFLEET_DELIVERY_WEBHOOK_OPS_LISTEN: '127.0.0.1:0' };
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], { env });
  let said = '';
  child.stderr.on('data', (chunk) => (said += chunk));
  const [code] = await once(child, 'close');
  assert.equal(code, 78);
  assert.match(said, /PUSHFLEET_REGISTRY_URL is not set/);
});
