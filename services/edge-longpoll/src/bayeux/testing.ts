// What the tests of Bayeux share; nothing else imports it.
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import {
  FakeRegistry,
  publisherOn,
  type Scope,
  secret,
  type TestFooting,
  testFooting,
  token,
} from '@pushfleet/edge/testing';
import { createIntake } from '@pushfleet/intake';
import {
  createFleet,
  type Fleet,
  type Metrics,
  type Quota,
  type Reading,
  readConfig,
  type TopicPolicy,
} from '@pushfleet/runtime';
import { fields } from '../config.ts';
import { Edge } from '../edge.ts';
import { type BayeuxOptions, createBayeux } from './mod.ts';

export interface TestServer extends TestFooting {
  readonly edge: Edge;
  readonly port: number;
  readonly url: string;
  readonly fleet: Fleet;
  readonly publish: ReturnType<typeof publisherOn>;
  /** Connects that wait for their answers. */
  waiting(): number;
  /** As kill -9 is: nothing is written, told or answered. */
  kill(): Promise<void>;
}

export interface TestOptions {
  readonly env?: Record<string, string>;
  /** Another instance of the same fleet. */
  readonly beside?: TestServer;
  readonly backbone?: MemoryBackbone;
  readonly quota?: Quota;
  readonly presence?: BayeuxOptions['presence'];
  readonly now?: () => number;
}

const refuse = async (): Promise<never> => {
  throw new PushfleetError('unavailable', 'There is no presence here.');
};
const noPresence: BayeuxOptions['presence'] = {
  ...{ enter: refuse, update: refuse, leave: refuse, list: refuse },
  leaveAll: () => {},
};

/** A scope whose last comes to its end first: clients say goodbye before their server goes. */
export function backwards(scope: Scope): Scope {
  const stops: (() => Promise<void>)[] = [];
  scope.after(async () => {
    for (const stop of stops.reverse()) await stop();
  });
  return { after: (stop) => void stops.push(stop) };
}

/** A token that may do everything. */
export const allToken = (claims: object = {}): string =>
  token({ pushfleet: { publish: ['#'], subscribe: ['#'], presence: ['#'] }, ...claims });

/** An instance on a free port until the scope ends. */
export async function startBayeux(scope: Scope, o: TestOptions = {}): Promise<TestServer> {
  const config = readConfig(fields, {
    PUSHFLEET_TOKEN_SECRET: secret,
    PUSHFLEET_EDGE_LONGPOLL_LISTEN: '127.0.0.1:0',
    PUSHFLEET_DRAIN_SECONDS: '1',
    ...o.env,
  });
  const log = o.beside && (o.beside.backbone as MemoryBackbone).log;
  const backbone = o.backbone ?? createMemoryBackbone(log ? { log } : {});
  const registry = o.beside?.registry ?? new FakeRegistry();
  const { quota = {} } = o;
  const footing = await testFooting(scope, config, 'longpoll', { backbone, registry, quota });
  const fleet = createFleet(backbone.signals, { service: 'edge-longpoll', protocol: 'longpoll' });
  await fleet.start();
  const policy: TopicPolicy = { history: true, presence: true };
  const { intake } = createIntake({
    ...{ config, backbone, log: footing.log, instance: fleet.instance, quotas: footing.quotas },
    terms: () => ({ maxAgeMs: 86_400_000, maxBytes: 1e9, duplicateWindowMs: 120_000 }),
    policies: { of: () => policy, quota: () => quota, limitsStorage: false },
  });
  const gauges = new Map<string, () => Reading>();
  const metrics: Metrics = {
    ...footing.metrics,
    gauge(name, options, read) {
      gauges.set(name, read);
      footing.metrics.gauge(name, options, read);
    },
  };
  const { presence = noPresence, now = Date.now } = o;
  const edge = new Edge({
    ...{ config, ...footing },
    bayeux: (ground) =>
      createBayeux({ ...ground, ...footing, metrics, backbone, fleet, intake, presence, now }),
  });
  await edge.start();
  scope.after(async () => {
    await edge.close();
    await fleet.close();
  });
  const { port } = edge.address;
  return {
    ...{ ...footing, edge, port, fleet, url: `http://127.0.0.1:${port}/bayeux` },
    publish: publisherOn(backbone),
    waiting: () => gauges.get('pushfleet_bayeux_waiting')?.() as number,
    async kill() {
      backbone.source.close();
      await edge.close();
      await fleet.close();
    },
  };
}

/** A message as a server sends it. */
export interface Received {
  readonly channel: string;
  readonly successful?: boolean;
  readonly error?: string;
  readonly clientId?: string;
  readonly id?: string;
  readonly data?: unknown;
  readonly advice?: { readonly reconnect: string; readonly interval: number; readonly timeout?: number };
  readonly ext?: { readonly ack?: number; readonly pushfleet?: Record<string, unknown> };
  readonly [field: string]: unknown;
}

/** Bayeux by hand: one POST for each call. */
export class HandClient {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  clientId = '';
  #id = 0;

  constructor(url: string, headers: Record<string, string> = { authorization: `Bearer ${allToken()}` }) {
    this.#url = url;
    this.#headers = headers;
  }

  async post(messages: unknown, signal?: AbortSignal): Promise<Received[]> {
    const body = typeof messages === 'string' ? messages : JSON.stringify(messages);
    const headers = { 'content-type': 'application/json', ...this.#headers };
    const answer = await fetch(this.#url, { method: 'POST', headers, body, ...(signal && { signal }) });
    return (await answer.json()) as Received[];
  }

  nextId(): string {
    return String(++this.#id);
  }

  async handshake(fields: object = {}): Promise<Received> {
    const [answer] = await this.post([
      {
        ...{ channel: '/meta/handshake', version: '1.0', id: this.nextId() },
        supportedConnectionTypes: ['long-polling'],
        ...fields,
      },
    ]);
    this.clientId = answer?.clientId ?? '';
    return answer as Received;
  }

  connectMessage(fields: object = {}): object {
    const { clientId } = this;
    return {
      ...{ channel: '/meta/connect', connectionType: 'long-polling', clientId, id: this.nextId() },
      ...fields,
    };
  }

  connect(fields: object = {}, signal?: AbortSignal): Promise<Received[]> {
    return this.post([this.connectMessage(fields)], signal);
  }

  async subscribe(subscription: string | readonly string[], ext: object = {}): Promise<Received> {
    const { clientId } = this;
    const message = { channel: '/meta/subscribe', clientId, subscription, id: this.nextId() };
    const [answer] = await this.post([{ ...message, ext: { pushfleet: ext } }]);
    return answer as Received;
  }
}

/** The data of the events among some messages, in order. */
export const dataOf = (messages: readonly Received[]): unknown[] =>
  messages.filter(({ data }) => data !== undefined).map(({ data }) => data);
