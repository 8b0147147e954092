import { hash } from 'node:crypto';
import type { Fleet } from '@pushfleet/runtime';

/** Something that one instance at a time should hold. */
export interface Holding {
  /** Gives it back; resolves when it is given up. */
  stop(): Promise<void>;
}

const everyMs = 1_000;

/**
 * Divides numbered pieces among the instances of a service by highest random weight: when one comes or goes only
 * its own pieces move. Instances may disagree for moments; what they hold has to bear that.
 */
export class Shares {
  readonly #fleet: Pick<Fleet, 'instance' | 'instances'>;
  readonly #service: string;
  readonly #count: number;
  readonly #hold: (piece: number) => Holding;
  readonly #held = new Map<number, Holding>();
  readonly #leaving = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;

  /** @param hold takes a piece; called again for the same one only after its `stop` has resolved */
  constructor(
    fleet: Pick<Fleet, 'instance' | 'instances'>,
    service: string,
    count: number,
    hold: (piece: number) => Holding,
  ) {
    this.#fleet = fleet;
    this.#service = service;
    this.#count = count;
    this.#hold = hold;
  }

  /** How many pieces are held here. */
  get size(): number {
    return this.#held.size;
  }

  start(): void {
    this.#settle();
    this.#timer = setInterval(() => this.#settle(), everyMs).unref();
  }

  /** Gives everything back. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    for (const piece of [...this.#held.keys()]) this.#leave(piece);
    await Promise.all(this.#leaving);
  }

  #settle(): void {
    const instances = this.#fleet
      .instances()
      .filter(({ service }) => service === this.#service)
      .map(({ instance }) => instance);
    for (let piece = 0; piece < this.#count; piece++) {
      const mine = heaviest(instances, piece) === this.#fleet.instance;
      if (mine && !this.#held.has(piece)) this.#held.set(piece, this.#hold(piece));
      else if (!mine && this.#held.has(piece)) this.#leave(piece);
    }
  }

  #leave(piece: number): void {
    const holding = this.#held.get(piece) as Holding;
    const left = holding.stop().finally(() => {
      this.#leaving.delete(left);
      if (this.#held.get(piece) === leaving) this.#held.delete(piece);
    });
    // Stays held until it is given up, so that it is not taken twice.
    const leaving: Holding = { stop: () => left };
    this.#held.set(piece, leaving);
    this.#leaving.add(left);
  }
}

function heaviest(instances: readonly string[], piece: number): string | undefined {
  let most = '';
  let found: string | undefined;
  for (const instance of instances) {
    const weight = hash('sha256', `${instance}/${piece}`);
    if (weight > most) [most, found] = [weight, instance];
  }
  return found;
}
