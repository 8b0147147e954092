// The hub as a process beside registry and publish, on real servers, with a subscriber.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectJetStream, type JetStreamBackbone, migrate } from '@pushfleet/bus';
import {
  type NatsCluster,
  type RedisServer,
  type ServiceProcess,
  startNats,
  startRedis,
  startService,
  until,
} from '@pushfleet/contract';
import { defaultNamespace, parseTopic } from '@pushfleet/core';
import { callRegistry, type SubscriptionCalls, shortHash } from '@pushfleet/delivery';
import {
  type Subscription,
  SubscriptionState,
  type WebSubTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { createLog, internalClient, internalFields, readConfig } from '@pushfleet/runtime';
import { webSubOf } from './subscriber.ts';
import {
  type Callback,
  type HubAnswer,
  heard,
  openFront,
  Subscriber,
  subscribe,
  unsubscribe,
} from './testing.ts';

const tokenSecret = 'a secret of the tests that is long enough';
const streams = {
  shards: 1,
  replicas: 1,
  maxAgeMs: 3_600_000,
  maxBytes: 2 ** 27,
  duplicateWindowMs: 120_000,
};
const open = { namespace: 'default', filter: 'news/#', public: true };

/** Short times, and nothing that holds a test back. */
const ownEnv = {
  PUSHFLEET_WEBSUB_RETRY: '1s',
  PUSHFLEET_WEBSUB_VERIFY_RETRY: '1s,1s',
  PUSHFLEET_WEBSUB_BREAKER_SECONDS: '1',
  PUSHFLEET_WEBSUB_LEASE_MIN: '2s',
  PUSHFLEET_WEBSUB_RATE: '1000',
  PUSHFLEET_WEBSUB_HOST_RATE: '1000',
};

type Form = Record<string, string>;
type Env = Readonly<Record<string, string>>;

export class HubSite {
  readonly subscriber: Subscriber;
  /** The fleet's public origin. */
  url = '';
  worker!: ServiceProcess;
  #registry!: ServiceProcess;
  #publisher!: ServiceProcess;
  #calls!: SubscriptionCalls & { close(): void };
  #front!: Awaited<ReturnType<typeof openFront>>;
  readonly #backbone: JetStreamBackbone;
  readonly servers: readonly [NatsCluster, RedisServer];
  readonly #directory = mkdtempSync(join(tmpdir(), 'pushfleet-websub-'));
  #env: Env = {};
  #count = 0;
  #topics: object[] = [open];
  #feeds: object[] = [];
  #quotas: object[] = [];

  private constructor(servers: readonly [NatsCluster, RedisServer], subscriber: Subscriber) {
    this.servers = servers;
    this.subscriber = subscriber;
    const log = createLog({ name: 'test', level: 'silent' });
    this.#backbone = connectJetStream({ servers: servers[0].url, name: 'test', log });
  }

  /** @param more variables of the hub */
  static async start(more: Env = {}): Promise<HubSite> {
    const [nats, redis, subscriber] = await Promise.all([startNats(), startRedis(), Subscriber.start()]);
    await migrate({ servers: nats.url, ...streams });
    const site = new HubSite([nats, redis], subscriber);
    await site.#start(more);
    return site;
  }

  async #start(more: Env): Promise<void> {
    this.setPolicies(open);
    this.#front = await openFront({
      '/v1/topics': () => this.#publisher.addresses.http as string,
      '/websub': () => this.worker.addresses.http as string,
    });
    this.url = this.#front.url;
    const [nats, redis] = this.servers;
    this.#env = {
      PUSHFLEET_NATS_URL: nats.url,
      PUSHFLEET_REDIS_URL: redis.url,
      PUSHFLEET_TOKEN_SECRET: tokenSecret,
      PUSHFLEET_SECRETS_KEYS: `test:${Buffer.alloc(32, 7).toString('base64')}`,
      PUSHFLEET_OUTBOUND_ALLOW: '127.0.0.1',
      PUSHFLEET_POLICIES_FILE: join(this.#directory, 'policies.json'),
      PUSHFLEET_PUBLIC_URL: this.url,
    };
    this.#registry = await startService('registry', this.#env);
    const registryUrl = `http://${this.#registry.addresses.grpc}`;
    this.#env = { ...this.#env, PUSHFLEET_REGISTRY_URL: registryUrl };
    this.#publisher = await startService('publish', this.#env);
    await this.startWorker(more);
    await this.#backbone.start();
    const config = readConfig(internalFields, { PUSHFLEET_TOKEN_SECRET: tokenSecret });
    const log = createLog({ name: 'test', level: 'silent' });
    this.#calls = callRegistry(internalClient(config, { url: registryUrl, service: 'test' }), log);
  }

  async startWorker(more: Env = {}): Promise<void> {
    this.worker = await startService('delivery-websub', { ...this.#env, ...ownEnv, ...more });
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://${this.worker.addresses.ops}/metrics`)).text();
  }

  async stop(): Promise<void> {
    this.#calls.close();
    await this.#backbone.close();
    await Promise.all([this.worker, this.#publisher, this.#registry].map((one) => one.kill('SIGKILL')));
    await Promise.all([this.subscriber.close(), this.#front.close()]);
    await Promise.all(this.servers.map((server) => server.stop()));
    rmSync(this.#directory, { recursive: true });
  }

  get hub(): string {
    return `${this.url}/websub`;
  }

  /** Policies before the one that makes topics public. */
  setPolicies(...topics: object[]): void {
    this.#topics = topics.includes(open) ? topics : [...topics, open];
    this.#writePolicies();
  }

  /** Declares these feeds, and no others; within two seconds the hub knows. */
  setFeeds(...feeds: readonly { topic: string; url: string }[]): void {
    this.#feeds = feeds.map((feed) => ({ namespace: 'default', ...feed }));
    this.#writePolicies();
  }

  /** What the namespace of the tests may use. */
  setQuota(quota: object): void {
    this.#quotas = [{ namespace: 'default', ...quota }];
    this.#writePolicies();
  }

  #writePolicies(): void {
    const policies = { topics: this.#topics, feeds: this.#feeds, quotas: this.#quotas };
    writeFileSync(join(this.#directory, 'policies.json'), JSON.stringify(policies));
  }

  /** A topic that no other test has, and its URL as discovery gives it. */
  newTopic(): { readonly topic: string; readonly url: string } {
    const topic = `news/${++this.#count}`;
    return { topic, url: `${this.url}/v1/topics?topic=${encodeURIComponent(topic)}` };
  }

  /** @returns the publication's id */
  async publish(topic: string, body: string | Buffer, contentType = 'text/plain'): Promise<string> {
    const id = `p-${++this.#count}`;
    const draft = { id, source: 'test', topic: parseTopic(topic), contentType, payload: Buffer.from(body) };
    const [stored] = await this.#backbone.bus(defaultNamespace).publish([draft]);
    assert.ok(stored && 'cursor' in stored, String(stored));
    return id;
  }

  subscribe(url: string, callback: Callback, more: Form = {}): Promise<HubAnswer> {
    return subscribe(this.hub, url, callback, more);
  }

  unsubscribe(url: string, callback: Callback, more: Form = {}): Promise<HubAnswer> {
    return unsubscribe(this.hub, url, callback, more);
  }

  /** Subscribed, verified and active: what is published from here on is delivered. */
  async subscribed(url: string, callback: Callback, more: Form = {}): Promise<void> {
    const before = await this.recordOf(url, callback);
    const { length } = callback.verifications;
    assert.equal((await this.subscribe(url, callback, more)).status, 202);
    await heard(() => callback.verifications, length + 1, 'the verification');
    await until(
      async () =>
        (await this.isActive(url, callback)) &&
        (await this.isSettled(url, callback)) &&
        (await this.recordOf(url, callback))?.revision !== before?.revision,
      'the subscription',
    );
  }

  async recordOf(url: string, callback: Callback): Promise<Subscription | undefined> {
    const id = `ws_${shortHash(`${url}\0${callback.url}`)}`;
    return (await this.#calls.read([{ namespace: defaultNamespace, id }])).found[0];
  }

  async targetOf(url: string, callback: Callback): Promise<WebSubTarget | undefined> {
    const record = await this.recordOf(url, callback);
    return record && webSubOf(record);
  }

  async isActive(url: string, callback: Callback): Promise<boolean> {
    return (await this.recordOf(url, callback))?.state === SubscriptionState.SUBSCRIPTION_STATE_ACTIVE;
  }

  /** Whether there is a record, and no request of it waits for an answer. */
  async isSettled(url: string, callback: Callback): Promise<boolean> {
    return (await this.targetOf(url, callback))?.requests.length === 0;
  }

  gone(url: string, callback: Callback): Promise<void> {
    const isGone = async () => (await this.recordOf(url, callback)) === undefined;
    return until(isGone, 'the end of the subscription');
  }

  /** Published to another subscriber of the topic, and come there: whoever else was owed it has had its turn. */
  async passed(topic: string, url: string): Promise<void> {
    const witness = this.subscriber.callback();
    await this.subscribed(url, witness);
    await this.publish(topic, 'to the witness');
    await heard(() => witness.contents, 1, 'the witness');
  }

  /** @returns how to lift it */
  async revoke(subject: string): Promise<() => Promise<void>> {
    const url = `http://${this.#registry.addresses.http}/v1/revocations`;
    const headers = { authorization: `Bearer ${managersToken()}`, 'content-type': 'application/json' };
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ subject }) });
    const { id } = (await answer.json()) as { id: string };
    assert.equal(answer.status, 201);
    return async () => {
      assert.equal((await fetch(`${url}/${id}`, { method: 'DELETE', headers })).status, 204);
    };
  }
}

function managersToken(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const iat = Math.floor(Date.now() / 1_000);
  const claims = { sub: 'operator', iat, exp: iat + 600, pushfleet: { manage: true } };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', tokenSecret).update(text).digest('base64url')}`;
}

/** Texts of what came to a callback. */
export const texts = ({ contents }: Callback): string[] => contents.map(({ body }) => body.toString());
