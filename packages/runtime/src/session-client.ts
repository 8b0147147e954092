import { type ClientUnaryCall, Metadata, type ServiceError } from '@grpc/grpc-js';
import { PushfleetError } from '@pushfleet/core';
import {
  type AcquireSessionResponse,
  type CommitSessionsResponse,
  type EndSessionResponse,
  type GetSessionResponse,
  type ReleaseSessionResponse,
  SessionServiceClient,
  type UpdateSessionResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Config } from './config.ts';
import { fromGrpc } from './grpc-error.ts';
import { internalClient } from './internal.ts';
import type { SessionCalls } from './session-calls.ts';
import type { registryFields } from './shared-fields.ts';

/** How long a commit waits for its answer, in milliseconds: it is put together anew. */
const commitMs = 5_000;
/** What is to be written to the log waits for longer than a change of its leader takes: what was given up on may be done nevertheless. */
const recordMs = 15_000;

/**
 * The sessions of the registry. Undefined without PUSHFLEET_REGISTRY_URL.
 *
 * @throws ConfigError as `internalClient`
 */
export function createSessionCalls(
  config: Config<typeof registryFields>,
  { name }: { readonly name: string },
): SessionCalls | undefined {
  const { registryUrl: url } = config;
  if (url === undefined) return undefined;
  const { target, credentials, options } = internalClient(config, { url, service: name });
  // A connection of its own: what waits for a commit is not to wait behind other calls.
  const client = new SessionServiceClient(target, credentials, {
    ...options,
    'grpc.use_local_subchannel_pool': 1,
    // Clients wait meanwhile: a registry that was replaced is to be found soon.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
  return {
    async acquire(request) {
      return await unary<AcquireSessionResponse>(patient(), recordMs, (metadata, rest, done) =>
        client.acquireSession(request, metadata, rest, done),
      );
    },
    async update(request) {
      const answer = await unary<UpdateSessionResponse>(patient(), recordMs, (metadata, rest, done) =>
        client.updateSession(request, metadata, rest, done),
      );
      return required(answer.session);
    },
    async commit(commits) {
      // What cannot be sent at once is put together anew later, with what has changed until then.
      const answer = await unary<CommitSessionsResponse>(new Metadata(), commitMs, (metadata, rest, done) =>
        client.commitSessions({ commits: commits as (typeof commits)[number][] }, metadata, rest, done),
      );
      return answer.results.map(({ outcome }) => outcome);
    },
    async release(request) {
      const answer = await unary<ReleaseSessionResponse>(patient(), recordMs, (metadata, rest, done) =>
        client.releaseSession(request, metadata, rest, done),
      );
      return answer.expiresAt;
    },
    async get(key) {
      try {
        const answer = await unary<GetSessionResponse>(patient(), recordMs, (metadata, rest, done) =>
          client.getSession({ key }, metadata, rest, done),
        );
        return answer.session;
      } catch (thrown) {
        if (PushfleetError.from(thrown).code === 'not_found') return undefined;
        throw thrown;
      }
    },
    async end(request) {
      await unary<EndSessionResponse>(patient(), recordMs, (metadata, rest, done) =>
        client.endSession(request, metadata, rest, done),
      );
    },
    close: () => client.close(),
  };
}

/** A call that waits for the connection: a registry that is replaced meanwhile is not noticed. */
const patient = (): Metadata => new Metadata({ waitForReady: true });

function unary<Response>(
  metadata: Metadata,
  timeoutMs: number,
  call: (
    metadata: Metadata,
    options: { readonly deadline: number },
    done: (error: ServiceError | null, response: Response) => void,
  ) => ClientUnaryCall,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  call(metadata, { deadline: Date.now() + timeoutMs }, (error, response) => {
    if (error === null) resolve(response);
    else reject(fromGrpc(error));
  });
  return promise;
}

function required<T>(value: T | undefined): T {
  if (value !== undefined) return value;
  throw new PushfleetError('internal', 'The registry answers without a session.');
}
