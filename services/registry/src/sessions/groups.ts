import { randomBytes } from 'node:crypto';
import { type Backbone, type Namespace, PushfleetError, type TopicFilter } from '@pushfleet/core';
import type { SessionFilter } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Log } from '@pushfleet/runtime';
import type { Store } from '../redis.ts';
import { eraKey, groupKey, groupName, markKey, namespacesKey, suspectsKey } from './keys.ts';
import { groupsOf, type Held, isRef, type Key, keyOf, type Ref, refOf } from './record.ts';
import { joinScript, leaveScript } from './scripts.ts';

export interface GroupsOptions {
  readonly store: Store;
  readonly backbone: Pick<Backbone, 'bus'>;
  /** Has the index filled; settles when it is, or could not be. */
  fill(): Promise<void>;
  readonly now: () => number;
  readonly log: Log;
}

/** A session's place in a group. */
interface Place {
  readonly namespace: Namespace;
  /** See `groupName`. */
  readonly name: string;
  readonly groupId: string;
  readonly ref: Ref;
}

/** Whose place is in doubt for so long, in milliseconds, is looked up: a call that changes it is over by then. */
const doubtMs = 60_000;

type Shared = Pick<SessionFilter, 'filter' | 'group' | 'groupId'>;

/**
 * Who shares what: the group of a filter gets an id with its first member and is closed with its last. Members are
 * entered before the log knows of them, and taken off behind it, so that no group is closed that has one; in between they are
 * in doubt, which outlives a crash. Where Redis has lost members, which the mark of each namespace tells, nothing is opened or closed until they are there again.
 */
export class Groups {
  readonly counts = { opened: 0, closed: 0 };
  readonly #o: GroupsOptions;

  constructor(options: GroupsOptions) {
    this.#o = options;
  }

  /**
   * Joins, and opens the group in the log where it is not; what is stored from then on is its. The place is in doubt until
   * `keep`, or `leave`.
   *
   * @returns the group's id
   * @throws PushfleetError `unavailable`
   */
  async join(key: Key, filter: string, group: string): Promise<string> {
    const { store, backbone } = this.#o;
    await this.#require(key.namespace);
    const fresh = placeOf(key, { filter, group, groupId: randomBytes(16).toString('base64url') });
    await this.#doubt(fresh);
    const groupId = (await store.run(joinScript, keyAt(fresh), fresh.ref, fresh.groupId)) as string;
    const place = { ...fresh, groupId };
    if (groupId !== fresh.groupId) await Promise.all([this.#doubt(place), this.#trust(fresh)]);
    try {
      await backbone.bus(key.namespace).openGroup(groupId, filter as TopicFilter);
    } catch (error) {
      await this.#leave(place);
      throw error;
    }
    if (groupId === fresh.groupId) this.counts.opened++;
    return groupId;
  }

  /** The log is about to say that it is in none of these any more; `leave` comes next. */
  async doubt(key: Key, filters: readonly Shared[]): Promise<void> {
    await Promise.all(placesOf(key, filters).map((place) => this.#doubt(place).catch(() => {})));
  }

  /** The log says that it is in these. */
  async keep(key: Key, filters: readonly Shared[]): Promise<void> {
    await Promise.all(placesOf(key, filters).map((place) => this.#trust(place).catch(() => {})));
  }

  /** What cannot be done now is done later: this never rejects. */
  async leave(key: Key, filters: readonly Shared[]): Promise<void> {
    await Promise.all(placesOf(key, filters).map((place) => this.#leave(place)));
  }

  async #leave(place: Place): Promise<void> {
    const { store, backbone, log } = this.#o;
    const { namespace, groupId, ref } = place;
    try {
      await this.#doubt(place);
      const era = await this.#era(namespace);
      const left = (await store.run(leaveScript, keyAt(place), ref, groupId)) as number;
      if (left === 0) {
        // Where Redis has lost members meanwhile, it may have some all the same.
        if (era === undefined || (await this.#era(namespace)) !== era) return;
        await backbone.bus(namespace).closeGroup(groupId);
        this.counts.closed++;
      }
      await this.#trust(place);
    } catch (error) {
      log.debug({ err: error, namespace }, 'a session could not leave its group');
    }
  }

  /** @param member whether the log says that a session is in the group */
  async settle(member: (ref: Ref, groupId: string) => Promise<boolean>, count: number): Promise<void> {
    const { store, now } = this.#o;
    const range = [suspectsKey, '-inf', now() - doubtMs, 'LIMIT', 0, count];
    for (const text of (await store.command('ZRANGEBYSCORE', ...range)) as string[]) {
      const [namespace, name, groupId, ref = ''] = text.split(' ') as [Namespace, string, string, string?];
      if (!isRef(ref)) continue;
      const place = { namespace, name, groupId, ref };
      if (await member(ref, groupId)) await this.#trust(place);
      else await this.#leave(place);
    }
  }

  /** Enters what a record says, where the index is filled. @throws PushfleetError `unavailable` */
  async enter({ ref, record }: Held): Promise<void> {
    const key = keyOf(record);
    for (const { filter, group, groupId } of groupsOf(record)) {
      const at = groupKey(key.namespace, groupName(key, filter, group));
      await this.#o.store.command('ZADD', at, 0, `${groupId} ${ref}`);
    }
  }

  /** The end of a filling: groups of these namespaces are known. @throws PushfleetError `unavailable` */
  async begin(era: string, namespaces: Iterable<Namespace>): Promise<void> {
    const { store } = this.#o;
    const known = (await store.command('SMEMBERS', namespacesKey)) as Namespace[];
    const all = new Set([...known, ...namespaces]);
    if (all.size > 0) await store.command('SADD', namespacesKey, ...all);
    for (const namespace of all) await store.command('SET', markKey(namespace), era);
    await store.command('SET', eraKey, era);
  }

  /** Nothing is known of any group until `begin`. @throws PushfleetError `unavailable` */
  async forget(): Promise<void> {
    await this.#o.store.command('DEL', eraKey);
  }

  /** Whether groups are known. @throws PushfleetError `unavailable` */
  async known(): Promise<boolean> {
    return (await this.#o.store.command('GET', eraKey)) !== null;
  }

  async #doubt(place: Place): Promise<void> {
    await this.#o.store.command('ZADD', suspectsKey, this.#o.now(), textOf(place));
  }

  async #trust(place: Place): Promise<void> {
    await this.#o.store.command('ZREM', suspectsKey, textOf(place));
  }

  /** The era in which all groups of the namespace are known; undefined where they are not. */
  async #era(namespace: Namespace): Promise<string | undefined> {
    const { store } = this.#o;
    const [era, mark] = (await Promise.all([
      store.command('GET', eraKey),
      store.command('GET', markKey(namespace)),
    ])) as (string | null)[];
    return era !== null && era === mark ? era : undefined;
  }

  async #require(namespace: Namespace): Promise<void> {
    for (let attempt = 0; attempt < 3; attempt++) {
      if ((await this.#era(namespace)) !== undefined || (await this.#begin(namespace))) return;
      await this.#o.fill();
    }
    throw new PushfleetError(
      'unavailable',
      'The registry is finding out which groups there are. Try again in a moment.',
      {
        retryAfterMs: 1_000,
      },
    );
  }

  /** A namespace that never had a group has lost none. */
  async #begin(namespace: Namespace): Promise<boolean> {
    const { store } = this.#o;
    const era = (await store.command('GET', eraKey)) as string | null;
    if (era === null || (await store.command('SISMEMBER', namespacesKey, namespace)) === 1) return false;
    await store.command('SET', markKey(namespace), era);
    await store.command('SADD', namespacesKey, namespace);
    return true;
  }
}

const keyAt = ({ namespace, name }: Place): string => groupKey(namespace, name);

const textOf = ({ namespace, name, groupId, ref }: Place): string => `${namespace} ${name} ${groupId} ${ref}`;

const placeOf = (key: Key, { filter, group, groupId }: Shared): Place => ({
  ...{ namespace: key.namespace, groupId, ref: refOf(key) },
  name: groupName(key, filter, group),
});

const placesOf = (key: Key, filters: readonly Shared[]): readonly Place[] =>
  filters.filter(({ group }) => group !== '').map((shared) => placeOf(key, shared));
