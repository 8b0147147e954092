import { setTimeout as sleep } from 'node:timers/promises';
import type { Backbone } from '@pushfleet/core';
import type { Log, Part } from '@pushfleet/runtime';

const retryMs = 1_000;

/**
 * The log as a part that does not hold up the others: tickets need none, and a log that is away or not yet
 * migrated at the start is taken as it comes.
 */
export class LogPart implements Part {
  readonly name = 'nats';
  readonly #backbone: Backbone;
  readonly #log: Log;
  readonly #closed = new AbortController();
  #reason = 'NATS has not answered yet';

  constructor(backbone: Backbone, log: Log) {
    this.#backbone = backbone;
    this.#log = log;
  }

  async start(): Promise<void> {
    void this.#connect();
  }

  drain(deadline: AbortSignal): Promise<void> {
    return this.#backbone.drain(deadline);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#backbone.close();
  }

  ready(): string | undefined {
    return this.#backbone.ready ? undefined : this.#reason;
  }

  async #connect(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      try {
        await this.#backbone.start();
        this.#reason = 'NATS does not answer';
        return;
      } catch (error) {
        this.#reason = (error as Error).message;
        this.#log.error({ err: error }, 'the log cannot be used yet; trying again');
        await sleep(retryMs, undefined, { signal: this.#closed.signal }).catch(() => {});
      }
    }
  }
}
