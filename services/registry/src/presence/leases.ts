import { randomUUID } from 'node:crypto';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import type { Store } from '../redis.ts';
import { leasesKey, metaOf, namespacesKey, prefixOf } from './keys.ts';
import { claimScript, dropScript, endScript, forgetScript, registerScript, renewScript } from './scripts.ts';

/** What became of the members of a lease that ended: it was given up, or it lapsed. */
export type Ending = 'left' | 'expired';

/** What the leases and namespaces look like at one moment. */
export interface Books {
  /** `<count> <service>` by id, or `!<ending>`. */
  readonly leases: ReadonlyMap<string, string>;
  /** `<epoch> <registered>` by name. */
  readonly namespaces: ReadonlyMap<Namespace, string>;
}

const markOf = (ending: Ending): string => `!${ending}`;

/** How a lease ended, read from what the hash says of it; undefined while it lives. */
export const endingOf = (held: string): Ending | undefined =>
  held.startsWith('!') ? (held.slice(1) as Ending) : undefined;

export const lapsed = (): PushfleetError =>
  new PushfleetError(
    'precondition_failed',
    'This lease has ended, or what hangs on it may have been lost. Hold one under a new id, and enter again.',
  );

/** The leases of the instances, and the namespaces in which something hangs on them. All reject with `unavailable` without Redis. */
export class Leases {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Takes a lease, or resumes it. Says whether it was there.
   *
   * @throws PushfleetError `precondition_failed` where it has ended
   */
  async take(lease: string, service: string): Promise<boolean> {
    return (await this.#renew(lease, service, 1)) === 'resumed';
  }

  /** @throws PushfleetError `precondition_failed` where it has ended, or is not there any more */
  async renew(lease: string, service: string): Promise<void> {
    await this.#renew(lease, service, 0);
  }

  async #renew(lease: string, service: string, begin: number): Promise<unknown> {
    const answer = await this.#store.run(renewScript, leasesKey, lease, service, begin);
    if (answer === 'ended') throw lapsed();
    return answer;
  }

  /** Ends a lease; where `seen` is given, only if it is still as it was. Says whether it ended. */
  async end(lease: string, ending: Ending, seen = ''): Promise<boolean> {
    return (await this.#store.run(endScript, leasesKey, lease, seen, markOf(ending))) === 1;
  }

  /** To be called once nothing hangs on it any more. */
  async forget(lease: string, ending: Ending): Promise<void> {
    await this.#store.run(forgetScript, leasesKey, lease, markOf(ending));
  }

  /**
   * Notes that something is about to be entered in a namespace under a lease.
   *
   * @throws PushfleetError `precondition_failed` for a lease that is not live, or where the namespace was lost
   */
  async register(lease: string, namespace: Namespace): Promise<void> {
    const epoch = await this.#store.run(claimScript, metaOf(namespace), prefixOf(namespace), randomUUID());
    const args = [namespacesKey, lease, namespace, String(epoch), Date.now()];
    if ((await this.#store.run(registerScript, leasesKey, ...args)) !== 'registered') throw lapsed();
  }

  /** Forgets a namespace. Where it was lost, all leases end with it, so that everybody enters again. */
  async drop(namespace: Namespace, seen: string, lost: boolean): Promise<void> {
    await this.#store.run(dropScript, leasesKey, namespacesKey, namespace, seen, lost ? 1 : 0);
  }

  async read(): Promise<Books> {
    const [leases, namespaces] = await Promise.all(
      [leasesKey, namespacesKey].map((key) => this.#store.command('HGETALL', key)),
    );
    return { leases: pairs(leases), namespaces: pairs<Namespace>(namespaces) };
  }
}

function pairs<K extends string>(reply: unknown): Map<K, string> {
  const list = reply as string[];
  const map = new Map<K, string>();
  for (let i = 0; i < list.length; i += 2) map.set(list[i] as K, list[i + 1] as string);
  return map;
}
