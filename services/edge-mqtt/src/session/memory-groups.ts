import { randomBytes } from 'node:crypto';
import type { Bus, Namespace } from '@pushfleet/core';
import { type Shared, subscriptionName } from './shared-groups.ts';

export interface MemoryGroupsOptions {
  bus(namespace: Namespace): Pick<Bus, 'openGroup' | 'closeGroup'>;
  /** A group that nobody is in any more stays in the log. */
  onError(error: unknown): void;
}

interface Group {
  readonly id: string;
  readonly sessions: Set<object>;
  readonly opened: Promise<void>;
}

/**
 * Which sessions of this process are in which group, with and without a connection. A group is in the log for as long as
 * it has one (section 4.8.2), under a name of its own each time: closing one hurts none that comes after it.
 */
export class MemoryGroups {
  readonly #o: MemoryGroupsOptions;
  readonly #groups = new Map<string, Group>();
  readonly #closing = new Set<Promise<void>>();

  constructor(options: MemoryGroupsOptions) {
    this.#o = options;
  }

  /**
   * Resolves with the group's name in the log once that keeps for it what is stored from then on. The session is in it
   * until `leave`, also where this rejects.
   *
   * @throws PushfleetError `unavailable`
   */
  async join(session: object, namespace: Namespace, shared: Shared): Promise<string> {
    const key = keyOf(namespace, shared);
    let group = this.#groups.get(key);
    if (group === undefined) {
      const id = randomBytes(12).toString('base64url');
      const opened = this.#o.bus(namespace).openGroup(id, shared.filter);
      group = { id, sessions: new Set(), opened };
      this.#groups.set(key, group);
    }
    group.sessions.add(session);
    await group.opened;
    return group.id;
  }

  leave(session: object, namespace: Namespace, shared: Shared): void {
    const key = keyOf(namespace, shared);
    const group = this.#groups.get(key);
    if (group === undefined || !group.sessions.delete(session) || group.sessions.size > 0) return;
    this.#groups.delete(key);
    const closed = this.#close(namespace, group);
    this.#closing.add(closed);
    void closed.then(() => this.#closing.delete(closed));
  }

  /** Resolves once the groups that nobody is in any more are gone. */
  async settled(): Promise<void> {
    await Promise.all(this.#closing);
  }

  async #close(namespace: Namespace, { id, opened }: Group): Promise<void> {
    // Whether or not it was made: who asked may not have had the answer.
    await opened.catch(() => {});
    try {
      await this.#o.bus(namespace).closeGroup(id);
    } catch (error) {
      this.#o.onError(error);
    }
  }
}

const keyOf = (namespace: Namespace, shared: Shared): string => `${namespace} ${subscriptionName(shared)}`;
