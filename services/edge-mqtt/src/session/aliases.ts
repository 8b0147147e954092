import { LazyMap } from './lazy-map.ts';

/** The topics that a client's aliases stand for (section 3.3.2.3.4). They end with the connection ([MQTT-3.3.2-7]). */
export class IncomingAliases {
  readonly #topics = new LazyMap<number, string>();

  /**
   * @param topic undefined: the one that the alias stands for
   * @returns the topic, undefined where the alias stands for none
   */
  resolve(alias: number, topic: string | undefined): string | undefined {
    if (topic === undefined) return this.#topics.get(alias);
    this.#topics.set(alias, topic);
    return topic;
  }
}

/** The aliases by which a client is sent topics: the first ones get them, as many as it takes. */
export class OutgoingAliases {
  readonly #most: number;
  readonly #aliases = new LazyMap<string, number>();

  /** @param most 0: none */
  constructor(most: number) {
    this.#most = most;
  }

  /** The alias of a topic that was sent with it. */
  known(topic: string): number | undefined {
    return this.#most === 0 ? undefined : this.#aliases.get(topic);
  }

  /** The alias that the topic would get; 0: none is left. */
  get next(): number {
    return this.#aliases.size < this.#most ? this.#aliases.size + 1 : 0;
  }

  /** The topic is sent with `next`. */
  assign(topic: string): void {
    this.#aliases.set(topic, this.#aliases.size + 1);
  }
}
