import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { PushfleetError } from '@pushfleet/core';
import type { Grant, TimerWheel, toGrpc } from '@pushfleet/runtime';

export interface DoorkeeperOptions {
  /** Begins the path of each method that needs a token; the others are open to everybody. */
  readonly guarded: string;
  readonly wheel: Pick<TimerWheel, 'after'>;
  /** How long a request may take from its metadata to its end, in milliseconds. */
  readonly messageMs: number;
  /** @throws PushfleetError */
  authenticate(metadata: Metadata): Promise<Grant>;
  /** What a call is told that is refused. */
  refused(path: string, thrown: unknown): ReturnType<typeof toGrpc>;
}

/**
 * Most requests to open methods that have not come to their end. An honest one comes whole, and each of the others can
 * make the server hold a message of the largest size.
 */
const openMost = 16;

/**
 * Lets calls in. grpc-js gathers a message whole before a handler hears of its call, so without this a stranger could have
 * as many messages gathered as a connection has calls, for as long as the connection lives.
 */
export class Doorkeeper {
  readonly #o: DoorkeeperOptions;
  readonly #grants = new WeakMap<Metadata, Grant>();
  /** Ends those of open methods whose request has not come to its end, the oldest first. */
  readonly #open = new Set<() => void>();

  constructor(options: DoorkeeperOptions) {
    this.#o = options;
  }

  /** Whose call it is that was let in. */
  grantOf(metadata: Metadata): Grant {
    return this.#grants.get(metadata) as Grant;
  }

  readonly interceptor: ServerInterceptor = ({ path, requestStream }, call) => {
    const isGuarded = path.startsWith(this.#o.guarded);
    const refuse = (thrown: unknown): void => call.sendStatus(this.#o.refused(path, thrown));
    const wait = (): (() => void) => this.#wait(isGuarded, refuse);
    // A stream of a publisher's may be quiet for as long as it likes.
    const bounded = !(isGuarded && requestStream);
    let arrived = (): void => {};
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, go) => {
            const admit = (): void => {
              if (bounded) arrived = wait();
              go(metadata);
            };
            if (isGuarded) void this.#identify(metadata).then(admit, refuse);
            else admit();
          },
          onReceiveMessage: (message, go) => {
            if (bounded && requestStream) {
              arrived();
              arrived = wait();
            }
            go(message);
          },
          onReceiveHalfClose: (go) => {
            arrived();
            go();
          },
          onCancel: () => arrived(),
        }),
    });
  };

  async #identify(metadata: Metadata): Promise<void> {
    this.#grants.set(metadata, await this.#o.authenticate(metadata));
  }

  /** Bounds what is on its way; returns how to say that it came, harmless to call twice. */
  #wait(isGuarded: boolean, refuse: (error: PushfleetError) => void): () => void {
    const { wheel, messageMs } = this.#o;
    const cancel = wheel.after(messageMs, () => {
      arrived();
      refuse(tooSlow(messageMs));
    });
    const crowdedOut = (): void => {
      arrived();
      refuse(crowded());
    };
    const arrived = (): void => {
      cancel();
      this.#open.delete(crowdedOut);
    };
    if (!isGuarded) {
      this.#open.add(crowdedOut);
      if (this.#open.size > openMost) this.#open.values().next().value?.();
    }
    return arrived;
  }
}

const tooSlow = (ms: number): PushfleetError =>
  new PushfleetError(
    'request_invalid',
    `The request did not come to its end within ${ms / 1_000} s; send it faster, and close your side.`,
  );

const crowded = (): PushfleetError =>
  new PushfleetError('rate_limited', 'Too many requests have not come to their end; try again.', {
    retryAfterMs: 1_000,
  });
