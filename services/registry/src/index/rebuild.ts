import type { Ledger } from '@pushfleet/bus';
import type { Namespace } from '@pushfleet/core';
import type { Store } from '../redis.ts';
import type { IndexChange, ReadChange } from '../subscriptions/subscription-index.ts';
import { changeArguments } from './encoding.ts';
import { namespaceOf, revisionOf } from './following.ts';
import { markOf, prefixOf } from './keys.ts';
import type { Lock } from './lock.ts';
import { applyScript, finishScript, wipeScript } from './scripts.ts';
import type { Summary } from './summary.ts';

export interface RebuildOptions {
  readonly store: Store;
  readonly ledger: Pick<Ledger, 'read'>;
  readonly changeOf: ReadChange;
  /** Of the log. */
  readonly era: string;
  readonly lock: Lock;
  /** Ends it between two pages. */
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** What each namespace's mark says of who rebuilds it: moved by every script, so that none misses what one before did. */
class Fences {
  readonly #token: string;
  readonly #moves = new Map<Namespace, number>();

  constructor({ token }: Lock) {
    this.#token = token;
  }

  of(namespace: Namespace): string {
    return `${this.#token}/${this.#moves.get(namespace) ?? 0}`;
  }

  /** The fence at this moment and the one behind it, which counts from then on. */
  move(namespace: Namespace): readonly [fence: string, next: string] {
    const fence = this.of(namespace);
    this.#moves.set(namespace, (this.#moves.get(namespace) ?? 0) + 1);
    return [fence, this.of(namespace)];
  }
}

type Run = RebuildOptions & { readonly fences: Fences };

/** Records that one script takes out. */
const wipeCount = 1_000;

/**
 * Makes namespaces anew from the log, page by page: each is claimed, emptied, filled, and gets its mark at the end.
 * Until then it has none, so that nothing is answered by it and no change is applied to it.
 *
 * @param wanted undefined: all that the log has
 * @throws Error where another instance has taken over, PushfleetError `unavailable`
 */
export async function rebuild(
  options: RebuildOptions,
  wanted: ReadonlySet<Namespace> | undefined,
): Promise<Summary> {
  const o: Run = { ...options, fences: new Fences(options.lock) };
  const latest = new Map<Namespace, number>();
  for (const namespace of wanted ?? []) await claim(o, namespace);
  const begun = new Set(wanted);
  const { head, pages } = await o.ledger.read();
  let filling: Promise<void> = Promise.resolve();
  for await (const page of pages) {
    await filling;
    o.signal.throwIfAborted();
    const groups = Map.groupBy(
      page.flatMap((entry) => o.changeOf(entry) ?? []),
      namespaceOf,
    );
    for (const [namespace, own] of groups) {
      latest.set(namespace, revisionOf(own.at(-1) as IndexChange));
      if (wanted !== undefined && !wanted.has(namespace)) groups.delete(namespace);
    }
    // The log is read on meanwhile, one page ahead.
    filling = fillAll(o, groups, begun);
    filling.catch(() => {});
  }
  await filling;
  for (const namespace of begun) await finish(o, namespace, head);
  return { era: o.era, latest, to: head };
}

async function fillAll(
  o: Run,
  groups: ReadonlyMap<Namespace, readonly IndexChange[]>,
  begun: Set<Namespace>,
): Promise<void> {
  if (!(await o.lock.keep())) throw new Error('another instance rebuilds the index now');
  for (const [namespace, changes] of groups) {
    if (!begun.has(namespace)) await claim(o, namespace);
    begun.add(namespace);
    await fill(o, namespace, changes);
  }
}

async function claim({ store, era, lock, fences }: Run, namespace: Namespace): Promise<void> {
  for (let begin = 1; ; begin = 0) {
    const [fence, next] = fences.move(namespace);
    const args = [prefixOf(namespace), era, fence, wipeCount, begin, next];
    const met = (await store.run(wipeScript, markOf(namespace), ...args)) as number;
    if (met < 0 || !(await lock.keep())) throw new Error('another instance rebuilds the index now');
    if (met === 0) return;
  }
}

async function fill(
  { store, era, fences }: Run,
  namespace: Namespace,
  changes: readonly IndexChange[],
): Promise<void> {
  const [fence, next] = fences.move(namespace);
  const args = [prefixOf(namespace), era, fence, 0, next, 0, ...changes.flatMap(changeArguments)];
  const answer = await store.run(applyScript, markOf(namespace), ...args);
  if (answer !== 0) throw new Error('another instance rebuilds the index now');
}

async function finish({ store, era, fences, now }: Run, namespace: Namespace, to: number): Promise<void> {
  const done = await store.run(
    finishScript,
    markOf(namespace),
    prefixOf(namespace),
    era,
    fences.of(namespace),
    to,
    now(),
  );
  if (done !== 1) throw new Error('another instance rebuilds the index now');
}
