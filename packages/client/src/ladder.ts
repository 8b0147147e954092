import type { TransportName } from './fleet.ts';

/** Which way to the fleet to try next: the one that worked last, then the others, best first. */
export class Ladder {
  /** Best first. */
  readonly order: readonly TransportName[];
  readonly #remember: (name: TransportName) => void;
  readonly #tried = new Set<TransportName>();
  #proven: TransportName | undefined;

  constructor(
    order: readonly TransportName[],
    proven: TransportName | undefined,
    remember: (name: TransportName) => void,
  ) {
    this.order = order;
    this.#proven = proven !== undefined && order.includes(proven) ? proven : undefined;
    this.#remember = remember;
  }

  /** The way to try now. */
  get pick(): TransportName {
    const [first] = this.order.filter((name) => !this.#tried.has(name));
    const proven = this.#proven;
    if (proven !== undefined && !this.#tried.has(proven)) return proven;
    return first ?? (this.order[0] as TransportName);
  }

  /** What is asked for came over it. */
  worked(name: TransportName): void {
    this.#tried.clear();
    if (this.#proven === name) return;
    this.#proven = name;
    this.#remember(name);
  }

  /** @returns whether another way is left to be tried at once; else all of them failed, and a new round begins later */
  failed(name: TransportName): boolean {
    this.#tried.add(name);
    if (this.#tried.size < this.order.length) return true;
    this.#tried.clear();
    return false;
  }

  /** The ways that are better than this one, best first. */
  better(than: TransportName): readonly TransportName[] {
    return this.order.slice(0, this.order.indexOf(than));
  }
}
