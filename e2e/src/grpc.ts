import { fileURLToPath } from 'node:url';
import {
  type ChannelCredentials,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const proto = fileURLToPath(new URL('../../proto/', import.meta.url));

type Callback<T> = (error: ServiceError | null, answer: T) => void;

/** The methods as a dynamic client has them; requests and answers are plain objects. */
export interface PublishClient {
  publish(request: object, metadata: Metadata, callback: Callback<Receipt>): void;
  publishBatch(request: object, metadata: Metadata, callback: Callback<{ results: object[] }>): void;
  publishStream<Answer>(metadata: Metadata): ClientDuplexStream<object, Answer>;
  subscribe<Answer>(request: object, metadata: Metadata): ClientReadableStream<Answer>;
  close(): void;
}

export interface Receipt {
  readonly receipt: {
    readonly id: string;
    readonly topic: string;
    readonly cursor: string;
    readonly duplicate: boolean;
  };
}

/** The publish API as any gRPC user without our code would load it: from the .proto file, at run time. */
export function publishClient(
  address: string,
  transport: ChannelCredentials = credentials.createInsecure(),
): PublishClient {
  const definition = loadSync('pushfleet/publish/v1/publish.proto', {
    includeDirs: [proto],
    defaults: true,
    oneofs: true,
    longs: Number,
  });
  const { v1 } = (loadPackageDefinition(definition).pushfleet as GrpcObject).publish as GrpcObject as {
    v1: { PublishService: ServiceClientConstructor };
  };
  return new v1.PublishService(address, transport, {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 500,
  }) as unknown as PublishClient;
}

export function bearer(token: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}
