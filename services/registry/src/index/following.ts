import { randomUUID } from 'node:crypto';
import type { Ledger } from '@pushfleet/bus';
import { Coalesced, type Namespace, PushfleetError } from '@pushfleet/core';
import type { IndexChange, ReadChange } from '../subscriptions/subscription-index.ts';
import type { Summary, SummaryStore } from './summary.ts';

/**
 * Ends of records vanish from the log an hour after an expiry, and a day after a deletion. Who has not looked for so
 * long may have missed one, in milliseconds.
 */
export const forgetMs = 45 * 60_000;

/** Changes of one namespace in the order of their revisions. */
export interface Step {
  readonly namespace: Namespace;
  readonly changes: readonly IndexChange[];
  /** The revision of the namespace's change before the first of these; 0: none is known. */
  readonly previous: number;
  /** The revision of the last of these. */
  readonly to: number;
}

export interface FollowingOptions {
  readonly ledger: Pick<Ledger, 'get' | 'put' | 'read'>;
  readonly changeOf: ReadChange;
  readonly summaries: SummaryStore;
  /** Makes the index anew where nobody knows any more what it lacks, and says what it holds then. */
  readonly rebuildAll: (era: string) => Promise<Summary>;
  /** What is new, before `current` resolves. */
  readonly onSteps: (steps: readonly Step[]) => Promise<void>;
  /** Nothing that was learnt of the log before holds any more. */
  readonly onForget: () => void;
  readonly now: () => number;
}

export const revisionOf = (change: IndexChange): number =>
  change.kind === 'put' ? change.entry.revision : change.revision;

export const namespaceOf = (change: IndexChange): Namespace =>
  change.kind === 'put' ? change.entry.namespace : change.namespace;

/** Where this instance is in the log, and which revision each namespace was changed with last. */
export class Following {
  readonly #o: FollowingOptions;
  readonly #reads = new Coalesced(() => this.#catchUp());
  #latest = new Map<Namespace, number>();
  #position: number | undefined;
  #era = '';
  #at = 0;

  constructor(options: FollowingOptions) {
    this.#o = options;
  }

  /** Settles once this instance knows everything that the log held at the call. @throws PushfleetError `unavailable` */
  current(): Promise<void> {
    return this.#reads.run();
  }

  /** Names the log. */
  get era(): string {
    return this.#era;
  }

  /** The revision of the namespace's last change; undefined where it never had a subscription. */
  latest(namespace: Namespace): number | undefined {
    return this.#latest.get(namespace);
  }

  namespaces(): readonly Namespace[] {
    return [...this.#latest.keys()];
  }

  async #catchUp(): Promise<void> {
    const { ledger, summaries, now } = this.#o;
    if (this.#position === undefined || now() - this.#at > forgetMs) await this.#begin();
    const from = this.#position as number;
    const { head, pages } = await ledger.read({ after: from });
    // The log is another: what is known is of one that is lost.
    if (head < from) {
      this.#position = undefined;
      return this.#catchUp();
    }
    for await (const page of pages) {
      const steps = this.#steps(page.flatMap((entry) => this.#o.changeOf(entry) ?? []));
      await this.#o.onSteps(steps);
      for (const { namespace, to } of steps) {
        this.#latest.set(namespace, to);
        summaries.note(namespace, to);
      }
    }
    this.#position = head;
    this.#at = now();
    await summaries.tell({ era: this.#era, latest: this.#latest, to: head });
  }

  async #begin(): Promise<void> {
    const { ledger, summaries, now } = this.#o;
    this.#o.onForget();
    this.#era = await eraOf(ledger);
    const { head } = await ledger.read();
    const known = await summaries.load(this.#era);
    const usable = known !== undefined && known.to <= head;
    const { latest, to } = usable ? known : await this.#o.rebuildAll(this.#era);
    this.#latest = new Map(latest);
    this.#position = to;
    this.#at = now();
  }

  #steps(changes: readonly IndexChange[]): readonly Step[] {
    const groups = Map.groupBy(changes, namespaceOf);
    return [...groups].map(([namespace, own]) => ({
      namespace,
      changes: own,
      previous: this.#latest.get(namespace) ?? 0,
      to: revisionOf(own.at(-1) as IndexChange),
    }));
  }
}

/** No record has such a key. */
const eraKey = 'era';

/** What tells this log from one that was there before it: what Redis holds of another says nothing. */
async function eraOf(ledger: Pick<Ledger, 'get' | 'put'>): Promise<string> {
  for (;;) {
    const held = await ledger.get(eraKey);
    if (held !== undefined) return Buffer.from(held.value).toString();
    await ledger
      .put(eraKey, Buffer.from(randomUUID().slice(0, 8)), { ifRevision: 0 })
      .catch((error: unknown) => {
        if (!(error instanceof PushfleetError) || error.code !== 'conflict') throw error;
      });
  }
}
