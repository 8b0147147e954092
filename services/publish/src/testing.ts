// What this service's tests share; nothing else imports it.
import { createHmac, randomBytes } from 'node:crypto';
import { createMemoryBackbone } from '@pushfleet/bus';
import { limits } from '@pushfleet/core';
import { Budget, createIntake } from '@pushfleet/intake';
import {
  createLog,
  createMetrics,
  createTokenCheck,
  noTraces,
  type Quota,
  Quotas,
  readRoutes,
  type TopicPolicy,
} from '@pushfleet/runtime';
import { type ArchiveOptions, createArchive } from './archive/archive.ts';
import { Discovery } from './discovery.ts';
import { createHttpApi, type HttpOptions } from './http/api.ts';
import { Tracking } from './tracking.ts';

export const secret = randomBytes(32).toString('hex');
export const log = createLog({ name: 'test', level: 'silent' });

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');

/** A token (HS256) of `publisher` that may publish and subscribe everything, unless `claims` say otherwise. */
export function token(claims: object = {}): string {
  const payload = {
    sub: 'publisher',
    exp: Math.floor(Date.now() / 1_000) + 3_600,
    pushfleet: { publish: ['#'], subscribe: ['#'] },
    ...claims,
  };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(payload)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

export interface CoreOptions {
  readonly ratePerSecond?: number;
  readonly rateBurst?: number;
  readonly pendingBytes?: number;
  readonly shards?: number;
  /** Without a fleet nobody answers; without policies nothing is limited. */
  readonly stored?: Partial<ArchiveOptions>;
  /** What holds for every topic, and for every namespace. */
  readonly policy?: Partial<TopicPolicy>;
  readonly quota?: Quota;
  /** Without it nothing is public. */
  readonly publicIn?: ConstructorParameters<typeof Discovery>[0]['publicIn'];
}

/** A timeout of reads that is up when told. */
export function timeoutByHand(): { readonly timeout: () => AbortSignal; readonly up: () => void } {
  const time = new AbortController();
  const up = () => time.abort(new DOMException('the time is up', 'TimeoutError'));
  return { timeout: () => time.signal, up };
}

/** The parts that both APIs stand on, over a log in memory. */
export function core(options: CoreOptions = {}) {
  const { ratePerSecond = 1e6, rateBurst = 1e6, pendingBytes = 64 * 1_048_576, shards = 1 } = options;
  const backbone = createMemoryBackbone({ shards });
  const policy: TopicPolicy = { history: true, presence: false, ...options.policy };
  const { quota = {} } = options;
  const policies = { of: () => policy, quota: () => quota, limitsStorage: true };
  const none = { connections: 0, subscriptions: 0, published: 0 };
  const quotas = new Quotas({ policies, elsewhere: () => none });
  const terms = () => ({ maxAgeMs: 86_400_000, maxBytes: 1e9, duplicateWindowMs: 120_000 });
  const { intake, meters } = createIntake({
    config: { payloadBytes: limits.payloadBytes, ratePerSecond, rateBurst },
    instance: 'test',
    ...{ backbone, terms, policies, quotas, log },
  });
  return {
    backbone,
    archive: createArchive({
      backbone,
      fleet: { ask: async () => [] },
      policies,
      reads: 16,
      readsPerSubject: 4,
      readMs: 10_000,
      pageBytes: 1_048_576,
      explainPublications: 100_000,
      ...options.stored,
    }),
    tracking: new Tracking({ intake, metrics: createMetrics(), traces: noTraces }),
    intake,
    quotas,
    meters,
    budget: new Budget(pendingBytes),
    outgoing: new Budget(pendingBytes),
    tokens: createTokenCheck({
      tokenSecret: secret,
      tokenPublicKey: undefined,
      tokenJwksUrl: undefined,
      tokenIssuer: undefined,
      tokenAudience: undefined,
      tokenIssuers: undefined,
      tokenLifetimeMs: 86_400_000,
    }),
  };
}

/** The HTTP API on a free port. */
export async function startHttp(options: Partial<HttpOptions> & CoreOptions = {}) {
  const parts = core(options);
  const api = createHttpApi({
    ...parts,
    address: { host: '127.0.0.1', port: 0 },
    discovery: new Discovery({ routes: readRoutes(), publicIn: options.publicIn ?? (() => undefined) }),
    log,
    payloadBytes: limits.payloadBytes,
    batchBytes: 4 * 1_048_576,
    bodyTimeoutMs: 30_000,
    requestMs: 30_000,
    corsOrigins: [],
    ...options,
  });
  await api.start();
  return { ...parts, api, url: `http://127.0.0.1:${api.port}`, stop: () => api.close() };
}
