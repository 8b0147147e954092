import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  Metadata,
  Server,
  type ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { type Lifecycle, PushfleetError, type Stored } from '@pushfleet/core';
import type { Hubs } from '@pushfleet/hub';
import type { Budget } from '@pushfleet/intake';
import { checkBatch } from '@pushfleet/intake';
import type * as proto from '@pushfleet/proto/pushfleet/publish/v1/publish';
import {
  type PublishServiceServer,
  PublishServiceService,
} from '@pushfleet/proto/pushfleet/publish/v1/publish';
import {
  type Address,
  bearer,
  connectionId,
  type Grant,
  type Log,
  listening,
  type Quotas,
  type TokenCheck,
  type TraceHeaders,
  toGrpc,
} from '@pushfleet/runtime';
import { HealthImplementation, protoPath } from 'grpc-health-check';
import type { Archive } from '../archive/archive.ts';
import { readFilters } from '../filters.ts';
import type { Api, Tracked, Tracking } from '../tracking.ts';
import { GrpcArchive } from './archive.ts';
import { Doorkeeper } from './doorkeeper.ts';
import { fromProto, sizeOf, toResult } from './draft.ts';
import { PublishStream } from './publish-stream.ts';
import { draining, type Streams } from './streams.ts';
import { type SubscribeOptions, Subscription } from './subscribe.ts';

export interface GrpcOptions {
  readonly address: Address;
  readonly credentials: ServerCredentials;
  readonly tokens: TokenCheck;
  readonly tracking: Tracking;
  readonly budget: Budget;
  /** What all publications on their way out share: who reads slowly must not fill the memory of this process. */
  readonly outgoing: Budget;
  readonly archive: Archive;
  readonly quotas: Pick<Quotas, 'open'>;
  readonly hubs: Hubs;
  readonly streams: Streams;
  readonly log: Log;
  /** Largest message, in bytes. */
  readonly messageBytes: number;
  /** How long the message of a call may take to arrive, in milliseconds. */
  readonly messageMs: number;
  /** Most unanswered drafts of one PublishStream. */
  readonly streamDrafts: number;
  readonly subscribe: SubscribeOptions;
  /** Most Subscribe streams at once. */
  readonly subscriptions: number;
  /** Most connections at once; one more is closed before it is heard. */
  readonly connections: number;
  /** After about so many milliseconds a connection is asked to go; its calls and streams end as they would have. */
  readonly connectionAgeMs: number;
  /** Over how many milliseconds the ends of streams are spread at a drain. */
  readonly drainWindowMs: number;
  /** Whether the log is in reach. */
  readonly serving: () => boolean;
}

const serviceName = 'pushfleet.publish.v1.PublishService';

/** Calls of one connection at once; a publisher in a hurry opens a stream, not a thousand calls. */
const callsPerConnection = 1_000;

/** How often the health service learns whether the log is in reach. */
const healthMs = 1_000;

/** The gRPC publish API, with the standard health and reflection services beside it. */
export class GrpcApi implements Lifecycle {
  readonly #options: GrpcOptions;
  readonly #server: Server;
  readonly #health = new HealthImplementation({ '': 'NOT_SERVING', [serviceName]: 'NOT_SERVING' });
  readonly #listener = createServer();
  #draining = false;
  #stopReports = () => {};
  readonly #subscriptions = new Set<Subscription>();
  readonly #doorkeeper: Doorkeeper;

  constructor(options: GrpcOptions) {
    this.#options = options;
    this.#doorkeeper = new Doorkeeper({
      guarded: `/${serviceName}/`,
      wheel: options.subscribe.wheel,
      messageMs: options.messageMs,
      authenticate: (metadata) => this.#authenticate(metadata),
      refused: (path, thrown) => this.#refused(path, thrown),
    });
    this.#server = new Server({
      interceptors: [this.#doorkeeper.interceptor],
      'grpc.max_receive_message_length': options.messageBytes,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': callsPerConnection,
      'grpc.keepalive_time_ms': options.subscribe.keepAliveMs,
      'grpc.keepalive_timeout_ms': Math.min(20_000, options.subscribe.keepAliveMs),
      'grpc.max_connection_age_ms': options.connectionAgeMs,
      'grpc.enable_channelz': 0,
    });
    this.#server.addService(PublishServiceService, this.#handlers());
    this.#health.addToServer(this.#server);
    new ReflectionService(loadDefinitions()).addToServer(this.#server);
  }

  /** The port that is listened on. */
  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** Subscribe streams open at this moment. */
  get subscriptions(): number {
    return this.#subscriptions.size;
  }

  async start(): Promise<void> {
    const { address, credentials, connections, log } = this.#options;
    // grpc-js takes as many connections as come, so they come by a listener that does not.
    const injector = this.#server.createConnectionInjector(credentials);
    this.#listener.on('connection', (socket) => injector.injectConnection(socket));
    this.#listener.maxConnections = connections;
    this.#listener.listen(address);
    await once(this.#listener, 'listening');
    this.#listener.on('error', (error) => log.error({ err: error }, 'the listener failed'));
    this.#reportHealth();
    listening(log, 'grpc', this.#listener);
  }

  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    this.#reportHealth();
    this.#options.streams.drain(this.#options.drainWindowMs, deadline);
    await new Promise<void>((resolve) => {
      // Whoever is connected stays until the calls that were accepted have ended.
      this.#listener.close(() => resolve());
      // Sends GOAWAY; of connections that come by a listener of ours it does not know when they end.
      this.#server.tryShutdown(() => {});
      deadline.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  async close(): Promise<void> {
    this.#stopReports();
    this.#listener.close();
    this.#options.streams.close();
    this.#server.forceShutdown();
  }

  #reportHealth(): void {
    const status = this.#options.serving() && !this.#draining ? 'SERVING' : 'NOT_SERVING';
    for (const name of ['', serviceName]) this.#health.setStatus(name, status);
    this.#stopReports();
    if (!this.#draining) {
      this.#stopReports = this.#options.subscribe.wheel.after(healthMs, () => this.#reportHealth());
    }
  }

  #handlers(): PublishServiceServer {
    const archive = new GrpcArchive(this.#options.archive, this.#options.outgoing);
    return {
      readHistory: (call, callback) =>
        this.#answer('grpc-archive', call, callback, (grant) => archive.readHistory(grant, call)),
      delete: (call, callback) =>
        this.#answer('grpc-archive', call, callback, (grant) => archive.delete(grant, call)),
      getTopic: (call, callback) =>
        this.#answer('grpc-archive', call, callback, (grant) => archive.getTopic(grant, call)),
      explain: (call, callback) =>
        this.#answer('grpc-archive', call, callback, (grant) => archive.explain(grant, call)),
      publish: (call, callback) =>
        this.#answer('grpc', call, callback, (grant, tracked) => this.#publish(grant, tracked, call.request)),
      publishBatch: (call, callback) =>
        this.#answer('grpc-batch', call, callback, (grant, tracked) =>
          this.#publishBatch(grant, tracked, call.request),
        ),
      publishStream: (call) => void this.#publishStream(call).catch((error) => this.#fail(call, error)),
      subscribe: (call) => {
        const tracked = this.#options.tracking.begin('grpc-subscribe');
        void this.#subscribe(call, tracked).catch((error) => {
          tracked.end(error);
          this.#fail(call, error);
        });
      },
    };
  }

  #answer<Q, S>(
    api: Api,
    call: ServerUnaryCall<Q, S>,
    callback: sendUnaryData<S>,
    handle: (grant: Grant, tracked: Tracked) => Promise<S>,
  ): void {
    const from = api === 'grpc-archive' ? undefined : traceOf(call.metadata);
    this.#options.tracking
      .request(api, from, async (tracked) => handle(this.#doorkeeper.grantOf(call.metadata), tracked))
      .then(
        (response) => callback(null, response),
        (error: unknown) => callback(this.#statusOf(error)),
      );
  }

  async #publish(
    grant: Grant,
    tracked: Tracked,
    { draft }: proto.PublishRequest,
  ): Promise<proto.PublishResponse> {
    const [answer] = await this.#store(grant, tracked, [draft]);
    if (answer === undefined || answer instanceof PushfleetError) throw answer;
    return { receipt: answer };
  }

  async #publishBatch(
    grant: Grant,
    tracked: Tracked,
    { drafts }: proto.PublishBatchRequest,
  ): Promise<proto.PublishBatchResponse> {
    checkBatch(drafts.length);
    return { results: (await this.#store(grant, tracked, drafts)).map(toResult) };
  }

  async #store(
    grant: Grant,
    tracked: Tracked,
    drafts: readonly (proto.Draft | undefined)[],
  ): Promise<readonly (Stored | PushfleetError)[]> {
    const { budget } = this.#options;
    const bytes = drafts.reduce((sum, draft) => sum + sizeOf(draft), 0);
    budget.hold(bytes);
    try {
      return await tracked.publish(grant, drafts.map(fromProto));
    } finally {
      budget.release(bytes);
    }
  }

  async #publishStream(
    call: ServerDuplexStream<proto.PublishStreamRequest, proto.PublishStreamResponse>,
  ): Promise<void> {
    const grant = this.#doorkeeper.grantOf(call.metadata);
    const { tracking, budget, streamDrafts, messageBytes, streams } = this.#options;
    const stream = new PublishStream(call, grant, {
      tracking,
      budget,
      drafts: streamDrafts,
      bytes: messageBytes,
    });
    const leave = streams.open(grant, (reason) => stream.end(reason));
    call.once('cancelled', leave).once('finish', leave);
  }

  async #subscribe(
    call: ServerWritableStream<proto.SubscribeRequest, proto.SubscribeResponse>,
    tracked: Tracked,
  ): Promise<void> {
    const grant = this.#doorkeeper.grantOf(call.metadata);
    const filters = readFilters(grant, call.request.filters);
    const { subscription, release } = this.#openSubscription(call, grant, filters.length);
    const connection = this.#name(call, grant);
    const leave = this.#options.streams.open(grant, (reason) => {
      const level = reason.code === 'token_revoked' ? 'info' : 'debug';
      this.#options.log[level]({ connection, code: reason.code }, 'a Subscribe stream is ended');
      subscription.end(toGrpc(reason));
    });
    const gone = () => {
      leave();
      release();
      subscription.end();
      this.#subscriptions.delete(subscription);
    };
    call.once('cancelled', gone).once('finish', gone);
    try {
      await subscription.open(filters, call.request);
      tracked.end();
    } catch (error) {
      tracked.end(error);
      subscription.end(this.#statusOf(error));
    }
  }

  /** Tells the caller the name that its stream has in logs and in revocations. */
  #name(call: ServerWritableStream<unknown, unknown>, grant: Grant): string {
    const connection = connectionId(grant);
    const { namespace, subject: sub } = grant;
    this.#options.log.debug({ connection, namespace, sub }, 'a Subscribe stream opened');
    const metadata = new Metadata();
    metadata.set('pushfleet-connection', connection);
    call.sendMetadata(metadata);
    return connection;
  }

  #openSubscription(
    call: ServerWritableStream<proto.SubscribeRequest, proto.SubscribeResponse>,
    grant: Grant,
    filters: number,
  ): { readonly subscription: Subscription; readonly release: () => void } {
    const { hubs, subscribe, subscriptions, quotas } = this.#options;
    if (this.#subscriptions.size >= subscriptions) {
      throw new PushfleetError(
        'too_many_connections',
        `This instance has its ${subscriptions} Subscribe streams open; try again, and another may answer.`,
        { retryAfterMs: 1_000, detail: { limit: subscriptions } },
      );
    }
    const release = quotas.open(grant.namespace, filters);
    try {
      const subscription = new Subscription(call, hubs.of(grant.namespace), subscribe);
      this.#subscriptions.add(subscription);
      return { subscription, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  async #authenticate(metadata: Metadata): Promise<Grant> {
    if (this.#draining) throw draining();
    const [authorization] = metadata.get('authorization');
    const token = bearer({ authorization: authorization?.toString() });
    if (token !== undefined) return this.#options.tokens.check(token);
    throw new PushfleetError(
      'unauthenticated',
      'No token came with the call; send metadata "authorization: Bearer <token>".',
    );
  }

  /** A call that was not let in is measured as one that failed. */
  #refused(path: string, thrown: unknown): ReturnType<typeof toGrpc> {
    const api = path.startsWith(`/${serviceName}/`) ? apiOf(path.slice(serviceName.length + 2)) : undefined;
    if (api !== undefined) this.#options.tracking.begin(api).end(thrown);
    return this.#statusOf(thrown);
  }

  #fail(call: { emit(event: 'error', error: unknown): boolean }, error: unknown): void {
    call.emit('error', this.#statusOf(error));
  }

  #statusOf(thrown: unknown): ReturnType<typeof toGrpc> {
    const error = PushfleetError.from(thrown);
    if (error.code === 'internal') this.#options.log.error({ err: error.cause ?? error }, 'a call failed');
    return toGrpc(error);
  }
}

/** Drafts of a PublishStream are measured one by one. */
function apiOf(method: string): Api | undefined {
  const apis: Readonly<Record<string, Api>> = {
    Publish: 'grpc',
    PublishBatch: 'grpc-batch',
    Subscribe: 'grpc-subscribe',
  };
  return method === 'PublishStream' ? undefined : (apis[method] ?? 'grpc-archive');
}

/** What the metadata says of the caller's trace. */
function traceOf(metadata: Metadata): TraceHeaders {
  const all = (name: string) => metadata.get(name).join(',') || undefined;
  return { traceparent: all('traceparent'), tracestate: all('tracestate'), baggage: all('baggage') };
}

/** What reflection tells of; it does not list itself. */
function loadDefinitions() {
  const file = fileURLToPath(import.meta.resolve('@pushfleet/proto/pushfleet/publish/v1/publish.proto'));
  const root = file.slice(0, -'pushfleet/publish/v1/publish.proto'.length);
  return { ...loadSync(file, { includeDirs: [root] }), ...loadSync(protoPath) };
}
