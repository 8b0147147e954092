import { EventSource } from 'eventsource';
import type { Load } from './load.ts';

/** A client of npm's `eventsource`, left to its own reconnecting and resuming. */
export class Listener {
  readonly name: string = 'eventsource';
  readonly filters: readonly string[];
  readonly received: Load[] = [];
  /** What should never happen: a gap, or a refusal for good. */
  readonly troubles: string[] = [];
  /** Connections that it lost, and attempts that brought none. */
  cuts = 0;
  failures = 0;
  readonly #source: EventSource;
  #stands = false;

  constructor(address: string, token: string, filters: readonly string[]) {
    this.filters = filters;
    const url = new URL(`http://${address}/sse`);
    for (const filter of filters) url.searchParams.append('topic', filter);
    this.#source = new EventSource(url, {
      fetch: (input, init) =>
        fetch(input, { ...init, headers: { ...init?.headers, Authorization: `Bearer ${token}` } }),
    });
    this.#source.addEventListener('message', ({ data }) => this.received.push(JSON.parse(data) as Load));
    this.#source.addEventListener('pushfleet.gap', ({ data }) => this.troubles.push(`gap ${data}`));
    this.#source.addEventListener('open', () => (this.#stands = true));
    this.#source.addEventListener('error', ({ code, message }) => {
      if (this.#stands) this.cuts++;
      else this.failures++;
      this.#stands = false;
      if (this.#source.readyState === EventSource.CLOSED) this.troubles.push(`refused: ${code} ${message}`);
    });
  }

  get open(): boolean {
    return this.#source.readyState === EventSource.OPEN;
  }

  close(): void {
    this.#source.close();
  }
}
