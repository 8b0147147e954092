// What the tests of the HTTP API share: a registry with a worker beside it, and requests whose answers are held
// against the OpenAPI document.
import assert from 'node:assert/strict';
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import { type Draft, defaultNamespace, parseTopic } from '@pushfleet/core';
import { callRegistry, createDeliveryWorker, type Errand, type Outcome } from '@pushfleet/delivery';
import { type Subscription, SubscriptionKind } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { createLog, createMetrics } from '@pushfleet/runtime';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { type Instance, reasons, startInstance, token } from '../testing.ts';
import { document } from './openapi.ts';
import type { Schema } from './schema/json-schema.ts';

export type Json = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json;
}

export interface Asked {
  readonly claims?: Json;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** A registry and a worker on one log in memory. */
export interface WebhookFleet {
  readonly registry: Instance;
  readonly backbone: MemoryBackbone;
  readonly errands: Errand[];
  /** What receivers answer. */
  answer: (errand: Errand) => Outcome;
  /** Asks, and fails where the answer is not as the document says. */
  ask(method: string, path: string, asked?: Asked): Promise<Answer>;
  publish(id: string, topic: string): Promise<string>;
  /** The worker's retries of handshakes and deliveries, in milliseconds; none until told. */
  readonly retryMs: number[];
  /** The records, as the worker changes them. */
  readonly store: {
    create(record: Subscription): Promise<Subscription>;
    get(id: string): Promise<Subscription>;
    update(record: Subscription, paths: readonly string[]): Promise<unknown>;
  };
  close(): Promise<void>;
}

/** The claims of somebody who may subscribe to orders. */
export const alice = { sub: 'alice', jti: 'token-1', pushfleet: { subscribe: ['orders/#'] } };
export const bob = { sub: 'bob', pushfleet: { subscribe: ['orders/#'] } };
export const manager = { sub: 'manager', pushfleet: { manage: true } };
export const hook = { filter: 'orders/#', url: 'https://shop.example.com/hooks' };

export const delivered: Outcome = { verdict: 'delivered', status: 204, durationMs: 1 };

export async function startWebhookFleet(env: NodeJS.ProcessEnv = {}): Promise<WebhookFleet> {
  const backbone = createMemoryBackbone();
  const redis = await startRedis();
  const registry = await startInstance({
    redisUrl: redis.url,
    backbone,
    env: { PUSHFLEET_SUBSCRIPTION_BURST: '10000', ...env },
  });
  await until(() => Object.keys(reasons(registry)).length === 0, 'readiness');
  const fleet = new Fleet(registry, backbone, redis);
  await fleet.start();
  return fleet;
}

class Fleet implements WebhookFleet {
  readonly errands: Errand[] = [];
  readonly registry: Instance;
  readonly backbone: MemoryBackbone;
  answer: (errand: Errand) => Outcome = () => delivered;
  readonly retryMs: number[] = [];
  readonly #redis: RedisServer;
  readonly #calls: ReturnType<typeof callRegistry>;
  readonly #log = createLog({ name: 'test', level: 'silent' });
  readonly #stop: (() => Promise<void> | void)[] = [];

  constructor(registry: Instance, backbone: MemoryBackbone, redis: RedisServer) {
    this.registry = registry;
    this.backbone = backbone;
    this.#redis = redis;
    this.#calls = callRegistry(registry.client(), this.#log);
  }

  get store(): WebhookFleet['store'] {
    return {
      create: (record) => this.#calls.create(record, 0),
      get: async (id) =>
        (await this.#calls.read([{ namespace: defaultNamespace, id }])).found[0] as Subscription,
      update: (record, paths) => this.#calls.change(record, paths),
    };
  }

  async start(): Promise<void> {
    const self = { instance: 'worker', service: 'delivery-webhook' };
    const worker = createDeliveryWorker({
      kind: 'webhook',
      subscriptionKind: SubscriptionKind.SUBSCRIPTION_KIND_WEBHOOK,
      service: self.service,
      backbone: this.backbone,
      fleet: { instance: self.instance, instances: () => [self] },
      registry: this.#calls,
      revocations: { revoked: () => false, onRevoked: () => () => {} },
      courier: {
        attempt: async (errand) => {
          this.errands.push(errand);
          return this.answer(errand);
        },
      },
      limits: {
        ...{
          retryMs: this.retryMs,
          questionRetryMs: this.retryMs,
          concurrency: 100,
          slow: 100,
          endpointConcurrency: 10,
          endpointRate: 10_000,
        },
        ...{
          timeoutMs: 2_000,
          breakerFailures: 1_000,
          breakerMs: 200,
          suspendAfterMs: 600_000,
          queue: 1_000,
        },
        ...{ queueMs: 3_600_000, attemptsMs: 3_600_000, deadLettersMs: 3_600_000 },
      },
      log: this.#log,
      metrics: createMetrics(),
    });
    await worker.start();
    this.#stop.push(
      () => worker.close(),
      () => this.#calls.close(),
    );
  }

  async ask(method: string, path: string, { claims = alice, headers, body }: Asked = {}): Promise<Answer> {
    const response = await fetch(`${this.registry.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await token(claims)}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const answer = {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? {} : JSON.parse(text)) as Json,
    };
    checkAnswer(method, path, answer, text === '');
    return answer;
  }

  async publish(id: string, topic: string): Promise<string> {
    const draft: Draft = {
      ...{ id, source: 'test', topic: parseTopic(topic), type: 'order.created' },
      ...{ contentType: 'text/plain', payload: Buffer.from(id) },
    };
    const [stored] = await this.backbone.bus(defaultNamespace).publish([draft]);
    if (stored === undefined || stored instanceof Error) throw stored;
    return stored.cursor;
  }

  async close(): Promise<void> {
    for (const stop of this.#stop) await stop();
    await this.registry.close();
    await this.#redis.stop();
  }
}

/** Operations whose answers have been checked, with the status. */
export const answered = new Set<string>();

const ajv = new Ajv2020({
  strict: false,
  formats: { 'date-time': /^\d{4}-\d\d-\d\dT.*Z$/, 'uri-reference': true },
});
const validators = new Map<string, ValidateFunction>();

interface Described {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, { readonly content?: Record<string, { schema: Schema }> }>>;
}

/** Fails where the document does not tell of such an answer. */
function checkAnswer(method: string, path: string, answer: Answer, empty: boolean): void {
  const { status, headers, body } = answer;
  const operation = operationOf(method, path);
  const where = `${method} ${path} → ${status} ${JSON.stringify(body)}`;
  if (operation === undefined) {
    assert.ok(status === 404 || status === 405 || status === 400, `${where} is of no operation`);
    return;
  }
  answered.add(`${operation.operationId} ${status}`);
  const response = operation.responses[status];
  assert.ok(response !== undefined, `${where} is not in the document`);
  if (response.content === undefined) {
    assert.ok(empty, `${where} has a body`);
    return;
  }
  const [type = ''] = (headers.get('content-type') ?? '').split(';');
  const schema = response.content[type]?.schema;
  assert.ok(schema !== undefined, `${where} is of the type ${type}`);
  const valid = validatorOf(`${operation.operationId} ${status}`, schema);
  assert.ok(valid(body), `${where}: ${ajv.errorsText(valid.errors)}`);
}

function validatorOf(key: string, schema: Schema): ValidateFunction {
  const whole = strict({ ...schema, components: document.components }) as Schema;
  const valid = validators.get(key) ?? ajv.compile(whole);
  validators.set(key, valid);
  return valid;
}

function operationOf(method: string, path: string): Described | undefined {
  const [, target = ''] = /^([^?]*)/.exec(path) ?? [];
  const found = Object.entries(document.paths as Record<string, Record<string, Described>>)
    // A name is more than a parameter where both would do.
    .toSorted(([a], [b]) => a.split('{').length - b.split('{').length)
    .find(([template]) => new RegExp(`^${template.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`).test(target));
  return found?.[1][method.toLowerCase()];
}

/** The schema without room for what it does not name: the fleet says nothing that is not described. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== 'object' || schema === null) return schema;
  const inner = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, strict(value)]));
  const closed = 'properties' in inner && 'required' in inner && !('code' in (inner.properties as object));
  return closed ? { additionalProperties: false, ...inner } : inner;
}
