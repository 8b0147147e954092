// What this service's tests share; nothing else imports it.
import { createHmac, randomBytes } from 'node:crypto';
import { createMemoryBackbone } from '@pushfleet/bus';
import { limits } from '@pushfleet/core';
import { createLog, createTokenCheck, RateLimit, readRoutes } from '@pushfleet/runtime';
import { Budget } from './budget.ts';
import { Discovery } from './discovery.ts';
import { createHttpApi, type HttpOptions } from './http.ts';
import { Intake } from './intake.ts';

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

/** The parts that both APIs stand on, over a log in memory. */
export function core(options: { ratePerSecond?: number; rateBurst?: number; pendingBytes?: number } = {}) {
  const { ratePerSecond = 1e6, rateBurst = 1e6, pendingBytes = 64 * 1_048_576 } = options;
  const backbone = createMemoryBackbone();
  const rate = new RateLimit({ perSecond: ratePerSecond, burst: rateBurst });
  return {
    backbone,
    intake: new Intake({ backbone, rate, payloadBytes: limits.payloadBytes }),
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
export async function startHttp(options: Partial<HttpOptions> & Parameters<typeof core>[0] = {}) {
  const parts = core(options);
  const api = createHttpApi({
    ...parts,
    address: { host: '127.0.0.1', port: 0 },
    discovery: new Discovery({ routes: readRoutes() }),
    log,
    payloadBytes: limits.payloadBytes,
    batchBytes: 4 * 1_048_576,
    bodyTimeoutMs: 30_000,
    ...options,
  });
  await api.start();
  return { ...parts, api, url: `http://127.0.0.1:${api.port}`, stop: () => api.close() };
}
