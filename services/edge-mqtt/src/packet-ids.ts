const last = 65_535;

/** Packet identifiers that are not in use ([MQTT-2.2.1-4]), one after the other. */
export class PacketIds {
  readonly #used: { has(id: number): boolean };
  #id = 0;

  constructor(used: { has(id: number): boolean }) {
    this.#used = used;
  }

  /** Fewer than 65,535 are in use. */
  next(): number {
    do this.#id = this.#id === last ? 1 : this.#id + 1;
    while (this.#used.has(this.#id));
    return this.#id;
  }
}
