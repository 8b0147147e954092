import type { Namespace } from '@pushfleet/core';
import { Script, type Store } from '../redis.ts';
import { summaryKey } from './keys.ts';

/** What was known of the log at one revision. */
export interface Summary {
  /** Of the log. */
  readonly era: string;
  /** The revision of the last change of each namespace. */
  readonly latest: ReadonlyMap<Namespace, number>;
  readonly to: number;
}

// `era, from, to, now, (namespace, revision)…`. Takes no step from a place that it has not reached: somebody else's step
// would be missing. A step from -1 puts a whole summary in the place of what is there.
const step = new Script(`
local from, to = tonumber(ARGV[2]), tonumber(ARGV[3])
if from == -1 then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], '$era', ARGV[1])
end
local there = redis.call('HMGET', KEYS[1], '$era', '$to')
local held = there[1] == ARGV[1] and tonumber(there[2] or -1) or -2
if held < from then return -1 end
for i = 5, #ARGV, 2 do
  local old = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or 0)
  if old < tonumber(ARGV[i + 1]) then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
if held < to then redis.call('HSET', KEYS[1], '$to', ARGV[3]) end
redis.call('HSET', KEYS[1], '$at', ARGV[4])
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

  /** Undefined where there is none of this era, or it is too old. @throws PushfleetError `unavailable` */
  async load(era: string): Promise<Summary | undefined> {
    const flat = (await this.#store.command('HGETALL', summaryKey)) as string[];
    const fields = new Map<string, string>();
    for (let i = 0; i + 1 < flat.length; i += 2) fields.set(flat[i] as string, flat[i + 1] as string);
    const { $era, $to, $at, ...latest } = Object.fromEntries(fields);
    if ($era !== era || $to === undefined || this.#now() - Number($at) > this.#forgetMs) return undefined;
    const to = Number($to);
    this.#written(to);
    const entries = Object.entries(latest).map(
      ([namespace, revision]) => [namespace, Number(revision)] as const,
    );
    return { era, latest: new Map(entries) as Map<Namespace, number>, to };
  }

  /** Puts this one in the place of whatever is there. @throws PushfleetError `unavailable` */
  async replace({ era, latest, to }: Summary): Promise<void> {
    await this.#store.run(step, summaryKey, era, -1, to, this.#now(), ...[...latest].flat());
    this.#written(to);
  }

  /** Takes note of a change, to be told with the next `tell`. */
  note(namespace: Namespace, revision: number): void {
    this.#unwritten.set(namespace, revision);
  }

  /** Tells what is new since the last time; what cannot be told now is told the next time. */
  async tell(now: Summary): Promise<void> {
    if (now.to === this.#to && this.#now() - this.#at < restMs) return;
    const fields = [...this.#unwritten].flat();
    try {
      const from = Math.max(this.#to, 0);
      const done = await this.#store.run(step, summaryKey, now.era, from, now.to, this.#now(), ...fields);
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
