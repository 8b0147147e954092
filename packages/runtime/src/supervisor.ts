import type { Log } from './log.ts';
import type { Part } from './part.ts';

/** One reason per part that cannot serve; none means ready. */
export type Readiness = Readonly<Record<string, string>>;

/** A part that hangs in `close` holds the process no longer than this. */
const closeMs = 5_000;

/** Starts, drains and closes parts as one. */
export class Supervisor {
  readonly #parts: readonly Part[];
  readonly #log: Log;
  readonly #drainMs: number;
  readonly #cut = new AbortController();
  #running = false;
  #started: Part[] = [];
  #stopping: Promise<boolean> | undefined;

  constructor(options: { readonly parts: readonly Part[]; readonly log: Log; readonly drainMs: number }) {
    this.#parts = options.parts;
    this.#log = options.log;
    this.#drainMs = options.drainMs;
  }

  /** Why the service takes no traffic now. */
  get reasons(): Readiness {
    if (this.#stopping !== undefined) return { service: 'the service is shutting down' };
    if (!this.#running) return { service: 'the service is starting' };
    const reasons: Record<string, string> = {};
    for (const part of this.#parts) {
      const reason = part.ready?.();
      if (reason !== undefined) reasons[part.name] = reason;
    }
    return reasons;
  }

  /** Starts the parts in order. Where one fails, those before it are closed again and the failure is thrown. */
  async start(): Promise<void> {
    for (const part of this.#parts) {
      if (this.#stopping !== undefined) return;
      this.#started.push(part);
      try {
        await part.start();
      } catch (error) {
        if (this.#stopping !== undefined) return;
        await this.#close();
        throw new Error(`${part.name} could not start: ${(error as Error).message}`, { cause: error });
      }
    }
    this.#running = this.#stopping === undefined;
  }

  /** Drains and closes; called again while that goes on, it cuts the drain short. Whether everything went well. */
  stop(): Promise<boolean> {
    if (this.#stopping === undefined) this.#stopping = this.#stop();
    else this.#cut.abort();
    return this.#stopping;
  }

  async #stop(): Promise<boolean> {
    const drained = this.#running ? await this.#drain() : true;
    return (await this.#close()) && drained;
  }

  async #drain(): Promise<boolean> {
    const deadline = AbortSignal.any([AbortSignal.timeout(this.#drainMs), this.#cut.signal]);
    const late = new Promise<'late'>((resolve) => {
      deadline.addEventListener('abort', () => resolve('late'), { once: true });
    });
    const drains = this.#started.map((part) => this.#attempt(part, 'drain', () => part.drain(deadline)));
    // A part gets a moment after the deadline for its last words; one that ignores it is closed regardless.
    const outcome = await Promise.race([
      Promise.all(drains),
      late.then(() => soon(Promise.all(drains), 500)),
    ]);
    if (outcome === undefined) this.#log.warn('the drain took too long; what is left is cut');
    return outcome?.every(Boolean) ?? false;
  }

  async #close(): Promise<boolean> {
    let well = true;
    for (const part of this.#started.toReversed()) {
      const closed = await soon(
        this.#attempt(part, 'close', () => part.close()),
        closeMs,
      );
      if (closed === undefined) this.#log.error({ part: part.name }, 'the part did not close in time');
      well &&= closed === true;
    }
    this.#started = [];
    return well;
  }

  async #attempt(part: Part, step: 'drain' | 'close', run: () => Promise<void>): Promise<boolean> {
    try {
      await run();
      return true;
    } catch (error) {
      this.#log.error({ err: error, part: part.name }, `the part failed to ${step}`);
      return false;
    }
  }
}

/** The promise's value, or undefined where it takes longer than `ms`. */
async function soon<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
