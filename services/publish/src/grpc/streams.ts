import { PushfleetError } from '@pushfleet/core';
import type { Grant, RevocationList, TimerWheel } from '@pushfleet/runtime';

export interface StreamsOptions {
  readonly wheel: TimerWheel;
  readonly revocations: RevocationList;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

interface Stream {
  readonly grant: Grant;
  readonly end: (reason: PushfleetError) => void;
}

/** At a drain this many milliseconds lie between two streams' ends on average, so that their clients come back spread. */
const drainStepMs = 10;

/** The streams that outlive a request: they end when their token expires or is revoked, and at a drain. */
export class Streams {
  readonly #options: StreamsOptions;
  readonly #now: () => number;
  readonly #open = new Set<Stream>();
  readonly #stop: () => void;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#stop = options.revocations.onRevoked(() => this.#endRevoked());
  }

  get size(): number {
    return this.#open.size;
  }

  /** `end` is called at most once, when the stream may not go on; returns how to leave, harmless to call twice. */
  open(grant: Grant, end: (reason: PushfleetError) => void): () => void {
    const leave = () => {
      cancel();
      this.#open.delete(stream);
    };
    const stream: Stream = {
      grant,
      end: (reason) => {
        if (!this.#open.has(stream)) return;
        leave();
        end(reason);
      },
    };
    const cancel = this.#options.wheel.after(grant.expiresAt - this.#now(), () => stream.end(expired()));
    this.#open.add(stream);
    return leave;
  }

  /** Ends every stream at a moment of its own within `windowMs`, all of them at the latest when `deadline` is aborted. */
  drain(windowMs: number, deadline: AbortSignal): void {
    const spreadMs = Math.min(windowMs, this.#open.size * drainStepMs);
    for (const stream of this.#open) {
      this.#options.wheel.after(Math.random() * spreadMs, () => stream.end(draining()));
    }
    deadline.addEventListener('abort', () => this.#endAll(), { once: true });
  }

  close(): void {
    this.#stop();
    this.#endAll();
  }

  #endAll(): void {
    for (const stream of this.#open) stream.end(draining());
  }

  #endRevoked(): void {
    for (const stream of this.#open) {
      if (this.#options.revocations.revoked(stream.grant)) stream.end(revoked());
    }
  }
}

const expired = () =>
  new PushfleetError(
    'token_expired',
    'The token expired while the stream was open; come back with a new one.',
  );

const revoked = () =>
  new PushfleetError(
    'token_revoked',
    'The token was revoked while the stream was open; come back with another.',
  );

/** Why a call is refused, or a stream ended, while this instance shuts down. */
export const draining = () =>
  new PushfleetError('draining', 'This instance is shutting down; call again, and another one answers.');
