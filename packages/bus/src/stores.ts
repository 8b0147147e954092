import type { Ledger } from './ledger.ts';
import type { Queue } from './queue.ts';
import type { Shelf } from './shelf.ts';
import type { Tail } from './tail.ts';

/** What services keep beside the log, each under a name that `migrate` has made; the same object for the same name. */
export interface Stores {
  ledger(name: string): Ledger;
  queue(name: string): Queue;
  shelf(name: string): Shelf;
  /** A reading of the log; a new name is a new reading. */
  tail(name: string): Tail;
}
