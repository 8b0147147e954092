// What the tests of this service share.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createMemoryBackbone } from '@pushfleet/bus';
import {
  type Cursor,
  formatCursor,
  type Namespace,
  type Publication,
  PushfleetError,
  parseTopic,
} from '@pushfleet/core';
import { type Errand, Tracking } from '@pushfleet/delivery';
import { createCaller } from '@pushfleet/outbound';
import {
  SigningScheme,
  type SigningSecret,
  Subscription,
  WebhookFormat,
  WebhookHandshake,
  WebhookTarget,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { createLog, createMetrics, noTraces, readConfig, type Traces } from '@pushfleet/runtime';
import { fields } from './config.ts';
import { WebhookCourier } from './courier.ts';
import { Sequences } from './notify/sequences.ts';

export const cursor: Cursor = formatCursor({ generation: 'g', time: 36, positions: [71] });

/** An order of one coffee, in JSON. */
export const publication = (o: Partial<Publication> = {}): Publication => ({
  id: 'o-1',
  source: 'shop',
  topic: parseTopic('orders/1'),
  contentType: 'application/json',
  payload: Buffer.from('{"coffee":1}'),
  time: Date.UTC(2025, 0, 2, 3, 4, 5, 6),
  shard: 0,
  sequence: 71,
  ...o,
});

export const hmacSecret = (o: Partial<SigningSecret> = {}): SigningSecret => ({
  keyId: 'k1',
  scheme: SigningScheme.SIGNING_SCHEME_HMAC_SHA256,
  secret: randomBytes(32),
  publicKey: Buffer.alloc(0),
  createdAt: undefined,
  expiresAt: undefined,
  ...o,
});

export function ed25519Secret(o: Partial<SigningSecret> = {}): SigningSecret {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const bytes = (jwk: { readonly d?: string; readonly x?: string }, part: 'd' | 'x'): Buffer =>
    Buffer.from(jwk[part] as string, 'base64url');
  return {
    ...hmacSecret(),
    scheme: SigningScheme.SIGNING_SCHEME_ED25519,
    secret: bytes(privateKey.export({ format: 'jwk' }), 'd'),
    publicKey: bytes(publicKey.export({ format: 'jwk' }), 'x'),
    ...o,
  };
}

/** As the owner of a subscription is given it. */
export const secretText = ({ secret }: SigningSecret): string => `whsec_${secret.toString('base64')}`;

export const webhook = (o: Partial<WebhookTarget> = {}): WebhookTarget =>
  WebhookTarget.fromPartial({
    url: 'http://127.0.0.1:9/hook',
    format: WebhookFormat.WEBHOOK_FORMAT_CLOUDEVENTS_STRUCTURED,
    handshake: WebhookHandshake.WEBHOOK_HANDSHAKE_NONE,
    secrets: [hmacSecret()],
    ...o,
  });

export const errand = (target: WebhookTarget, o: Partial<Errand> = {}): Errand => ({
  why: 'publication',
  namespace: 'default' as Namespace,
  subscription: Subscription.fromPartial({
    namespace: 'default',
    id: 'sub-1',
    filter: 'orders/#',
    target: { $case: 'webhook', webhook: target },
  }),
  publication: publication(),
  cursor,
  id: 'msg_AbCdEfGhIjKlMnOpQrStUv',
  attempt: 1,
  ...o,
});

/** As the registry hands a handshake over: without a publication. */
export const handshake = (target: WebhookTarget): Errand =>
  errand(target, { why: 'handshake', publication: undefined, cursor: undefined });

/** What a receiver saw of one request. */
export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Receiver {
  readonly url: string;
  readonly seen: Seen[];
  close(): Promise<void>;
}

/** A receiver on a free port of this machine, which answers as `answer` does. */
export async function startReceiver(
  answer: (seen: Seen, response: ServerResponse) => void,
): Promise<Receiver> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const { method = '', url: path = '', headers } = request;
    const one = { method, path, headers, body };
    seen.push(one);
    answer(one, response);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    seen,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A courier that may call this machine; without a registry, since it asks it for next to nothing. */
export function courier(o: CourierUnderTest = {}) {
  const log = createLog({ name: 'test', level: 'silent' });
  const metrics = createMetrics();
  const config = readConfig(fields, { PUSHFLEET_OUTBOUND_ALLOW: '127.0.0.0/8', ...o.env });
  const caller = createCaller(config, { log, metrics });
  const changes: { readonly subscription: Subscription; readonly fields: readonly string[] }[] = [];
  const registry = {
    change: async (subscription: Subscription, names: readonly string[]) => {
      if (o.registryAway) throw new PushfleetError('unavailable', 'The registry is away.');
      changes.push({ subscription, fields: names });
      return subscription;
    },
  };
  const tracking = new Tracking({ kind: 'webhook', metrics, traces: o.traces ?? noTraces });
  const { timeoutMs, endpointRate, bodyBytes, origin } = config;
  const sequences = new Sequences(createMemoryBackbone().ledger('sequences'));
  const options = {
    ...{ caller, registry, tracking, sequences, log, origin, timeoutMs, endpointRate, bodyBytes },
  };
  return { courier: new WebhookCourier(options), caller, changes, metrics };
}

interface CourierUnderTest {
  readonly env?: NodeJS.ProcessEnv;
  readonly traces?: Pick<Traces, 'on' | 'resume'>;
  readonly registryAway?: boolean;
}
