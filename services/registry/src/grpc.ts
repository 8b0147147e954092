import { promisify } from 'node:util';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { PushfleetError } from '@pushfleet/core';
import {
  RevocationServiceService,
  type WatchRevocationsRequest,
  type WatchRevocationsResponse,
} from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import {
  type RedeemTicketRequest,
  type RedeemTicketResponse,
  TicketServiceService,
} from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import {
  type Address,
  type InternalServer,
  type Log,
  listening,
  type Part,
  toGrpc,
} from '@pushfleet/runtime';
import type { RevocationRegister } from './revocations.ts';
import type { Tickets } from './tickets.ts';
import { streamRevocations } from './watch-stream.ts';

export interface GrpcOptions {
  readonly address: Address;
  readonly internal: InternalServer;
  readonly tickets: Tickets;
  readonly revocations: RevocationRegister;
  readonly log: Log;
}

type Watch = ServerWritableStream<WatchRevocationsRequest, WatchRevocationsResponse>;

/**
 * The registry as the other services see it. A service of the protos that is not registered here answers
 * UNIMPLEMENTED by itself.
 */
export class GrpcApi implements Part {
  readonly name = 'grpc';
  readonly #options: GrpcOptions;
  readonly #server: Server;
  readonly #watches = new Map<Watch, () => void>();
  #draining = false;
  #port = 0;

  constructor(options: GrpcOptions) {
    this.#options = options;
    this.#server = new Server({ 'grpc.max_receive_message_length': 65_536, ...options.internal.options });
    this.#server.addService(TicketServiceService, { redeemTicket: this.#redeemTicket });
    this.#server.addService(RevocationServiceService, { watchRevocations: this.#watchRevocations });
  }

  /** The port that is listened on. */
  get port(): number {
    return this.#port;
  }

  /** How many services follow the revocations. */
  get watchers(): number {
    return this.#watches.size;
  }

  async start(): Promise<void> {
    const { address, internal, log } = this.#options;
    const host = address.host.includes(':') ? `[${address.host}]` : address.host;
    const bind = promisify(this.#server.bindAsync.bind(this.#server));
    this.#port = await bind(`${host}:${address.port}`, internal.credentials);
    listening(log, 'grpc', { address: `${host}:${this.#port}` });
  }

  /** Watchers are sent to another instance at once; they come back with a jitter of their own. */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true;
    for (const watch of this.#watches.keys()) this.#endWatch(watch, draining());
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.tryShutdown(() => resolve());
    deadline.addEventListener('abort', () => resolve(), { once: true });
    await promise;
  }

  async close(): Promise<void> {
    this.#server.forceShutdown();
  }

  readonly #redeemTicket: handleUnaryCall<RedeemTicketRequest, RedeemTicketResponse> = (call, callback) => {
    this.#options.tickets.redeem(call.request.ticket).then(
      (token) => callback(null, { token }),
      (error: unknown) => callback(this.#status(error)),
    );
  };

  readonly #watchRevocations: handleServerStreamingCall<WatchRevocationsRequest, WatchRevocationsResponse> = (
    call,
  ) => {
    if (this.#draining) {
      call.emit('error', toGrpc(draining()));
      return;
    }
    try {
      const stop = streamRevocations(this.#options.revocations, {
        write: (response) => call.write(response),
        onDrain: (on) => call.on('drain', on),
        overflow: () => this.#endWatch(call, slow()),
      });
      this.#watches.set(call, stop);
      call.once('cancelled', () => this.#forget(call));
    } catch (error) {
      call.emit('error', this.#status(error));
    }
  };

  #endWatch(call: Watch, error: PushfleetError): void {
    if (this.#forget(call)) call.emit('error', toGrpc(error));
  }

  #forget(call: Watch): boolean {
    this.#watches.get(call)?.();
    return this.#watches.delete(call);
  }

  #status(error: unknown): ReturnType<typeof toGrpc> {
    const known = PushfleetError.from(error);
    if (known.code === 'internal') this.#options.log.error({ err: known.cause }, 'a call failed');
    return toGrpc(known);
  }
}

const draining = () => new PushfleetError('draining', 'This instance is shutting down; ask another.');
const slow = () =>
  new PushfleetError('rate_limited', 'Too many changes wait to be read. Watch again for a new snapshot.');
