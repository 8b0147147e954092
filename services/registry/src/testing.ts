// What the tests of this service share: instances of it in this process, tokens, and requests.
import { createSecretKey } from 'node:crypto';
import { createMemoryBackbone, type Ledger } from '@pushfleet/bus';
import { PushfleetError } from '@pushfleet/core';
import { createLog, createMetrics, internalClient, type Part, readConfig } from '@pushfleet/runtime';
import { SignJWT } from 'jose';
import { fields } from './config.ts';
import { type Registry, wireRegistry } from './wire.ts';

export const secret = 'a secret of the tests that is long enough';
const key = createSecretKey(Buffer.from(secret));
/** What secrets of subscriptions are encrypted under. */
const secretsKey = `test:${Buffer.alloc(32, 7).toString('base64')}`;

type Backbone = Parameters<typeof wireRegistry>[2];

/** A token of the tests' issuer; `claims` replaces the usual ones. */
export function token(claims: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  return new SignJWT({ sub: 'alice', iat: now, exp: now + 600, pushfleet: { manage: true }, ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(key);
}

export interface Instance extends Registry {
  readonly url: string;
  readonly parts: readonly Part[];
  /** What a gRPC client of the fleet is made with. */
  client(): ReturnType<typeof internalClient>;
  post(path: string, bearer: string, body?: unknown): Promise<Response>;
  drain(): Promise<void>;
  close(): Promise<void>;
}

export interface InstanceOptions {
  readonly redisUrl: string;
  readonly backbone?: Backbone;
  readonly env?: NodeJS.ProcessEnv;
}

/** One log for several instances. */
export const sharedLog = (): Backbone => createMemoryBackbone();

/** The log out of reach while `away` is set. */
export function fickleLog(): Backbone & { away: boolean } {
  const log = createMemoryBackbone();
  const state = { away: false };
  const guarded =
    <A extends unknown[], R>(method: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      state.away ? Promise.reject(away()) : method(...args);
  const ledger = (name: string): Ledger => {
    const inner = log.ledger(name);
    return {
      get: guarded((key) => inner.get(key)),
      put: guarded((key, value, options) => inner.put(key, value, options)),
      delete: guarded((key, options) => inner.delete(key, options)),
      read: guarded((options) => inner.read(options)),
      watch: guarded((on, options) => inner.watch(on, options)),
    };
  };
  return Object.assign(state, {
    ready: true,
    signals: log.signals,
    bus: log.bus.bind(log),
    start: async () => {},
    drain: async () => {},
    close: async () => {},
    ledger,
    queue: log.queue.bind(log),
    shelf: log.shelf.bind(log),
    tail: log.tail.bind(log),
  });
}

/** Starts an instance on free ports. */
export async function startInstance(options: InstanceOptions): Promise<Instance> {
  const config = readConfig(fields, {
    PUSHFLEET_TOKEN_SECRET: secret,
    PUSHFLEET_REDIS_URL: options.redisUrl,
    PUSHFLEET_REGISTRY_LISTEN: '127.0.0.1:0',
    PUSHFLEET_REGISTRY_GRPC_LISTEN: '127.0.0.1:0',
    PUSHFLEET_SECRETS_KEYS: secretsKey,
    ...options.env,
  });
  const log = createLog({ name: 'registry', level: 'silent' });
  const registry = wireRegistry(config, { log, metrics: createMetrics() }, options.backbone ?? sharedLog());
  for (const part of registry.parts) await part.start();
  const url = `http://127.0.0.1:${registry.http.port}`;
  return {
    ...registry,
    url,
    client: () => internalClient(config, { url: `http://127.0.0.1:${registry.grpc.port}`, service: 'test' }),
    post: (path, bearer, body) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    drain: async () => {
      await Promise.all(registry.parts.map((part) => part.drain(AbortSignal.timeout(2_000))));
    },
    close: async () => {
      for (const part of registry.parts.toReversed()) await part.close();
    },
  };
}

/** Why an instance is not ready, by part. */
export const reasons = (instance: Instance): Record<string, string> =>
  Object.fromEntries(
    instance.parts.flatMap((part) => {
      const reason = part.ready?.();
      return reason === undefined ? [] : [[part.name, reason]];
    }),
  );

const away = () => new PushfleetError('unavailable', 'The log is out of reach.', { retryAfterMs: 1_000 });
