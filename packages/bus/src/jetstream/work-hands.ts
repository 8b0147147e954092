import { setTimeout as sleep } from 'node:timers/promises';

/** One piece of work. */
export interface Task {
  readonly topic: string;
  /** Keeps the lease of a task that waits here. */
  extend(): void;
  /** Works; resolves with after how many milliseconds it wants to be called again in its place, or undefined. */
  work(): Promise<number | undefined>;
  /** Gives it back undone. */
  drop(): undefined;
}

/** Where a topic's order counts, tasks behind one that is in hand wait here, up to so many a hand. */
const waitingPerHand = 4;

/** A bounded number of tasks at once, and where wanted one at a time of each topic. */
export class Hands {
  readonly #size: number;
  readonly #ordered: boolean;
  readonly #topics = new Map<string, Task[]>();
  readonly #extendMs: number;
  #extender: NodeJS.Timeout | undefined;
  #working = 0;
  #held = 0;
  readonly #stopping = new AbortController();
  #changed: (() => void)[] = [];

  constructor(size: number, ordered: boolean, extendMs: number) {
    this.#size = size;
    this.#ordered = ordered;
    this.#extendMs = extendMs;
  }

  /** Begins the task, or lets it wait behind its topic; resolves when another can be taken. */
  async take(task: Task): Promise<void> {
    this.#held++;
    const queue = this.#ordered ? this.#topics.get(task.topic) : undefined;
    if (queue !== undefined) {
      queue.push(task);
      this.#extender ??= setInterval(() => this.#extendWaiting(), this.#extendMs);
    } else {
      if (this.#ordered) this.#topics.set(task.topic, []);
      void this.#run(task);
    }
    const most = this.#ordered ? this.#size * (1 + waitingPerHand) : this.#size;
    while (this.#working >= this.#size || this.#held >= most) await this.#change();
  }

  /** Gives back what waits; resolves when nothing is in hand. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#extender);
    while (this.#held > 0) await this.#change();
  }

  async #run(first: Task): Promise<void> {
    for (
      let task: Task | undefined = first;
      task !== undefined;
      task = this.#topics.get(first.topic)?.shift()
    ) {
      while (this.#working >= this.#size) await this.#change();
      await this.#finish(task);
    }
    this.#topics.delete(first.topic);
  }

  async #finish(task: Task): Promise<void> {
    for (;;) {
      this.#working++;
      const againMs = this.#stopping.signal.aborted ? task.drop() : await task.work();
      this.#working--;
      if (againMs === undefined) break;
      this.#tell();
      await this.#wait(task, againMs);
    }
    this.#held--;
    this.#tell();
  }

  async #wait(task: Task, ms: number): Promise<void> {
    const extender = setInterval(() => task.extend(), this.#extendMs);
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
    clearInterval(extender);
    task.extend();
  }

  #extendWaiting(): void {
    let waiting = 0;
    for (const queue of this.#topics.values()) {
      waiting += queue.length;
      for (const task of queue) task.extend();
    }
    if (waiting > 0) return;
    clearInterval(this.#extender);
    this.#extender = undefined;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#changed.push(resolve));
  }

  #tell(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }
}
