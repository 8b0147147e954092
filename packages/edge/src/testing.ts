// What the tests of edges share; nothing else imports it.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import { type Draft, type Namespace, PushfleetError, parseTopic, type Stored } from '@pushfleet/core';
import { createHubs, type Hubs } from '@pushfleet/hub';
import {
  type Config,
  createLog,
  createMetrics,
  createTokenCheck,
  Deliveries,
  type Grant,
  type Log,
  type Metrics,
  noTraces,
  type Quota,
  Quotas,
  type RevocationList,
  type TokenCheck,
  type tokenFields,
} from '@pushfleet/runtime';

/** What `token` signs with: PUSHFLEET_TOKEN_SECRET. */
export const secret = randomBytes(32).toString('hex');
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

/** What has an end: a test, or a file of tests by the `after` of node:test. */
export interface Scope {
  after(stop: () => Promise<void>): void;
}

/** What an edge under test stands on: everything in memory, and a registry that is none. */
export interface TestFooting {
  readonly backbone: MemoryBackbone;
  readonly hubs: Hubs;
  readonly registry: FakeRegistry;
  readonly quotas: Quotas;
  readonly tokens: TokenCheck;
  readonly deliveries: Deliveries;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** What two edges under test may have in common. */
export type TestShared = Partial<Pick<TestFooting, 'backbone' | 'registry'>> & { readonly quota?: Quota };

/** Makes and starts the footing; it is closed when the scope ends. Give the edge to `scope` afterwards. */
export async function testFooting(
  scope: Scope,
  config: Config<typeof tokenFields>,
  protocol: string,
  shared: TestShared = {},
): Promise<TestFooting> {
  const backbone = shared.backbone ?? createMemoryBackbone();
  const registry = shared.registry ?? new FakeRegistry();
  const metrics = createMetrics();
  const deliveries = new Deliveries({ protocol, metrics, traces: noTraces });
  const hubs = createHubs(backbone, { interestLingerMs: 1, idleMs: 1, observer: deliveries });
  const log = createLog({ name: 'test', level: 'silent' });
  const tokens = createTokenCheck(config, { revocations: registry.revocations });
  const { quota = {} } = shared;
  const none = { connections: 0, subscriptions: 0, published: 0 };
  const quotas = new Quotas({ policies: { quota: () => quota }, elsewhere: () => none });
  await hubs.start();
  scope.after(async () => {
    await hubs.close();
    await metrics.close();
  });
  return { backbone, hubs, registry, quotas, tokens, deliveries, log, metrics };
}

/** An edge under test, and what it stands on. */
export interface Started<E> extends TestFooting {
  readonly edge: E;
  readonly port: number;
  /** Past the edge, into the log. */
  readonly publish: ReturnType<typeof publisherOn>;
}

/** What an operator would set for an edge on a free port of this machine; `name` is that of its variables, `SSE`. */
export const testEnv = (name: string, env: Record<string, string>): Record<string, string> => ({
  PUSHFLEET_TOKEN_SECRET: secret,
  [`PUSHFLEET_EDGE_${name}_LISTEN`]: '127.0.0.1:0',
  PUSHFLEET_DRAIN_SECONDS: '1',
  ...env,
});

/** Starts the edge that is made on the footing; it is closed when the scope ends. */
export async function startOn<
  E extends { readonly address: AddressInfo; start(): Promise<void>; close(): Promise<void> },
>(scope: Scope, footing: TestFooting, edge: E): Promise<Started<E>> {
  await edge.start();
  scope.after(() => edge.close());
  return { ...footing, edge, port: edge.address.port, publish: publisherOn(footing.backbone) };
}

/** Stores publications with ids of its own; resolves once the log has them. */
export function publisherOn(backbone: MemoryBackbone) {
  const name = randomBytes(4).toString('hex');
  let sequence = 0;
  return async (
    topic: string,
    payload: string | Buffer,
    { namespace = 'default', ...o }: Partial<Draft> & { namespace?: string } = {},
  ): Promise<Stored> => {
    const draft = {
      id: `${name}-${sequence++}`,
      source: 'test',
      topic: parseTopic(topic),
      contentType: 'text/plain',
      payload: Buffer.from(payload as string),
      ...o,
    };
    const [stored] = await backbone.bus(namespace as Namespace).publish([draft]);
    if (stored === undefined || stored instanceof PushfleetError) throw stored;
    return stored;
  };
}

/** Connections, and those that have yet to become one. */
type Occupied = Started<{ readonly size: number; readonly guests?: number }>;

/** Resolves once every client is forgotten, and its interest. */
export async function untilNobody({ edge, hubs }: Occupied): Promise<void> {
  await until(() => edge.size + (edge.guests ?? 0) === 0, 'everyone is forgotten');
  await until(() => hubs.stats().followed === 0, 'no interest is left');
}

/** How long what is over may still be held by timers and sockets that close, in milliseconds. */
const lettingGoMs = 10_000;

/** Bytes of the heap that stay in use after the work and were not before; more than `most` are given time to go. */
export async function heapGrowth(
  work: () => Promise<void>,
  most = Number.POSITIVE_INFINITY,
): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = used();
  await work();
  const end = Date.now() + lettingGoMs;
  let grown = used() - before;
  while (grown >= most && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    grown = used() - before;
  }
  return grown;
}

/**
 * Asserts that thousands who come and go leave neither interest nor memory behind.
 *
 * @param visit has the clients of these numbers come and go, all at once; they follow `go/#`
 */
export async function assertLeavesNothing(
  edge: Occupied,
  visit: (numbers: readonly number[]) => Promise<unknown>,
): Promise<void> {
  const round = async (from: number, count: number): Promise<void> => {
    for (let first = from; first < from + count; first += 50) {
      await visit(Array.from({ length: 50 }, (_, i) => first + i));
      await edge.publish('go/on', 'x'.repeat(100));
    }
    await untilNobody(edge);
  };
  await round(0, 1_500);
  const most = 3_000_000;
  const grown = await heapGrowth(() => round(1_500, 3_000), most);
  const { feeds, filters } = edge.hubs.stats();
  assert.deepEqual({ feeds, filters }, { feeds: 0, filters: 0 });
  assert.ok(grown < most, `${grown} bytes more after 3,000 clients`);
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
    await until(() => this.ended, `the end of ${JSON.stringify(this.received)}`);
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
