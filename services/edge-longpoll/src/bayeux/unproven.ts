import type { Cursor } from '@pushfleet/core';

interface Sent {
  readonly text: string;
  /** The place behind it, as long as that says something. */
  cursor: Cursor | undefined;
  /** The batch by which it is acknowledged. */
  batch: number;
}

/** In no batch yet: no answer went out since. */
const open = Number.POSITIVE_INFINITY;

/**
 * What was sent and is not known to have arrived, in order. It is grouped into batches, each ended by the answer to a
 * connect; batches are acknowledged in their order. It holds references to texts that all sessions share.
 */
export class Unproven {
  readonly #sent: Sent[] = [];
  #bytes = 0;
  #batch: number;

  constructor(batch: number) {
    this.#batch = batch;
  }

  get size(): number {
    return this.#sent.length;
  }

  /** Characters, which are about the bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The last batch that was ended. */
  get batch(): number {
    return this.#batch;
  }

  /** The place behind all that the last batch has, where it is known and the batch is not acknowledged. */
  get end(): Cursor | undefined {
    return this.#sent.findLast(({ batch }) => batch <= this.#batch)?.cursor;
  }

  texts(): readonly string[] {
    return this.#sent.map(({ text }) => text);
  }

  add(text: string, cursor: Cursor): void {
    this.#sent.push({ text, cursor, batch: open });
    this.#bytes += text.length;
  }

  /** Moves the place on past what is not sent; false where nothing is unproven, so that the place itself moves. */
  pass(cursor: Cursor): boolean {
    const last = this.#sent.at(-1);
    if (last === undefined) return false;
    last.cursor = cursor;
    return true;
  }

  /** From now on something is owed that lies before these places. */
  forget(): void {
    for (const one of this.#sent) one.cursor = undefined;
  }

  /**
   * The batch that a client says it has received. A greater one than any here was another instance's: it proves
   * nothing of what was sent here, and those to come are greater.
   */
  known(ack: number | undefined): number {
    if (ack === undefined || !Number.isSafeInteger(ack)) return -1;
    if (ack <= this.#batch) return ack;
    this.#batch = ack;
    return -1;
  }

  /** Ends a batch of all that is unproven: what is repeated is acknowledged by its newest batch. */
  seal(): number {
    this.#batch++;
    for (const one of this.#sent) one.batch = this.#batch;
    return this.#batch;
  }

  /** Drops what the batches up to this one have; returns the place behind it, where it is known. */
  prove(batch: number): Cursor | undefined {
    let proven: Cursor | undefined;
    while (this.#sent.length > 0 && (this.#sent[0] as Sent).batch <= batch) {
      const { cursor, text } = this.#sent.shift() as Sent;
      proven = cursor ?? proven;
      this.#bytes -= text.length;
    }
    return proven;
  }
}
