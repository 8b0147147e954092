// What this service's tests share; nothing else imports it.
import { createHmac, randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { type Draft, type Namespace, PushfleetError, parseTopic, type Stored } from '@pushfleet/core';
import { createHubs } from '@pushfleet/hub';
import {
  createLog,
  createMetrics,
  createTokenCheck,
  Deliveries,
  type Grant,
  type Metrics,
  noTraces,
  type Quota,
  Quotas,
  type RevocationList,
  readConfig,
} from '@pushfleet/runtime';
import { fields } from './config.ts';
import { Edge } from './edge.ts';

const secret = randomBytes(32).toString('hex');
const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

/** A token (HS256) of `ann` that may subscribe everything for an hour, unless `claims` say otherwise. */
export function token(claims: object = {}): string {
  const payload = {
    sub: 'ann',
    exp: Math.floor(Date.now() / 1_000) + 3_600,
    pushfleet: { subscribe: ['#'] },
    ...claims,
  };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(payload)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** The registry as far as an edge uses it: tickets that are good once, and revocation by subject. */
export class FakeRegistry {
  readonly #tickets = new Map<string, string>();
  readonly #revoked = new Set<string>();
  readonly #listeners = new Set<() => void>();
  away = false;

  ticket(forToken: string): string {
    const ticket = randomBytes(8).toString('hex');
    this.#tickets.set(ticket, forToken);
    return ticket;
  }

  async redeemTicket(ticket: string): Promise<string> {
    if (this.away) throw new PushfleetError('unavailable', 'The registry is away.');
    const found = this.#tickets.get(ticket);
    if (found === undefined) throw new PushfleetError('unauthenticated', 'The ticket is spent or unknown.');
    this.#tickets.delete(ticket);
    return found;
  }

  revoke(subject: string): void {
    this.#revoked.add(subject);
    for (const listener of this.#listeners) listener();
  }

  readonly revocations: RevocationList = {
    revoked: (grant: Grant) => this.#revoked.has(grant.subject),
    onRevoked: (on) => {
      this.#listeners.add(on);
      return () => this.#listeners.delete(on);
    },
  };
}

export interface TestEdge {
  readonly edge: Edge;
  readonly backbone: MemoryBackbone;
  readonly hubs: ReturnType<typeof createHubs>;
  readonly metrics: Metrics;
  readonly registry: FakeRegistry;
  readonly port: number;
  readonly url: string;
  /** Stores a publication; resolves once the log has it. */
  publish(
    topic: string,
    payload: string | Buffer,
    o?: Partial<Draft> & { namespace?: string },
  ): Promise<Stored>;
}

/** What has an end: a test, or a file of tests by the `after` of node:test. */
export interface Scope {
  after(stop: () => Promise<void>): void;
}

/** An edge on a free port of this machine until the scope ends; `env` as an operator would set it. */
export async function startEdge(
  scope: Scope,
  env: Record<string, string> = {},
  shared: Partial<Pick<TestEdge, 'backbone' | 'registry'>> & { readonly quota?: Quota } = {},
): Promise<TestEdge> {
  const config = readConfig(fields, {
    PUSHFLEET_TOKEN_SECRET: secret,
    PUSHFLEET_EDGE_SSE_LISTEN: '127.0.0.1:0',
    PUSHFLEET_DRAIN_SECONDS: '1',
    ...env,
  });
  const backbone = shared.backbone ?? createMemoryBackbone();
  const registry = shared.registry ?? new FakeRegistry();
  const metrics = createMetrics();
  const deliveries = new Deliveries({ protocol: 'sse', metrics, traces: noTraces });
  const hubs = createHubs(backbone, { interestLingerMs: 1, idleMs: 1, observer: deliveries });
  const log = createLog({ name: 'test', level: 'silent' });
  const tokens = createTokenCheck(config, { revocations: registry.revocations });
  const { quota = {} } = shared;
  const none = { connections: 0, subscriptions: 0, published: 0 };
  const quotas = new Quotas({ policies: { quota: () => quota }, elsewhere: () => none });
  const edge = new Edge({ config, hubs, quotas, tokens, registry, deliveries, log, metrics });
  await hubs.start();
  await edge.start();
  scope.after(async () => {
    await edge.close();
    await hubs.close();
    await metrics.close();
  });
  const { port } = edge.address;
  let sequence = 0;
  return {
    edge,
    backbone,
    hubs,
    metrics,
    registry,
    port,
    url: `http://127.0.0.1:${port}/sse`,
    publish: async (topic, payload, { namespace = 'default', ...o } = {}) => {
      const draft = {
        id: `${port}-${sequence++}`,
        source: 'test',
        topic: parseTopic(topic),
        contentType: 'text/plain',
        payload: Buffer.from(payload as string),
        ...o,
      };
      const [stored] = await backbone.bus(namespace as Namespace).publish([draft]);
      if (stored === undefined || stored instanceof PushfleetError) throw stored;
      return stored;
    },
  };
}

/** Resolves once `condition` holds. */
export async function until(condition: () => boolean, what: string, ms = 5_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`Waited ${ms} ms in vain until ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** One HTTP/1.1 request written by hand, and whatever comes back. */
export class RawClient {
  readonly socket: Socket;
  received = '';
  ended = false;

  constructor(port: number, request: string) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.write(request);
    this.socket.on('data', (bytes) => {
      this.received += bytes.toString('latin1');
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.ended = true;
    });
  }

  get status(): number {
    return Number(this.received.slice(9, 12));
  }

  get head(): string {
    return this.received.slice(0, this.received.indexOf('\r\n\r\n') + 2).toLowerCase();
  }

  get body(): string {
    return this.received.slice(this.received.indexOf('\r\n\r\n') + 4);
  }

  async has(text: string): Promise<this> {
    await until(
      () => this.received.includes(text),
      `${JSON.stringify(text)} in ${JSON.stringify(this.received)}`,
    );
    return this;
  }

  async end(): Promise<this> {
    await until(() => this.ended, `the end of ${JSON.stringify(this.received)}`, 10_000);
    return this;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** A request's head from its first line and headers. */
export const head = (line: string, headers: Record<string, string> = {}): string =>
  `${line}\r\n${Object.entries({ Host: 'localhost', ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;
