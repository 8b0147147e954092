import { promisify } from 'node:util';
import { Server } from '@grpc/grpc-js';
import { LeaseServiceService } from '@pushfleet/proto/pushfleet/registry/v1/leases';
import { PresenceServiceService } from '@pushfleet/proto/pushfleet/registry/v1/presence';
import { RevocationServiceService } from '@pushfleet/proto/pushfleet/registry/v1/revocations';
import { SessionServiceService } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { SubscriptionServiceService } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { TicketServiceService } from '@pushfleet/proto/pushfleet/registry/v1/tickets';
import { type Address, type InternalServer, type Log, listening, type Part } from '@pushfleet/runtime';
import { heartbeats } from '../presence/holding.ts';
import type { PresenceRegister } from '../presence/register.ts';
import type { RevocationRegister } from '../revocations.ts';
import type { SessionRegister } from '../sessions/register.ts';
import type { Subscriptions } from '../subscriptions/store.ts';
import type { Tickets } from '../tickets.ts';
import { leaseService } from './leases.ts';
import { presenceService } from './presence.ts';
import { revocationService } from './revocations.ts';
import { sessionService } from './sessions.ts';
import { subscriptionService } from './subscriptions.ts';
import { ticketService } from './tickets.ts';
import { Watches } from './watches.ts';

export interface GrpcOptions {
  readonly address: Address;
  readonly internal: InternalServer;
  readonly tickets: Tickets;
  readonly revocations: RevocationRegister;
  readonly subscriptions: Subscriptions;
  readonly presence: PresenceRegister;
  readonly sessions: SessionRegister;
  /** An instance that was cut off without a word is noticed within a third of this time, in milliseconds. */
  readonly presenceExpiryMs: number;
  readonly log: Log;
}

/** Largest message that is taken, in bytes: a match of 500 questions with their page tokens. */
const messageBytes = 4_194_304;

/** The registry as the other services see it. */
export class GrpcApi implements Part {
  readonly name = 'grpc';
  readonly #options: GrpcOptions;
  readonly #server: Server;
  readonly #revocationWatches: Watches;
  readonly #subscriptionWatches: Watches;
  readonly #presenceWatches: Watches;
  #port = 0;

  constructor(options: GrpcOptions) {
    const { internal, tickets, revocations, subscriptions, presence, sessions, log } = options;
    const { pingMs } = heartbeats(options.presenceExpiryMs);
    this.#options = options;
    this.#revocationWatches = new Watches(log);
    this.#subscriptionWatches = new Watches(log);
    this.#presenceWatches = new Watches(log);
    this.#server = new Server({
      'grpc.max_receive_message_length': messageBytes,
      'grpc.keepalive_time_ms': pingMs,
      'grpc.keepalive_timeout_ms': pingMs,
      ...internal.options,
    });
    this.#server.addService(PresenceServiceService, presenceService(presence, this.#presenceWatches, log));
    this.#server.addService(LeaseServiceService, leaseService(presence, this.#presenceWatches, log));
    this.#server.addService(SessionServiceService, sessionService(sessions, log));
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
    this.#presenceWatches.drain();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.tryShutdown(() => resolve());
    deadline.addEventListener('abort', () => resolve(), { once: true });
    await promise;
  }

  async close(): Promise<void> {
    this.#server.forceShutdown();
  }
}
