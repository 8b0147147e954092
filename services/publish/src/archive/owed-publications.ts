import type { Shelf } from '@pushfleet/bus';
import { type Cursor, type Namespace, parseCursor, type Topic } from '@pushfleet/core';

const pageEntries = 16;
/** Most entries looked at for one; an older one is kept from its receivers by the record of the deletion alone. */
const mostEntries = 1_024;
const lineEnd = 0x0a;

/** The publications that wait on the shelf `owed` for those who have not got them, each with a line of JSON before it. */
export class OwedPublications {
  readonly #shelf: Shelf;

  constructor(shelf: Shelf) {
    this.#shelf = shelf;
  }

  /** The place of a topic's newest; 0 where it has none. */
  async newest(namespace: Namespace, topic: Topic): Promise<number> {
    const [newest] = await this.#shelf.newest(`${namespace}/${topic}`, undefined, 1);
    return newest?.sequence ?? 0;
  }

  /** Removes a topic's up to this place. */
  async clear(namespace: Namespace, topic: Topic, until: number): Promise<void> {
    if (until > 0) await this.#shelf.clear(`${namespace}/${topic}`, { exactly: true, until });
  }

  /** Removes the publication right before the cursor. */
  async remove(namespace: Namespace, topic: Topic, shard: number, at: Cursor): Promise<void> {
    const key = `${namespace}/${topic}`;
    let before: number | undefined;
    for (let seen = 0; seen < mostEntries; ) {
      const page = await this.#shelf.newest(key, before, pageEntries);
      const found = page.filter(({ body }) => isBefore(body, shard, at)).map(({ sequence }) => sequence);
      if (found.length > 0) await this.#shelf.remove(found);
      if (found.length > 0 || page.length < pageEntries) return;
      before = page.at(-1)?.sequence;
      seen += page.length;
    }
  }
}

function isBefore(body: Uint8Array, shard: number, at: Cursor): boolean {
  try {
    const head = JSON.parse(Buffer.from(body.subarray(0, body.indexOf(lineEnd))).toString()) as Head;
    const [own, wanted] = [parseCursor(head.cursor), parseCursor(at)];
    const sequence = wanted.positions[shard];
    return head.shard === shard && head.sequence === sequence && own.generation === wanted.generation;
  } catch {
    return false;
  }
}

interface Head {
  readonly shard: number;
  readonly sequence: number;
  readonly cursor: string;
}
