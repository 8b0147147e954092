import { ServerCredentials } from '@grpc/grpc-js';
import { type Address, ConfigError } from '@pushfleet/runtime';

export interface GrpcSecurity {
  readonly grpcListen: Address;
  readonly grpcCleartext: boolean;
  readonly grpcTlsCert: string | undefined;
  readonly grpcTlsKey: string | undefined;
  readonly grpcTlsClientCa: string | undefined;
}

/**
 * How the gRPC API is secured.
 *
 * @throws ConfigError where TLS is half configured, or a token would travel beyond loopback in clear
 */
export function grpcCredentials(config: GrpcSecurity): ServerCredentials {
  const { grpcListen, grpcCleartext, grpcTlsCert: cert, grpcTlsKey: key, grpcTlsClientCa: clientCa } = config;
  if (cert !== undefined && key !== undefined) {
    const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
    return ServerCredentials.createSsl(
      clientCa === undefined ? null : Buffer.from(clientCa),
      [pair],
      clientCa !== undefined,
    );
  }
  if (cert !== undefined || key !== undefined || clientCa !== undefined) {
    throw new ConfigError([
      'PUSHFLEET_PUBLISH_GRPC_TLS_CERT and PUSHFLEET_PUBLISH_GRPC_TLS_KEY belong together, and PUSHFLEET_PUBLISH_GRPC_TLS_CLIENT_CA needs both. Set what is missing.',
    ]);
  }
  if (!grpcCleartext && !isLoopback(grpcListen.host)) {
    throw new ConfigError([
      `PUSHFLEET_PUBLISH_GRPC_LISTEN=${grpcListen.host}:${grpcListen.port} is reached from outside, and tokens would travel in clear. Set PUSHFLEET_PUBLISH_GRPC_TLS_CERT and PUSHFLEET_PUBLISH_GRPC_TLS_KEY, or PUSHFLEET_PUBLISH_GRPC_CLEARTEXT=true where a proxy or mesh brings TLS.`,
    ]);
  }
  return ServerCredentials.createInsecure();
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127\.[\d.]+$/.test(host);
