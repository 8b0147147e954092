import { PushfleetError } from '@pushfleet/core';
import type { Grant, RevocationList, TimerWheel } from '@pushfleet/runtime';

export interface SessionsOptions {
  readonly wheel: TimerWheel;
  readonly revocations: RevocationList;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

interface Session {
  readonly grant: Grant;
  readonly end: (reason: PushfleetError) => void;
}

/** At a drain this many milliseconds lie between two sessions' ends on average, so that their clients come back spread. */
const drainStepMs = 10;

/** The streams that outlive a request: they end when their token expires or is revoked, and at a drain. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #now: () => number;
  readonly #open = new Set<Session>();
  readonly #stop: () => void;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#stop = options.revocations.onRevoked(() => this.#endRevoked());
  }

  get size(): number {
    return this.#open.size;
  }

  /** `end` is called at most once, when the session may not go on; returns how to leave, harmless to call twice. */
  open(grant: Grant, end: (reason: PushfleetError) => void): () => void {
    const leave = () => {
      cancel();
      this.#open.delete(session);
    };
    const session: Session = {
      grant,
      end: (reason) => {
        if (!this.#open.has(session)) return;
        leave();
        end(reason);
      },
    };
    const cancel = this.#options.wheel.after(grant.expiresAt - this.#now(), () => session.end(expired()));
    this.#open.add(session);
    return leave;
  }

  /** Ends every session at a moment of its own within `windowMs`, all of them at the latest when `deadline` is aborted. */
  drain(windowMs: number, deadline: AbortSignal): void {
    const spreadMs = Math.min(windowMs, this.#open.size * drainStepMs);
    for (const session of this.#open) {
      this.#options.wheel.after(Math.random() * spreadMs, () => session.end(draining()));
    }
    deadline.addEventListener('abort', () => this.#endAll(), { once: true });
  }

  close(): void {
    this.#stop();
    this.#endAll();
  }

  #endAll(): void {
    for (const session of this.#open) session.end(draining());
  }

  #endRevoked(): void {
    for (const session of this.#open) {
      if (this.#options.revocations.revoked(session.grant)) session.end(revoked());
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
