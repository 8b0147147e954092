import type { Place } from '@pushfleet/core';

/** Who leads a shard. */
export interface Term {
  /** Changes with the leader; the same for everybody who hears of it. */
  readonly name: string;
  /** When it took over, Unix milliseconds; undefined where it always led. */
  readonly since: number | undefined;
}

/**
 * A live reader's position may lie behind what was lost on the way to it around a change of leader. Within this of
 * the change, in milliseconds, it is not trusted where it does not say that its giver knew of the change, and reading
 * goes back so far. One that was read from the log is: who pages through it would otherwise never get on.
 */
export const mistrustMs = 10_000;
/** How far the clocks of the log's servers may be apart, in milliseconds. */
const apartMs = 1_000;
const remembered = 64;

/** Whether a place may be taken at its word in one shard, whoever gave it. */
export function isTrusted({ time, read = false }: Place, leaderSince: number | undefined): boolean {
  return read || leaderSince === undefined || time > leaderSince + mistrustMs;
}

/**
 * The leaders of all shards as this process has heard of them. Whoever is told a place is told their name with it: it
 * says up to which change its giver has made sure that nothing was lost.
 */
export class Leaders {
  readonly #terms: (Term | undefined)[] = [];
  readonly #onChange: (shard: number) => void;
  #name: string | undefined;
  /** When the newest of them took over. */
  #since: number | undefined;
  /** By the name of what was before: when it ended. */
  readonly #ended = new Map<string, number>();

  /** @param onChange called at once when a shard has another leader than before */
  constructor(onChange: (shard: number) => void) {
    this.#onChange = onChange;
  }

  /** The same for everybody who has heard of the same leaders; undefined where no shard ever had another. */
  get name(): string | undefined {
    return this.#name;
  }

  hear(shard: number, term: Term): void {
    const before = this.#terms[shard];
    if (before?.name === term.name) return;
    this.#terms[shard] = term;
    const name = this.#name;
    if (term.since !== undefined) this.#since = Math.max(this.#since ?? 0, term.since);
    this.#name = this.#terms.some((one) => one?.since !== undefined) ? nameOf(this.#terms) : undefined;
    if (before === undefined) return;
    if (name !== undefined) this.#end(name, term.since ?? 0);
    this.#onChange(shard);
  }

  /** Whether a place has nothing behind it that its giver may have been short of without knowing. */
  trusts(place: Place): boolean {
    if (isTrusted(place, this.#since) || (place.leaders !== undefined && place.leaders === this.#name))
      return true;
    const ended = place.leaders === undefined ? undefined : this.#ended.get(place.leaders);
    return ended !== undefined && place.time < ended - apartMs;
  }

  #end(name: string, at: number): void {
    this.#ended.set(name, at);
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= remembered) return;
      this.#ended.delete(oldest);
    }
  }
}

/** FNV-1a of all their names, in base 36: seven characters at most. */
function nameOf(terms: readonly (Term | undefined)[]): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(terms.map((term) => term?.name).join('\n')))
    hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(36);
}
