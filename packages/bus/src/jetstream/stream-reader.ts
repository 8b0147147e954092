import type { Gate } from '@pushfleet/core';
import { leaderMessage, type StoredMessage } from './api.ts';
import { directPage } from './direct-get.ts';
import type { Link } from './link.ts';
import { patiently } from './retry.ts';

export interface ReaderOptions {
  readonly link: Link;
  /** Bounds how much the process asks of the broker at once. */
  readonly gate: Gate;
  readonly stream: string;
  readonly filter: string;
  /** Reads what is behind `after`, up to and including `until`. */
  readonly after: number;
  readonly until: number;
  /** Whether replicas other than the leader may answer. */
  readonly replicated: boolean;
  /** Most messages and bytes of one page. */
  readonly count: number;
  readonly bytes: number;
  readonly signal?: AbortSignal;
}

/**
 * A stretch of one stream under one filter, page by page. A page proves itself complete up to its last message.
 * Where a replica has nothing more, the leader is asked: the replica may be behind.
 */
export class StreamReader {
  readonly #o: ReaderOptions;
  #position: number;
  #done: boolean;

  constructor(options: ReaderOptions) {
    this.#o = options;
    this.#position = options.after;
    this.#done = options.after >= options.until;
  }

  /**
   * The next messages, at least one; undefined at the end, or once the signal is aborted.
   *
   * @throws PushfleetError `unavailable`
   */
  async next(): Promise<readonly StoredMessage[] | undefined> {
    while (!this.#done && this.#o.signal?.aborted !== true) {
      const found = await patiently(() => this.#o.gate.run(() => this.#page()), this.#o.signal);
      if (found.length > 0) return found;
    }
    return undefined;
  }

  async #page(): Promise<readonly StoredMessage[]> {
    const { link, stream, filter, until, count, bytes } = this.#o;
    const wanted = Math.min(count, until - this.#position);
    const question = { stream, filter, from: this.#position + 1, count: wanted, bytes };
    const { messages, end } = await directPage(link, question);
    if (messages.length === 0) return this.#ask();
    const found = this.#pass(messages);
    if (end && !this.#o.replicated) this.#done = true;
    return found;
  }

  /** What the leader holds next, where a replica held nothing. */
  async #ask(): Promise<readonly StoredMessage[]> {
    const { link, stream, filter, replicated } = this.#o;
    const question = { seq: this.#position + 1, next_by_subj: filter };
    const next = replicated ? await leaderMessage(link, stream, question) : undefined;
    if (next !== undefined) return this.#pass([next]);
    this.#done = true;
    return [];
  }

  #pass(messages: readonly StoredMessage[]): readonly StoredMessage[] {
    const { until } = this.#o;
    this.#position = messages.at(-1)?.sequence ?? this.#position;
    if (this.#position >= until) this.#done = true;
    return this.#position <= until ? messages : messages.filter(({ sequence }) => sequence <= until);
  }
}
