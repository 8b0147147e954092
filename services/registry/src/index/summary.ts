import type { Namespace } from '@pushfleet/core';
import { Script, type Store } from '../redis.ts';
import { summaryKey } from './keys.ts';

/** What was known of the log at one revision. */
export interface Summary {
  /** The revision of the last change of each namespace. */
  readonly latest: ReadonlyMap<Namespace, number>;
  readonly to: number;
}

// `from, to, now, (namespace, revision)…`. Takes no step from a place that it has not reached: somebody else's step
// would be missing. A step from -1 puts a whole summary in the place of what is there.
const step = new Script(`
local from, to = tonumber(ARGV[1]), tonumber(ARGV[2])
if from == -1 then redis.call('DEL', KEYS[1]) end
local held = tonumber(redis.call('HGET', KEYS[1], '$to') or -1)
if held < from then return -1 end
for i = 4, #ARGV, 2 do
  local old = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0)
  if old < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
if held < to then redis.call('HSET', KEYS[1], '$to', ARGV[2]) end
redis.call('HSET', KEYS[1], '$at', ARGV[3])
return 0`);

/** Even where nothing changes the summary says so now and then: one that is old is not believed. */
const restMs = 60_000;

/** The summary in Redis, from which an instance that starts knows the log without reading all of it. */
export class SummaryStore {
  readonly #store: Store;
  readonly #forgetMs: number;
  readonly #now: () => number;
  /** Up to where it was known to be written, and when; behind that are these. */
  #to = -1;
  #at = 0;
  readonly #unwritten = new Map<Namespace, number>();

  constructor(store: Store, forgetMs: number, now: () => number) {
    this.#store = store;
    this.#forgetMs = forgetMs;
    this.#now = now;
  }

  /** Undefined where there is none, or it is too old. @throws PushfleetError `unavailable` */
  async load(): Promise<Summary | undefined> {
    const flat = (await this.#store.command('HGETALL', summaryKey)) as string[];
    const fields = new Map<string, number>();
    for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] as string, Number(flat[i + 1]));
    const { $to: to, $at: at } = Object.fromEntries(fields);
    if (to === undefined || at === undefined || this.#now() - at > this.#forgetMs) return undefined;
    fields.delete('$to');
    fields.delete('$at');
    this.#written(to);
    return { latest: fields as Map<Namespace, number>, to };
  }

  /** Puts this one in the place of whatever is there. @throws PushfleetError `unavailable` */
  async replace({ latest, to }: Summary): Promise<void> {
    await this.#store.run(step, summaryKey, -1, to, this.#now(), ...[...latest].flat());
    this.#written(to);
  }

  /** Tells of changes since the last call; what could not be told is told the next time. */
  async note(changed: ReadonlyMap<Namespace, number>, now: Summary): Promise<void> {
    for (const [namespace, revision] of changed) this.#unwritten.set(namespace, revision);
    if (now.to === this.#to && this.#now() - this.#at < restMs) return;
    const fields = [...this.#unwritten].flat();
    try {
      const done = await this.#store.run(
        step,
        summaryKey,
        Math.max(this.#to, 0),
        now.to,
        this.#now(),
        ...fields,
      );
      if (done === 0) this.#written(now.to);
      else await this.replace(now); // it was emptied, or a failover lost its end
    } catch {
      // Redis is away, and whoever reads the summary is told so by Redis.
    }
  }

  #written(to: number): void {
    this.#to = to;
    this.#at = this.#now();
    this.#unwritten.clear();
  }
}
