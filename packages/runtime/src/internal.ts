import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import {
  ChannelCredentials,
  type ClientOptions,
  InterceptingCall,
  type Interceptor,
  type Metadata,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  type ServerOptions,
} from '@grpc/grpc-js';
import { PushfleetError } from '@pushfleet/core';
import { jwtVerify, SignJWT } from 'jose';
import { type Config, ConfigError } from './config.ts';
import { toGrpc } from './grpc-error.ts';
import type { internalFields } from './shared-fields.ts';

type InternalConfig = Config<typeof internalFields>;

/** What a gRPC client inside the fleet is made with: `new TicketServiceClient(target, credentials, options)`. */
export interface InternalClient {
  readonly target: string;
  readonly credentials: ChannelCredentials;
  readonly options: ClientOptions;
}

/** What a gRPC server inside the fleet is made with: `new Server(options)`, `bindAsync(…, credentials, …)`. */
export interface InternalServer {
  readonly credentials: ServerCredentials;
  /** Their interceptor refuses every call without the fleet's own token. */
  readonly options: ServerOptions;
}

const issuer = 'pushfleet';
const audience = 'pushfleet-internal';
/** Largest answer that is taken, in bytes: a thousand subscriptions at the size that the registry allows each. */
const answerBytes = 33_554_432;
/** Seconds for which one token of the fleet's own is good. */
const lifetime = 60;

/**
 * Address, TLS and the fleet's own bearer token for calls to `url` (https speaks TLS).
 *
 * @param o.service the calling service's name, for the other's log
 * @throws ConfigError where no secret is set, or the certificate or its key is missing
 */
export function internalClient(
  config: InternalConfig,
  o: { readonly url: string; readonly service: string },
): InternalClient {
  const { protocol, hostname, port } = new URL(o.url);
  const secure = protocol === 'https:';
  return {
    target: `${hostname}:${port || (secure ? '443' : '80')}`,
    credentials: secure ? clientTls(config) : ChannelCredentials.createInsecure(),
    options: {
      interceptors: [presentToken(internalKey(config), o.service)],
      // A peer that vanished without a word is noticed in 30 s.
      'grpc.keepalive_time_ms': 20_000,
      'grpc.keepalive_timeout_ms': 10_000,
      'grpc.max_reconnect_backoff_ms': 5_000,
      'grpc.max_receive_message_length': answerBytes,
    },
  };
}

/** @throws ConfigError where no secret is set, or TLS is half configured */
export function internalServer(config: InternalConfig): InternalServer {
  const check = checkInternal(config);
  return { credentials: serverTls(config), options: { interceptors: [demandToken(check)] } };
}

/**
 * Checks a call's metadata for the fleet's own token, for servers that check some methods only. A refusal is
 * `forbidden`, not `unauthenticated`: that would reach a client as if its own token were bad.
 *
 * @throws PushfleetError `forbidden`
 */
export function checkInternal(config: InternalConfig): (metadata: Metadata) => Promise<void> {
  const key = internalKey(config);
  return async (metadata) => {
    const [header] = metadata.get('authorization');
    const token = typeof header === 'string' ? /^Bearer (\S+)$/.exec(header)?.[1] : undefined;
    try {
      if (token === undefined) throw new Error('no token');
      await jwtVerify(token, key, {
        algorithms: ['HS256'],
        issuer,
        audience,
        requiredClaims: ['exp'],
        clockTolerance: 5,
      });
    } catch (cause) {
      throw new PushfleetError(
        'forbidden',
        'This address is for services of the fleet; give both sides the same PUSHFLEET_INTERNAL_SECRET.',
        { cause },
      );
    }
  };
}

/** A key of its own for the fleet, so that no token a client could hold passes for one of the fleet's. */
function internalKey({ internalSecret, tokenSecret }: InternalConfig): KeyObject {
  const secret = internalSecret ?? tokenSecret;
  if (secret === undefined) {
    throw new ConfigError([
      'PUSHFLEET_INTERNAL_SECRET is not set, and without PUSHFLEET_TOKEN_SECRET it cannot be derived. Give every service of the fleet the same secret of at least 32 bytes.',
    ]);
  }
  return createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', 'pushfleet internal v1', 32)));
}

function presentToken(key: KeyObject, service: string): Interceptor {
  let token: Promise<string> | undefined;
  let renewAt = 0;
  const current = (): Promise<string> => {
    const now = Date.now();
    if (token === undefined || now >= renewAt) {
      renewAt = now + (lifetime * 1_000) / 2;
      token = new SignJWT({})
        .setProtectedHeader({ alg: 'HS256' })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(service)
        .setIssuedAt()
        .setExpirationTime(`${lifetime}s`)
        .sign(key);
    }
    return token;
  };
  return (options, next) =>
    new InterceptingCall(next(options), {
      start(metadata, listener, go) {
        void current().then((text) => {
          metadata.set('authorization', `Bearer ${text}`);
          go(metadata, listener);
        });
      },
    });
}

function demandToken(check: (metadata: Metadata) => Promise<void>): ServerInterceptor {
  return (_method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        const listener = new ServerListenerBuilder().withOnReceiveMetadata((metadata, accept) => {
          check(metadata).then(
            () => accept(metadata),
            (error: unknown) => call.sendStatus(toGrpc(error)),
          );
        });
        next(listener.build());
      },
    });
}

const pem = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text));

function clientTls(config: InternalConfig): ChannelCredentials {
  const { internalTlsCa: ca, internalTlsCert: cert, internalTlsKey: key } = pairChecked(config);
  return ChannelCredentials.createSsl(pem(ca), pem(key), pem(cert));
}

function serverTls(config: InternalConfig): ServerCredentials {
  const { internalTlsCa: ca, internalTlsCert: cert, internalTlsKey: key } = pairChecked(config);
  if (cert === undefined || key === undefined) return ServerCredentials.createInsecure();
  const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
  return ServerCredentials.createSsl(pem(ca), [pair], ca !== undefined);
}

function pairChecked(config: InternalConfig): InternalConfig {
  if ((config.internalTlsCert === undefined) !== (config.internalTlsKey === undefined)) {
    throw new ConfigError([
      'PUSHFLEET_INTERNAL_TLS_CERT and PUSHFLEET_INTERNAL_TLS_KEY go together; set both or neither.',
    ]);
  }
  return config;
}
