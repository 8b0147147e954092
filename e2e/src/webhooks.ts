import { randomBytes, randomUUID } from 'node:crypto';
import { until } from '@pushfleet/contract';
import { Fleet, token } from './fleet.ts';
import { publish } from './stream.ts';
import { type Behaviour, behaviours, type Received, Receivers } from './webhook-receivers.ts';

/** What a fleet with webhooks to this machine needs beside what every fleet needs. */
export const webhookEnv: Readonly<Record<string, string>> = {
  PUSHFLEET_SECRETS_KEYS: `test:${randomBytes(32).toString('base64')}`,
  PUSHFLEET_OUTBOUND_ALLOW: '127.0.0.0/8',
  PUSHFLEET_WEBHOOK_UNCONFIRMED: 'true',
  PUSHFLEET_WEBHOOK_TIMEOUT: '2',
  PUSHFLEET_WEBHOOK_ORIGIN: 'fleet.example',
  PUSHFLEET_SUBSCRIPTION_RATE: '10000',
  PUSHFLEET_SUBSCRIPTION_BURST: '10000',
};

/** A subscription as the HTTP API shows it, as far as the tests look. */
export interface Hook {
  readonly id: string;
  readonly state: 'pending' | 'active' | 'paused' | 'suspended';
  readonly stateReason?: string;
  /** In the answers that make one. */
  readonly secret: string;
  readonly backlog: { readonly queued: number; readonly retrying: number; readonly dead: number };
}

export interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

/** Where subscriptions are managed. */
interface Managed {
  readonly registry: { readonly addresses: Readonly<Record<string, string>> };
}

/** A manager of webhooks, by HTTP. */
export class HookManager {
  readonly #fleet: Managed;
  readonly #token: string;

  constructor(fleet: Managed, token: string) {
    this.#fleet = fleet;
    this.#token = token;
  }

  /** @param path behind `/v1/subscriptions` */
  async call<T = Hook>(method: string, path: string, body?: object): Promise<Answer<T>> {
    const answer = await fetch(`http://${this.#fleet.registry.addresses.http}/v1/subscriptions${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, body: (text === '' ? undefined : JSON.parse(text)) as T };
  }

  /** @throws Error with the answer, where it is not the status that a success has */
  async done<T = Hook>(method: string, path: string, body?: object): Promise<T> {
    const answer = await this.call<T>(method, path, body);
    if (answer.status < 300) return answer.body;
    throw new Error(`${method} ${path} was answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  }

  create(wish: object): Promise<Hook> {
    return this.done('POST', '', wish);
  }
}

/** Longer than anything takes that is well, on a busy machine. */
export const patienceMs = 30_000;

/** A fleet with two workers, endpoints for it, and somebody who may do everything. */
export class HookSite {
  readonly fleet: Fleet;
  readonly receivers: Receivers;
  readonly owner: HookManager;
  /** The owner's token. */
  readonly token: string;

  private constructor(fleet: Fleet, receivers: Receivers, token: string) {
    this.fleet = fleet;
    this.receivers = receivers;
    this.token = token;
    this.owner = new HookManager(fleet, token);
  }

  static async start(env: Readonly<Record<string, string>>): Promise<HookSite> {
    const fleet = await Fleet.start({ workers: 2, env: { ...webhookEnv, ...env } });
    const everything = { publish: ['#'], subscribe: ['#', '$hooks/#'], manage: true } as const;
    return new HookSite(fleet, await Receivers.open(), await token({ sub: 'owner', ...everything }));
  }

  async stop(): Promise<void> {
    this.receivers.close();
    await this.fleet.stop();
  }

  /** An endpoint that is subscribed to topics of its own, `<name>/#`, and trusted with the secret. */
  async subscribe(
    behave: Behaviour = behaviours.well,
    wish: object = {},
  ): Promise<{ readonly name: string; readonly hook: Hook }> {
    const name = randomUUID();
    const url = this.receivers.add(name, behave);
    const hook = await this.owner.create({ filter: `${name}/#`, url, handshake: 'none', ...wish });
    this.receivers.trust(name, hook.secret);
    return { name, hook };
  }

  async publish(topic: string, text: string): Promise<void> {
    const status = await publish(this.fleet.http.address, topic, this.token, text);
    if (status !== 201) throw new Error(`a publication to ${topic} was answered ${status}`);
  }

  /** What came to an endpoint, once so much came. */
  async arrived(endpoint: string, count: number): Promise<Received[]> {
    const enough = () => this.receivers.of(endpoint).length >= count;
    await until(enough, `${count} deliveries to ${endpoint}`, patienceMs);
    return this.receivers.of(endpoint);
  }
}

export const bodies = (received: readonly Received[]): string[] => received.map(({ body }) => body);
