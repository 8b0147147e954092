const last = 65_535;

/**
 * Packet identifiers, one after the other, for all clients of this process: who is sent the same message is sent it
 * under the same one where that is free, so that the bytes are the same, too. [MQTT-2.2.1-4] asks for no more than that.
 */
export class PacketIds {
  #id = 0;

  next(): number {
    this.#id = this.#id === last ? 1 : this.#id + 1;
    return this.#id;
  }

  /** One that is not in use, `wanted` where that is not. Fewer than 65,535 are in use. */
  free(wanted: number, used: { has(id: number): boolean }): number {
    let id = wanted;
    while (used.has(id)) id = this.next();
    return id;
  }
}
