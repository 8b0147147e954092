import type { Publication } from '@pushfleet/core';
import type { Selection } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { Log } from '@pushfleet/runtime';
import { compileSelection } from './selection.ts';

const mostHeld = 10_000;

/** The selections that this worker has met, each compiled once. */
export class Selections {
  readonly #log: Log;
  /** Judgements that an expression failed at; it selects nothing then. */
  failures = 0;
  readonly #held = new Map<string, (publication: Publication) => boolean>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Whether a subscription with this selection is owed the publication; without one it is. */
  selects(selection: Selection | undefined, publication: Publication): boolean {
    if (selection === undefined) return true;
    const key = JSON.stringify(selection);
    let selects = this.#held.get(key);
    if (selects === undefined) {
      selects = this.#compile(selection);
      if (this.#held.size >= mostHeld) this.#held.clear();
      this.#held.set(key, selects);
    }
    return selects(publication);
  }

  #compile(selection: Selection): (publication: Publication) => boolean {
    try {
      return compileSelection(selection, () => this.failures++);
    } catch (error) {
      // It was compiled when the subscription was made: another release knew something that this one does not.
      this.#log.error({ err: error, selection }, 'a selection cannot be understood; it selects nothing');
      return () => false;
    }
  }
}
