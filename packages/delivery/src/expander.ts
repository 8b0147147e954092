import type { Queue, QueueEntry, Shelf, ShelfDraft, Tailed } from '@pushfleet/bus';
import type { Namespace } from '@pushfleet/core';
import type {
  MatchAnswer,
  SubscriptionKind,
  SubscriptionMatch,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Deletions } from './deletions.ts';
import { encodeJob, encodeJson, type Job, type Owed, type Reference } from './job.ts';
import type { OwedShelf } from './owed-shelf.ts';
import type { Patiently } from './patience.ts';
import { keyOf, laneKey, shortHash, slotOf } from './place.ts';
import type { Selections } from './selections.ts';
import type { SubscriptionCalls } from './subscribers.ts';

export interface ExpanderOptions {
  readonly kind: string;
  readonly subscriptionKind: SubscriptionKind;
  readonly registry: SubscriptionCalls;
  readonly queue: Queue;
  readonly lanes: Shelf;
  readonly owed: OwedShelf;
  readonly deletions: Deletions;
  readonly selections: Selections;
  /** How long what waits for its receiver is kept, in milliseconds. */
  readonly queueMs: number;
  readonly patiently: Patiently;
}

/** Receivers of one entry of the queue: what is repeated of a delivery whose worker died is at most so much. */
const idsPerEntry = 32;
/** A publication with a larger payload is not copied into the queue, in bytes. */
const inlineBytes = 32_768;
/** Publications asked about at once. */
const questionsAtOnce = 500;

interface Asked {
  readonly namespace: Namespace;
  readonly owed: Owed;
}

/**
 * From a publication to those who are owed it: what the registry finds becomes entries of the queue, a few
 * receivers each, and for those that want order references on their lanes. Everything is stored before the
 * publication counts as expanded, and under names that make a repetition harmless.
 */
export class Expander {
  readonly #o: ExpanderOptions;
  /** Publications that were expanded, and receivers found. */
  readonly counts = { publications: 0, matches: 0 };

  constructor(options: ExpanderOptions) {
    this.#o = options;
  }

  /** Expands publications in their order; resolves when all that they ask for is stored. */
  async expand(batch: readonly Tailed[]): Promise<void> {
    const now = Date.now();
    const asked = batch
      .filter(({ publication, namespace }) => {
        const expired = publication.expiresAt !== undefined && publication.expiresAt <= now;
        return !expired && !this.#o.deletions.has(namespace, publication);
      })
      .map(({ namespace, publication, cursor }) => ({ namespace, owed: { publication, cursor } }));
    for (let i = 0; i < asked.length; i += questionsAtOnce) {
      await this.#pages(asked.slice(i, i + questionsAtOnce).map((one) => ({ ...one, pageToken: '' })));
    }
    this.counts.publications += batch.length;
  }

  /** Goes on with a publication's further receivers, one page; what is left then is another entry of the queue. */
  async proceed({ namespace, owed, pageToken }: Extract<Job, { kind: 'expand' }>): Promise<void> {
    if (this.#o.deletions.has(namespace, owed.publication)) return;
    await this.#pages([{ namespace, owed, pageToken }]);
  }

  async #pages(questions: readonly (Asked & { readonly pageToken: string })[]): Promise<void> {
    const answers = await this.#match(questions);
    const entries: QueueEntry[] = [];
    const lanes: ShelfDraft[] = [];
    for (const [i, { namespace, owed }] of questions.entries()) {
      await this.#answer(namespace, owed, answers[i] as MatchAnswer, entries, lanes);
    }
    if (lanes.length > 0) {
      await this.#o.patiently('deliveries in order', async () => void (await this.#o.lanes.append(lanes)));
    }
    if (entries.length > 0) await this.#o.patiently('deliveries', () => this.#o.queue.put(entries));
  }

  async #answer(
    namespace: Namespace,
    owed: Owed,
    first: MatchAnswer,
    entries: QueueEntry[],
    lanes: ShelfDraft[],
  ): Promise<void> {
    let answer = first;
    for (;;) {
      const { matches, nextPageToken: pageToken } = answer;
      const chosen = matches.filter(({ selection }) =>
        this.#o.selections.selects(selection, owed.publication),
      );
      this.counts.matches += chosen.length;
      await this.#ordered(namespace, owed, chosen, entries, lanes);
      await this.#bySlot(namespace, owed, chosen, entries);
      if (pageToken === '') return;
      // Those that want order come first, and are written down before the next publication is looked at.
      if (matches.at(-1)?.ordered !== true) {
        const body = encodeJob({ kind: 'expand', namespace, owed, pageToken });
        const name = `${namespace}\0${owed.cursor}\0${pageToken}`;
        entries.push({ slot: slotOf({ namespace, id: owed.cursor }), id: shortHash(name), body });
        return;
      }
      [answer] = (await this.#match([{ namespace, owed, pageToken }])) as [MatchAnswer];
    }
  }

  async #ordered(
    namespace: Namespace,
    owed: Owed,
    matches: readonly SubscriptionMatch[],
    entries: QueueEntry[],
    lanes: ShelfDraft[],
  ): Promise<void> {
    for (const { id, ordered } of matches) {
      if (!ordered) return;
      const ref = { namespace, id };
      const reference: Reference = { owed: await this.#keep(namespace, owed), attempts: 0 };
      const name = shortHash(`${keyOf(ref)}\0${owed.cursor}`);
      const ttlMs = this.#o.queueMs;
      lanes.push({ key: laneKey(this.#o.kind, ref), id: name, body: encodeJson(reference), ttlMs });
      entries.push({ slot: slotOf(ref), id: name, body: encodeJob({ kind: 'nudge', ...ref }) });
    }
  }

  /** Entries for those without order: the publication once for several receivers of a slot. */
  async #bySlot(
    namespace: Namespace,
    owed: Owed,
    matches: readonly SubscriptionMatch[],
    entries: QueueEntry[],
  ): Promise<void> {
    const bySlot = new Map<number, string[]>();
    for (const { id, ordered } of matches) {
      if (ordered) continue;
      const slot = slotOf({ namespace, id });
      const ids = bySlot.get(slot);
      if (ids === undefined) bySlot.set(slot, [id]);
      else ids.push(id);
    }
    const inline = owed.publication.payload.length <= inlineBytes;
    const place = inline || bySlot.size === 0 ? 0 : await this.#keep(namespace, owed);
    for (const [slot, all] of bySlot) {
      for (let i = 0; i < all.length; i += idsPerEntry) {
        const ids = all.slice(i, i + idsPerEntry);
        const job: Job = inline
          ? { kind: 'deliver', namespace, owed, ids }
          : { kind: 'fetch', namespace, place, ids };
        // The receivers are in the name: should others be found at a repetition, nobody is taken for another.
        const id = shortHash(`${namespace}\0${owed.cursor}\0${ids.join()}`);
        entries.push({ slot, id, body: encodeJob(job) });
      }
    }
  }

  #keep(namespace: Namespace, owed: Owed): Promise<number> {
    return this.#o.patiently('a publication that is owed', () => this.#o.owed.keep(namespace, owed));
  }

  #match(questions: readonly (Asked & { readonly pageToken: string })[]): Promise<readonly MatchAnswer[]> {
    const asked = questions.map(({ namespace, owed, pageToken }) => ({
      namespace,
      topic: owed.publication.topic,
      cursor: owed.cursor,
      pageToken,
    }));
    return this.#o.patiently('the receivers of publications', () =>
      this.#o.registry.match(this.#o.subscriptionKind, asked),
    );
  }
}
