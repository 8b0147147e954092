import { promisify } from 'node:util';
import { Server } from '@grpc/grpc-js';
import { RevocationServiceService } from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import { SubscriptionServiceService } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { TicketServiceService } from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import { type Address, type InternalServer, type Log, listening, type Part } from '@pushfleet/runtime';
import type { RevocationRegister } from '../revocations.ts';
import type { Subscriptions } from '../subscriptions/store.ts';
import type { Tickets } from '../tickets.ts';
import { revocationService } from './revocations.ts';
import { subscriptionService } from './subscriptions.ts';
import { ticketService } from './tickets.ts';
import { Watches } from './watches.ts';

export interface GrpcOptions {
  readonly address: Address;
  readonly internal: InternalServer;
  readonly tickets: Tickets;
  readonly revocations: RevocationRegister;
  readonly subscriptions: Subscriptions;
  readonly log: Log;
}

/** Largest message that is taken, in bytes: a match of 500 questions with their page tokens. */
const messageBytes = 4_194_304;

/**
 * The registry as the other services see it. A service of the protos that is not registered here answers
 * UNIMPLEMENTED by itself.
 */
export class GrpcApi implements Part {
  readonly name = 'grpc';
  readonly #options: GrpcOptions;
  readonly #server: Server;
  readonly #revocationWatches: Watches;
  readonly #subscriptionWatches: Watches;
  #port = 0;

  constructor(options: GrpcOptions) {
    const { internal, tickets, revocations, subscriptions, log } = options;
    this.#options = options;
    this.#revocationWatches = new Watches(log);
    this.#subscriptionWatches = new Watches(log);
    this.#server = new Server({ 'grpc.max_receive_message_length': messageBytes, ...internal.options });
    this.#server.addService(TicketServiceService, ticketService(tickets, log));
    this.#server.addService(
      RevocationServiceService,
      revocationService(revocations, this.#revocationWatches),
    );
    this.#server.addService(
      SubscriptionServiceService,
      subscriptionService(subscriptions, this.#subscriptionWatches, log),
    );
  }

  /** The port that is listened on. */
  get port(): number {
    return this.#port;
  }

  /** How many services follow the revocations. */
  get watchers(): number {
    return this.#revocationWatches.size;
  }

  /** How many services follow the subscriptions. */
  get subscriptionWatchers(): number {
    return this.#subscriptionWatches.size;
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
    this.#revocationWatches.drain();
    this.#subscriptionWatches.drain();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.tryShutdown(() => resolve());
    deadline.addEventListener('abort', () => resolve(), { once: true });
    await promise;
  }

  async close(): Promise<void> {
    this.#server.forceShutdown();
  }
}
