import { type Namespace, parseNamespace } from '@pushfleet/core';
import type { Store } from './redis.ts';
import { decodeRevocation, encodeRevocation, isRevocationId, type RevocationEntry } from './revocation.ts';

/** The namespaces that have revocations, and the mark of a complete index; `$` begins no namespace. */
const namespacesKey = '$:revocations';
const completeMark = '$complete';

// A field holds "<revision> <record>". An instance that lags behind must not undo what another has written.
const put = `
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and tonumber(string.match(held, '^%d+')) >= tonumber(ARGV[2]) then return 0 end
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])`;

const remove = `
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or tonumber(string.match(held, '^%d+')) >= tonumber(ARGV[2]) then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])`;

/**
 * The revocations in Redis: a copy of what the log holds, from which a registry that starts while the log is
 * out of reach still knows them. Every method throws PushfleetError `unavailable` without Redis.
 */
export class RevocationIndex {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async put(entry: RevocationEntry): Promise<void> {
    const record = encodeRevocation(entry.revocation).toString();
    await Promise.all([
      this.#store.command('SADD', namespacesKey, entry.namespace),
      this.#store.command('EVAL', put, 1, keyOf(entry.namespace), entry.id, entry.revision, record),
    ]);
  }

  /** Removes the entry if it is older than `revision`. */
  async remove(namespace: Namespace, id: string, revision: number): Promise<void> {
    await this.#store.command('EVAL', remove, 1, keyOf(namespace), id, revision);
  }

  /** All of it; undefined unless the index is known to be complete. */
  async load(): Promise<readonly RevocationEntry[] | undefined> {
    const complete = await this.#store.command('SISMEMBER', namespacesKey, completeMark);
    return complete === 1 ? this.#loadAll() : undefined;
  }

  /** Makes the index equal to the log's state, as of these entries, and marks it complete. */
  async rebuild(entries: readonly RevocationEntry[]): Promise<void> {
    const wanted = new Set(entries.map((entry) => `${entry.namespace}.${entry.id}`));
    const stale = (await this.#loadAll()).filter((entry) => !wanted.has(`${entry.namespace}.${entry.id}`));
    await inChunks(stale, ({ namespace, id, revision }) => this.remove(namespace, id, revision + 1));
    await inChunks(entries, (entry) => this.put(entry));
    await this.#store.command('SADD', namespacesKey, completeMark);
  }

  async #loadAll(): Promise<readonly RevocationEntry[]> {
    const names = (await this.#store.command('SMEMBERS', namespacesKey)) as string[];
    const namespaces = names.filter((name) => name !== completeMark).map(parseNamespace);
    return (await Promise.all(namespaces.map((namespace) => this.#loadNamespace(namespace)))).flat();
  }

  async #loadNamespace(namespace: Namespace): Promise<RevocationEntry[]> {
    const flat = (await this.#store.command('HGETALL', keyOf(namespace))) as string[];
    const entries: RevocationEntry[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const id = flat[i] as string;
      const [, revision, record] = /^(\d+) (.*)$/s.exec(flat[i + 1] as string) ?? [];
      if (revision === undefined || record === undefined || !isRevocationId(id)) continue;
      entries.push({
        namespace,
        id,
        revision: Number(revision),
        revocation: decodeRevocation(Buffer.from(record)),
      });
    }
    return entries;
  }
}

const keyOf = (namespace: Namespace): string => `${namespace}:revocations`;

/** Many commands at a time share round trips; all at once would only fill buffers. */
async function inChunks<T>(items: readonly T[], each: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += 500)
    await Promise.all(items.slice(from, from + 500).map(each));
}
