import type { Namespace } from '@pushfleet/core';
import type { Log } from '@pushfleet/runtime';
import type { Script, Store } from '../redis.ts';
import { dueKey, dueSetOf, idsKey, ownedKey, ownersKey } from './keys.ts';
import { dueAt, type Held, type Key, keyOf, type Ref } from './record.ts';
import { disownScript, dueScript } from './scripts.ts';

/** A session that is due, as it was seen. */
export interface Due {
  readonly ref: Ref;
  readonly at: string;
}

const memberOf = ({ protocol, id }: Pick<Key, 'protocol' | 'id'>): string => `${protocol} ${id}`;

/**
 * Which sessions to look at: hints, each verified by its record when it is used. They are written before the log and again
 * behind it, so that a crash leaves one too many and none too few, and that who takes one off at that moment takes none that is
 * needed. What could not be written is made good when Redis is back: writing never rejects.
 */
export class SessionIndex {
  readonly #store: Store;
  readonly #log: Log;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** An instance is about to own a session that is at this revision, or owns it since this revision. */
  async own(ref: Ref, instance: string, revision: number): Promise<void> {
    await this.#hint([
      ['SADD', ownersKey, instance],
      ['ZADD', ownedKey(instance), 'GT', revision, ref],
    ]);
  }

  /** An instance does not own it since this revision. */
  async disown(ref: Ref, instance: string, revision: number): Promise<void> {
    await this.#script(disownScript, ownedKey(instance), ref, revision);
  }

  async name(key: Key): Promise<void> {
    await this.#hint([['ZADD', idsKey(key.namespace), 0, memberOf(key)]]);
  }

  async unname(key: Key): Promise<void> {
    await this.#hint([['ZREM', idsKey(key.namespace), memberOf(key)]]);
  }

  /** Something of it is due then, in Unix milliseconds; an earlier hint stays. Says whether it is written. */
  async due(ref: Ref, at: number): Promise<boolean> {
    return this.#hint([['ZADD', dueKey(dueSetOf(ref)), 'LT', at, ref]]);
  }

  /** What is next of a session, unless that changed since it was seen. */
  async next({ ref, at }: Due, next: number | undefined): Promise<void> {
    await this.#script(dueScript, dueKey(dueSetOf(ref)), ref, at, next ?? '');
  }

  /** All that is to be known of a record. */
  async enter({ ref, record, revision }: Held): Promise<void> {
    const due = dueAt(record);
    await Promise.all([
      this.name(keyOf(record)),
      record.owner === undefined ? undefined : this.own(ref, record.owner.instanceId, revision),
      due === undefined ? undefined : this.due(ref, due),
    ]);
  }

  /** How many sessions a namespace has. @throws PushfleetError `unavailable` */
  async count(namespace: Namespace): Promise<number> {
    return (await this.#store.command('ZCARD', idsKey(namespace))) as number;
  }

  /** Names in the order of their bytes, above `low` and below `high`. @throws PushfleetError `unavailable` */
  async names(
    namespace: Namespace,
    low: string,
    high: string | Buffer,
    count: number,
  ): Promise<readonly Key[]> {
    const found = (await this.#store.command(
      ...(['ZRANGEBYLEX', idsKey(namespace), low, high, 'LIMIT', 0, count] as const),
    )) as string[];
    return found.map((member) => {
      const [protocol] = member.split(' ', 1) as [string];
      return { namespace, protocol, id: member.slice(protocol.length + 1) };
    });
  }

  /** Those that are due, the earliest first. @throws PushfleetError `unavailable` */
  async dueBy(set: number, now: number, count: number): Promise<readonly Due[]> {
    const reply = (await this.#store.command(
      ...(['ZRANGEBYSCORE', dueKey(set), '-inf', now, 'WITHSCORES', 'LIMIT', 0, count] as const),
    )) as readonly (string | readonly string[])[];
    // In pairs by RESP3, flat before.
    const flat = reply.flat();
    return flat.flatMap((ref, n) => (n % 2 === 0 ? [{ ref: ref as Ref, at: String(flat[n + 1]) }] : []));
  }

  /** @throws PushfleetError `unavailable` */
  async owners(): Promise<readonly string[]> {
    return (await this.#store.command('SMEMBERS', ownersKey)) as string[];
  }

  /** Sessions of an instance. @throws PushfleetError `unavailable` */
  async owned(instance: string, count: number): Promise<readonly Ref[]> {
    return (await this.#store.command('ZRANGE', ownedKey(instance), 0, count - 1)) as Ref[];
  }

  /** Forgets an instance that owns nothing. @throws PushfleetError `unavailable` */
  async forgetOwner(instance: string): Promise<void> {
    await this.#store.command('SREM', ownersKey, instance);
    // Something may have been entered meanwhile.
    if ((await this.owned(instance, 1)).length > 0) await this.#store.command('SADD', ownersKey, instance);
  }

  async #hint(commands: readonly (readonly [string, ...(string | number)[]])[]): Promise<boolean> {
    const written = await Promise.all(
      commands.map(([name, ...args]) => this.#store.command(name, ...args).then(() => true, this.#missed)),
    );
    return written.every(Boolean);
  }

  async #script(script: Script, key: string, ...args: (string | number)[]): Promise<void> {
    await this.#store.run(script, key, ...args).catch(this.#missed);
  }

  readonly #missed = (error: unknown): false => {
    this.#log.debug({ err: error }, 'the index of sessions misses something until Redis is back');
    return false;
  };
}
