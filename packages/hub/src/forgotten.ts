import type { Deletion, Publication } from '@pushfleet/core';

/** Publications in memory that the log has deleted: whoever holds one gives it to nobody any more. */
export class Forgotten {
  readonly #publications = new WeakSet<Publication>();
  #any = false;

  /** Asked for each publication that is taken. */
  has(publication: Publication): boolean {
    return this.#any && this.#publications.has(publication);
  }

  /** Looks through what somebody holds. */
  add(deletion: Deletion, held: Iterable<Publication>): void {
    for (const publication of held) {
      if (!isDeleted(deletion, publication)) continue;
      this.#any = true;
      this.#publications.add(publication);
    }
  }
}

function isDeleted(deletion: Deletion, { topic, shard, sequence }: Publication): boolean {
  const { first, last } = deletion;
  return shard === deletion.shard && sequence >= first && sequence <= last && topic === deletion.topic;
}
