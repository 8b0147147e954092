import type {
  ChannelCredentials,
  ClientOptions,
  Metadata,
  ServerCredentials,
  ServerOptions,
} from '@grpc/grpc-js';
import type { Config } from './config.ts';
import type { internalFields } from './shared-fields.ts';

/** What a gRPC client inside the fleet is made with: `new RegistryServiceClient(target, credentials, options)`. */
export interface InternalClient {
  readonly target: string;
  readonly credentials: ChannelCredentials;
  readonly options: ClientOptions;
}

/**
 * Address, TLS and the fleet's own bearer token for calls to `url` (https speaks TLS).
 *
 * @throws ConfigError where neither PUSHFLEET_INTERNAL_SECRET nor PUSHFLEET_TOKEN_SECRET is set
 */
export function internalClient(
  _config: Config<typeof internalFields>,
  _o: { readonly url: string; readonly service: string },
): InternalClient {
  throw new Error('not yet');
}

/** What a gRPC server inside the fleet is made with; the options' interceptor refuses every call without the fleet's token. */
export interface InternalServer {
  readonly credentials: ServerCredentials;
  readonly options: ServerOptions;
}

/** @throws ConfigError where neither secret is set, or TLS is half configured */
export function internalServer(_config: Config<typeof internalFields>): InternalServer {
  throw new Error('not yet');
}

/** Checks one call's metadata, for servers that check some methods only. @throws PushfleetError `unauthenticated` */
export function checkInternal(_config: Config<typeof internalFields>): (metadata: Metadata) => Promise<void> {
  throw new Error('not yet');
}
