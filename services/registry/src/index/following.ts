import type { Ledger } from '@pushfleet/bus';
import { Coalesced, type Namespace } from '@pushfleet/core';
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
  readonly ledger: Pick<Ledger, 'read'>;
  readonly changeOf: ReadChange;
  readonly summaries: SummaryStore;
  /** Makes the index anew where nobody knows any more what it lacks, and says what it holds then. */
  readonly rebuildAll: () => Promise<Summary>;
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
  #at = 0;

  constructor(options: FollowingOptions) {
    this.#o = options;
  }

  /** Settles once this instance knows everything that the log held at the call. @throws PushfleetError `unavailable` */
  current(): Promise<void> {
    return this.#reads.run();
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
    const changed = new Map<Namespace, number>();
    for await (const page of pages) {
      const steps = this.#steps(page.flatMap((entry) => this.#o.changeOf(entry) ?? []));
      await this.#o.onSteps(steps);
      for (const { namespace, to } of steps) {
        this.#latest.set(namespace, to);
        changed.set(namespace, to);
      }
    }
    this.#position = head;
    this.#at = now();
    await summaries.note(changed, { latest: this.#latest, to: head });
  }

  async #begin(): Promise<void> {
    this.#o.onForget();
    const { head } = await this.#o.ledger.read();
    const known = await this.#o.summaries.load();
    const usable = known !== undefined && known.to <= head;
    const { latest, to } = usable ? known : await this.#o.rebuildAll();
    this.#latest = new Map(latest);
    this.#position = to;
    this.#at = this.#o.now();
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
