import { PushfleetError } from '@pushfleet/core';

export interface ListBounds {
  /** Most lists under way, of everybody and of one asker. */
  readonly running: number;
  readonly runningPerAsker: number;
  /** Most lists that wait for their turn, of everybody and of one asker. */
  readonly waiting: number;
  readonly waitingPerAsker: number;
  /** A list that has waited for longer is not begun, in milliseconds. */
  readonly patienceMs: number;
}

/** Of one process of an edge. A page is a quarter of a MiB at most, in Redis, in the registry and here. */
export const listBounds: ListBounds = {
  running: 8,
  runningPerAsker: 2,
  waiting: 1_024,
  waitingPerAsker: 128,
  patienceMs: 5_000,
};

interface Turn {
  readonly until: number;
  begin(): void;
  reject(error: PushfleetError): void;
}

/** Invariant: it is known while it has lists under way or waiting. */
interface Asker {
  readonly name: string;
  readonly turns: Turn[];
  running: number;
}

/**
 * Lists on their way to the registry. Entries travel the same way and are what others wait for, so that lists go a few
 * at a time: an asker's own in order, and askers in turn, so that who asks for much waits for itself.
 */
export class PresenceLists {
  readonly #bounds: ListBounds;
  readonly #askers = new Map<string, Asker>();
  /** Whose next list may begin once there is room; who had a turn goes to the end. */
  readonly #ready = new Set<Asker>();
  #running = 0;
  #waiting = 0;

  constructor(bounds: ListBounds = listBounds) {
    this.#bounds = bounds;
  }

  /**
   * Does one list when its turn comes.
   *
   * @throws PushfleetError `rate_limited` where too many wait, `unavailable` where it waited for too long; what `ask` throws
   */
  async run<T>(name: string, ask: () => Promise<T>): Promise<T> {
    const asker = this.#askers.get(name) ?? { name, turns: [], running: 0 };
    this.#requireRoom(asker);
    this.#askers.set(name, asker);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    asker.turns.push({ until: performance.now() + this.#bounds.patienceMs, begin: resolve, reject });
    this.#waiting++;
    this.#settle(asker);
    this.#next();
    await promise;
    try {
      return await ask();
    } finally {
      asker.running--;
      this.#running--;
      this.#settle(asker);
      this.#next();
    }
  }

  #requireRoom({ running, turns }: Asker): void {
    const { running: most, runningPerAsker, waiting, waitingPerAsker } = this.#bounds;
    if (this.#running < most && running < runningPerAsker) return;
    if (turns.length >= waitingPerAsker) {
      throw tooMany(
        `This subject has ${waitingPerAsker} lists of presence that wait here already; wait for an answer before the next.`,
        waitingPerAsker,
      );
    }
    if (this.#waiting >= waiting)
      throw tooMany('Too many lists of presence wait at this instance; try again shortly.', waiting);
  }

  #next(): void {
    for (const asker of this.#ready) {
      if (this.#running >= this.#bounds.running) return;
      this.#ready.delete(asker);
      this.#begin(asker);
      // It goes to the end, behind those that this loop has yet to come to.
      this.#settle(asker);
    }
  }

  /** Begins the next list of an asker, and refuses those before it that have waited for too long. */
  #begin(asker: Asker): void {
    for (let turn = asker.turns.shift(); turn !== undefined; turn = asker.turns.shift()) {
      this.#waiting--;
      if (turn.until <= performance.now()) {
        turn.reject(tooLate());
        continue;
      }
      asker.running++;
      this.#running++;
      turn.begin();
      return;
    }
  }

  #settle(asker: Asker): void {
    if (asker.turns.length > 0 && asker.running < this.#bounds.runningPerAsker) this.#ready.add(asker);
    if (asker.turns.length === 0 && asker.running === 0) this.#askers.delete(asker.name);
  }
}

const tooMany = (message: string, limit: number) =>
  new PushfleetError('rate_limited', message, { detail: { limit }, retryAfterMs: 1_000 });
const tooLate = () =>
  new PushfleetError('unavailable', 'The registry answers lists of presence slowly; try again shortly.', {
    retryAfterMs: 1_000,
  });
