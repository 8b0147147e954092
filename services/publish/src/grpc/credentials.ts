import { ServerCredentials } from '@grpc/grpc-js';
import { type Address, ConfigError, isLoopback, tlsPair } from '@pushfleet/runtime';

export interface GrpcSecurity {
  readonly grpcListen: Address;
  readonly grpcCleartext: boolean;
  readonly grpcTlsCert: string | undefined;
  readonly grpcTlsKey: string | undefined;
  readonly grpcTlsClientCa: string | undefined;
  /** How long a TLS handshake may take, in milliseconds. */
  readonly requestMs: number;
}

/**
 * How the gRPC API is secured.
 *
 * @throws ConfigError where TLS is half configured or cannot be used, or a token would travel beyond loopback in clear
 */
export function grpcCredentials(config: GrpcSecurity): ServerCredentials {
  const { grpcListen, grpcCleartext, grpcTlsCert: cert, grpcTlsKey: key, grpcTlsClientCa: clientCa } = config;
  const pair = tlsPair('PUSHFLEET_PUBLISH_GRPC_TLS', { cert, key, clientCa });
  if (pair !== undefined) {
    const chain = { cert_chain: Buffer.from(pair.cert), private_key: Buffer.from(pair.key) };
    const root = pair.clientCa === undefined ? null : Buffer.from(pair.clientCa);
    const credentials = ServerCredentials.createSsl(root, [chain], root !== null);
    // grpc-js hands these to Node and has no option of its own: who is silent would keep a connection for two minutes.
    Object.assign(credentials._getConstructorOptions() ?? {}, { handshakeTimeout: config.requestMs });
    return credentials;
  }
  if (!grpcCleartext && !isLoopback(grpcListen.host)) {
    throw new ConfigError([
      `PUSHFLEET_PUBLISH_GRPC_LISTEN=${grpcListen.host}:${grpcListen.port} is reached from outside, and tokens would travel in clear. Set PUSHFLEET_PUBLISH_GRPC_TLS_CERT and PUSHFLEET_PUBLISH_GRPC_TLS_KEY, or PUSHFLEET_PUBLISH_GRPC_CLEARTEXT=true where a proxy or mesh brings TLS.`,
    ]);
  }
  return ServerCredentials.createInsecure();
}
