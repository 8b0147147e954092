import { PushfleetError } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';
import { type Leases, lapsed } from './leases.ts';

export interface HoldingOptions {
  readonly leases: Pick<Leases, 'take' | 'renew'>;
  readonly expiryMs: number;
  readonly log: Log;
}

/** Who holds a lease, and hears of it. */
export interface Holder {
  readonly lease: string;
  readonly service: string;
  /** The lease was renewed, or could not be at this moment. */
  onHeld(held: { readonly until: number; readonly resumed: boolean }): void;
  /** Comes once; nothing comes behind it. */
  onEnd(error: PushfleetError): void;
}

/** How often a lease is renewed, in milliseconds, and how often and how long a silent instance is asked for a sign of life. */
export function heartbeats(expiryMs: number): { readonly everyMs: number; readonly pingMs: number } {
  return { everyMs: Math.min(5_000, expiryMs / 6), pingMs: Math.min(5_000, Math.floor(expiryMs / 6)) };
}

interface Held {
  readonly holder: Holder;
  timer: NodeJS.Timeout | undefined;
}

/** The leases of the instances that are connected to this one: each is renewed for as long as it is. */
export class Holding {
  readonly #options: HoldingOptions;
  readonly #held = new Set<Held>();
  #closed = false;

  constructor(options: HoldingOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Holds a lease until the returned function is called. */
  hold(holder: Holder): () => void {
    const held: Held = { holder, timer: undefined };
    this.#held.add(held);
    void this.#begin(held);
    return () => this.#drop(held);
  }

  async #begin(held: Held): Promise<void> {
    const { lease, service } = held.holder;
    try {
      const resumed = await this.#options.leases.take(lease, service);
      this.#options.log.info({ lease, service, resumed }, 'an instance holds a lease');
      this.#tell(held, resumed);
    } catch (error) {
      this.#end(held, PushfleetError.from(error));
    }
  }

  #tell(held: Held, resumed: boolean): void {
    if (!this.#held.has(held)) return;
    const { expiryMs } = this.#options;
    held.holder.onHeld({ until: Date.now() + expiryMs, resumed });
    held.timer = setTimeout(() => void this.#renew(held, resumed), heartbeats(expiryMs).everyMs);
  }

  async #renew(held: Held, resumed: boolean): Promise<void> {
    const { lease, service } = held.holder;
    try {
      await this.#options.leases.renew(lease, service);
    } catch (error) {
      const { code } = PushfleetError.from(error);
      if (code === 'precondition_failed') this.#end(held, error as PushfleetError);
      // Without Redis nobody can say that it has ended.
    }
    this.#tell(held, resumed);
  }

  /** What hangs on them may have been lost. */
  endAll(): void {
    for (const held of this.#held) this.#end(held, lapsed());
  }

  close(): void {
    this.#closed = true;
    for (const held of this.#held) this.#drop(held);
  }

  #end(held: Held, error: PushfleetError): void {
    if (this.#held.has(held) && !this.#closed) held.holder.onEnd(error);
    this.#drop(held);
  }

  #drop(held: Held): void {
    clearTimeout(held.timer);
    this.#held.delete(held);
  }
}
