import { randomUUID } from 'node:crypto';
import type { PushfleetError } from '@pushfleet/core';
import type { Log, PresenceCalls } from '@pushfleet/runtime';

export interface PresenceLeaseOptions {
  readonly calls: Pick<PresenceCalls, 'hold' | 'reconnect'>;
  /** Another lease is held than before: what hung on the former one has to be entered again. */
  onNew(): void;
  readonly log: Pick<Log, 'info' | 'warn'>;
}

/** The registry says something at least every five seconds; one that is silent for so long is not there. */
const silenceMs = 15_000;
const firstWaitMs = 100;
const longestWaitMs = 5_000;

/**
 * The one lease of this process. While its stream is broken it is held on to: the registry knows it for a while. When it
 * has ended, or what hangs on it may be lost, another is taken under a new id.
 */
export class PresenceLease {
  readonly #o: PresenceLeaseOptions;
  #id: string = randomUUID();
  #current: string | undefined;
  #stop: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: PresenceLeaseOptions) {
    this.#o = options;
  }

  /** Under which members are entered now; undefined while there is none. */
  get current(): string | undefined {
    return this.#current;
  }

  start(): void {
    const id = this.#id;
    let first = true;
    this.#await();
    this.#stop = this.#o.calls.hold(id, {
      onHeld: (resumed) => {
        this.#held(id, first && !resumed);
        first = false;
      },
      onEnd: (error) => this.#ended(id, error),
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#stop();
  }

  /** The registry says that this lease has ended. */
  lost(id: string): void {
    if (id !== this.#id || this.#closed) return;
    this.#stop();
    this.#id = randomUUID();
    this.#current = undefined;
    this.#again();
  }

  #held(id: string, begun: boolean): void {
    if (id !== this.#id) return;
    this.#failures = 0;
    this.#await();
    if (this.#current !== id) {
      this.#current = id;
      this.#o.log.info({ lease: id }, 'the lease of presence is held');
      this.#o.onNew();
    } else if (begun) {
      // It had ended meanwhile, and what was entered under it has left.
      this.lost(id);
    }
  }

  #ended(id: string, error: PushfleetError): void {
    if (id !== this.#id || this.#closed) return;
    const { code, message: reason } = error;
    this.#o.log.warn({ code, reason }, 'the lease of presence is not renewed at the moment');
    if (code === 'precondition_failed') this.lost(id);
    else this.#again();
  }

  #again(): void {
    // Full jitter: a restarted registry is not met by the whole fleet in the same moment.
    const waitMs = Math.random() * Math.min(longestWaitMs, firstWaitMs * 2 ** this.#failures++);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), waitMs).unref();
  }

  /** Begins anew over another connection where nothing is heard for too long. */
  #await(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#o.log.warn(
        { silenceMs },
        'the registry says nothing about the lease of presence; asking over a new connection',
      );
      this.#stop();
      this.#o.calls.reconnect();
      this.#again();
    }, silenceMs).unref();
  }
}
