import { type ChannelCredentials, connectivityState } from '@grpc/grpc-js';
import { PublishServiceClient } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import type { Target } from './target.ts';

export interface ConnectionOptions {
  readonly targets: readonly { readonly target: Target; readonly credentials: ChannelCredentials }[];
  /** After about so long a connection is replaced, in milliseconds. */
  readonly ageMs: number;
}

/** How long a new connection may take to stand before the old one is kept for a while longer. */
const standMs = 10_000;

const channelOptions = {
  // Every address that the name has, in turn.
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  // A new channel is to resolve and connect anew, not to borrow what an older one has.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // A host that vanished without a word is found out.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.max_receive_message_length': -1,
};

/** A channel to an address, and how many calls it carries. */
class Connection {
  readonly client: PublishServiceClient;
  #calls = 0;
  #retired = false;

  constructor(target: Target, credentials: ChannelCredentials) {
    this.client = new PublishServiceClient(target.address, credentials, channelOptions);
  }

  /** Asking makes an idle one connect. */
  get stands(): boolean {
    return this.client.getChannel().getConnectivityState(true) === connectivityState.READY;
  }

  /** @returns what to call when the call has ended */
  use(): () => void {
    this.#calls++;
    return () => {
      this.#calls--;
      this.#closeIfDone();
    };
  }

  /** Takes no new calls, and closes when those it carries have ended. */
  retire(): void {
    this.#retired = true;
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#retired && this.#calls === 0) this.client.close();
  }
}

/** One address, and the connection to it that new calls take. */
class Slot {
  readonly #target: Target;
  readonly #credentials: ChannelCredentials;
  readonly #ageMs: number;
  #current: Connection;
  #successor: Connection | undefined;
  #renewAt: number;

  constructor(target: Target, credentials: ChannelCredentials, ageMs: number) {
    this.#target = target;
    this.#credentials = credentials;
    this.#ageMs = ageMs;
    this.#current = this.#connect();
    this.#renewAt = this.#end();
  }

  /** Begins to replace a connection that is old enough; until the new one stands, the old one serves. */
  get connection(): Connection {
    if (this.#successor === undefined && performance.now() >= this.#renewAt) this.#renew();
    return this.#current;
  }

  close(): void {
    this.#current.client.close();
    this.#successor?.client.close();
  }

  #connect(): Connection {
    return new Connection(this.#target, this.#credentials);
  }

  /** Spread, so that publishers that started together do not move together. */
  #end(): number {
    return performance.now() + this.#ageMs * (0.8 + 0.4 * Math.random());
  }

  #renew(): void {
    const successor = this.#connect();
    this.#successor = successor;
    successor.client.waitForReady(Date.now() + standMs, (error) => {
      this.#successor = undefined;
      if (error === undefined) {
        this.#current.retire();
        this.#current = successor;
        this.#renewAt = this.#end();
      } else {
        successor.client.close();
        this.#renewAt = performance.now() + standMs;
      }
    });
  }
}

/**
 * The connections to the publish service, one per address given, used in turn. gRPC would stay with the instances
 * it found first for as long as they live; so a connection is replaced after a while: the new one looks the name up
 * again and stands before the old one takes no further calls.
 */
export class Connections {
  readonly #slots: readonly Slot[];
  #turn = Math.floor(Math.random() * 1_000);

  constructor({ targets, ageMs }: ConnectionOptions) {
    this.#slots = targets.map(({ target, credentials }) => new Slot(target, credentials, ageMs));
  }

  /** The next in turn of those that stand, or the next in turn where none does. */
  next(): Connection {
    const { length } = this.#slots;
    const start = this.#turn++ % length;
    const inTurn = [...this.#slots.slice(start), ...this.#slots.slice(0, start)];
    const connections = inTurn.map(({ connection }) => connection);
    return (connections.find(({ stands }) => stands) ?? connections[0]) as Connection;
  }

  close(): void {
    for (const slot of this.#slots) slot.close();
  }
}
