import type { Namespace } from '@pushfleet/core';
import type { Script, Store } from '../redis.ts';
import type { Following } from './following.ts';
import { markOf, prefixOf } from './keys.ts';
import { type Repair, rebuilding } from './repair.ts';

/** What every script that reads answers first: the namespace's mark, -1 where it has none, and when it was set. */
type Reply = readonly [mark: string, at: string, ...unknown[]];

export interface ReaderOptions {
  readonly store: Store;
  readonly following: Pick<Following, 'era' | 'latest'>;
  readonly repair: Pick<Repair, 'heal'>;
}

/** How often a question is repeated that finds Redis behind. */
const attempts = 3;

/** Reads Redis where it has all of a namespace that this instance knows of, and has it made good where it has not. */
export class Reader {
  readonly #o: ReaderOptions;

  constructor(options: ReaderOptions) {
    this.#o = options;
  }

  /**
   * Runs a script that reads. Mark and answer are of one moment.
   *
   * @throws PushfleetError `unavailable`
   */
  async ask(script: Script, namespace: Namespace, ...args: readonly (string | number)[]): Promise<Reply> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const reply = await this.#read(script, namespace, args);
      if (this.#isWhole(namespace, reply)) return reply;
      await this.#o.repair.heal(namespace, Number(reply[0]), Number(reply[1]));
    }
    throw rebuilding();
  }

  /** Whether Redis has all of it. @throws PushfleetError `unavailable` */
  async whole(script: Script, namespace: Namespace): Promise<boolean> {
    return this.#isWhole(namespace, await this.#read(script, namespace, []));
  }

  #isWhole(namespace: Namespace, [mark]: Reply): boolean {
    return Number(mark) >= (this.#o.following.latest(namespace) ?? 0);
  }

  async #read(script: Script, namespace: Namespace, args: readonly (string | number)[]): Promise<Reply> {
    const { store, following } = this.#o;
    return (await store.run(script, markOf(namespace), prefixOf(namespace), following.era, ...args)) as Reply;
  }
}
