import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import {
  type Draft,
  type PublishBatchRequest,
  type PublishBatchResponse,
  type PublishResult,
  PublishServiceService,
} from '@pushfleet/proto/pushfleet/publish/v1/publish';

/** What one PublishBatch of a test's service is answered with. */
export type Handler = (drafts: Draft[], token: string) => Promise<PublishResult[]> | PublishResult[];

export interface TestService {
  readonly port: number;
  readonly url: string;
  /** Every batch in the order it came. */
  readonly batches: Draft[][];
  /** How many connections were made. */
  readonly peers: ReadonlySet<string>;
  stop(): void;
}

export const receiptOf = ({ id, topic }: Draft): PublishResult => ({
  outcome: { $case: 'receipt', receipt: { id, topic, cursor: `behind-${id}`, duplicate: false } },
});

export const refusalOf = (code: string, retryAfterMs?: number): PublishResult => ({
  outcome: {
    $case: 'refusal',
    refusal: {
      ...{ code, message: `refused: ${code}`, status: 8 },
      retryAfter: retryAfterMs === undefined ? undefined : { seconds: 0n, nanos: retryAfterMs * 1e6 },
    },
  },
});

/** What a handler throws to fail the whole call. */
export function callError(code: status, word?: string): ServiceError {
  const metadata = new Metadata();
  if (word !== undefined) metadata.set('pushfleet-code', word);
  return Object.assign(new Error(), { code, details: `failed: ${word ?? status[code]}`, metadata });
}

/** A gRPC server on a free port of loopback, with a publish service that does as the handler says. */
export async function startTestService(
  handle: Handler,
  options: Record<string, number> = {},
  security: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<TestService> {
  const batches: Draft[][] = [];
  const peers = new Set<string>();
  const server = new Server(options);
  const { publishBatch } = PublishServiceService;
  server.addService(
    { publishBatch },
    {
      publishBatch(
        call: ServerUnaryCall<PublishBatchRequest, PublishBatchResponse>,
        callback: sendUnaryData<PublishBatchResponse>,
      ) {
        const { drafts } = call.request;
        batches.push(drafts);
        peers.add(call.getPeer());
        const token = String(call.metadata.get('authorization')[0]).replace('Bearer ', '');
        Promise.resolve()
          .then(() => handle(drafts, token))
          .then(
            (results) => callback(null, { results }),
            (error: ServiceError) => callback(error),
          );
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', security, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, url: `http://127.0.0.1:${port}`, batches, peers, stop: () => server.forceShutdown() };
}
