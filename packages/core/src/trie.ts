import { isExact, isReserved, type Topic, type TopicFilter } from './topic.ts';

interface Branch<V> {
  children: Map<string, Branch<V>> | undefined;
  plus: Branch<V> | undefined;
  /** Of the filter that ends here. */
  value: V | undefined;
  /** Of the filter that goes on with `#` and ends. */
  below: V | undefined;
}

const branch = <V>(): Branch<V> => ({
  children: undefined,
  plus: undefined,
  value: undefined,
  below: undefined,
});

/** One value per filter, found by topic or by covering. Agrees with core's `matches` and `covers`. */
export class LevelTrie<V> {
  readonly #root: Branch<V> = branch();
  #size = 0;
  /** The question being walked: kept here so that a walk allocates nothing. */
  #levels: readonly string[] = [];
  #reserved = false;

  get size(): number {
    return this.#size;
  }

  get(filter: TopicFilter): V | undefined {
    const levels = filter.split('/');
    const ends = levels[levels.length - 1] === '#';
    let at: Branch<V> | undefined = this.#root;
    for (let i = 0; i < levels.length - (ends ? 1 : 0) && at !== undefined; i++)
      at = step(at, levels[i] ?? '');
    return ends ? at?.below : at?.value;
  }

  set(filter: TopicFilter, value: V): void {
    const levels = filter.split('/');
    const ends = levels[levels.length - 1] === '#';
    let at = this.#root;
    for (let i = 0; i < levels.length - (ends ? 1 : 0); i++) at = grow(at, levels[i] ?? '');
    if ((ends ? at.below : at.value) === undefined) this.#size++;
    if (ends) at.below = value;
    else at.value = value;
  }

  delete(filter: TopicFilter): void {
    this.#prune(this.#root, filter.split('/'), 0);
  }

  /** Adds the values of all filters that match to `out`. */
  match(topic: Topic, out: V[]): void {
    this.#levels = topic.split('/');
    this.#reserved = isReserved(topic);
    this.#match(this.#root, 0, out);
  }

  /** A value whose filter covers `filter`, of those that `accept` takes. */
  covering(filter: TopicFilter, accept: (value: V) => boolean): V | undefined {
    this.#levels = filter.split('/');
    this.#reserved = isReserved(filter);
    return this.#covering(this.#root, 0, accept);
  }

  /** Adds the values of all filters that `filter` covers to `out`, its own among them. */
  covered(filter: TopicFilter, out: V[]): void {
    this.#levels = filter.split('/');
    this.#covered(this.#root, 0, out);
  }

  #match(at: Branch<V>, depth: number, out: V[]): void {
    const open = depth > 0 || !this.#reserved; // [MQTT-4.7.2-1]
    if (at.below !== undefined && open) out.push(at.below);
    if (depth === this.#levels.length) {
      if (at.value !== undefined) out.push(at.value);
      return;
    }
    if (at.plus !== undefined && open) this.#match(at.plus, depth + 1, out);
    const child = at.children?.get(this.#levels[depth] as string);
    if (child !== undefined) this.#match(child, depth + 1, out);
  }

  #covering(at: Branch<V>, depth: number, accept: (value: V) => boolean): V | undefined {
    const open = depth > 0 || !this.#reserved;
    if (at.below !== undefined && open && accept(at.below)) return at.below;
    if (depth === this.#levels.length) {
      return at.value !== undefined && accept(at.value) ? at.value : undefined;
    }
    const level = this.#levels[depth] as string;
    if (level === '#') return undefined;
    const found = at.plus !== undefined && open ? this.#covering(at.plus, depth + 1, accept) : undefined;
    const child = at.children?.get(level);
    return found ?? (child === undefined ? undefined : this.#covering(child, depth + 1, accept));
  }

  #covered(at: Branch<V>, depth: number, out: V[]): void {
    const level = this.#levels[depth];
    if (level === '#') {
      this.#collect(at, depth, out);
    } else if (level === undefined) {
      if (at.value !== undefined) out.push(at.value);
    } else if (level === '+') {
      for (const child of within(at, depth)) this.#covered(child, depth + 1, out);
    } else {
      const child = at.children?.get(level);
      if (child !== undefined) this.#covered(child, depth + 1, out);
    }
  }

  #collect(at: Branch<V>, depth: number, out: V[]): void {
    if (at.value !== undefined) out.push(at.value);
    if (at.below !== undefined) out.push(at.below);
    for (const child of within(at, depth)) this.#collect(child, depth + 1, out);
  }

  /** Takes the filter out and says whether the branch is empty now. */
  #prune(at: Branch<V>, levels: readonly string[], depth: number): boolean {
    const level = levels[depth];
    if (level === undefined) {
      if (at.value !== undefined) this.#size--;
      at.value = undefined;
    } else if (level === '#') {
      if (at.below !== undefined) this.#size--;
      at.below = undefined;
    } else {
      const child = step(at, level);
      if (child === undefined || !this.#prune(child, levels, depth + 1)) return false;
      if (level === '+') at.plus = undefined;
      else at.children?.delete(level);
      if (at.children?.size === 0) at.children = undefined;
    }
    return [at.children, at.plus, at.value, at.below].every((part) => part === undefined);
  }
}

function step<V>(at: Branch<V>, level: string): Branch<V> | undefined {
  return level === '+' ? at.plus : at.children?.get(level);
}

function grow<V>(at: Branch<V>, level: string): Branch<V> {
  const known = step(at, level);
  if (known !== undefined) return known;
  const fresh = branch<V>();
  if (level === '+') at.plus = fresh;
  else {
    at.children ??= new Map();
    at.children.set(level, fresh);
  }
  return fresh;
}

/** The branches that a wildcard at this depth stands for: in the first level none of the fleet's own. */
function* within<V>(at: Branch<V>, depth: number): Iterable<Branch<V>> {
  if (at.plus !== undefined) yield at.plus;
  for (const [level, child] of at.children ?? []) if (depth > 0 || !level.startsWith('$')) yield child;
}

/** A value per filter, made for many topics a second: plain topics are one look-up, whatever the wildcards do. */
export class FilterTrie<V> {
  readonly #exact = new Map<string, V>();
  readonly #wildcards = new LevelTrie<V>();

  get size(): number {
    return this.#exact.size + this.#wildcards.size;
  }

  get(filter: TopicFilter): V | undefined {
    return isExact(filter) ? this.#exact.get(filter) : this.#wildcards.get(filter);
  }

  set(filter: TopicFilter, value: V): void {
    if (isExact(filter)) this.#exact.set(filter, value);
    else this.#wildcards.set(filter, value);
  }

  delete(filter: TopicFilter): void {
    if (isExact(filter)) this.#exact.delete(filter);
    else this.#wildcards.delete(filter);
  }

  /** Fills `out` with the values of all filters that match. */
  match(topic: Topic, out: V[]): void {
    out.length = 0;
    const exact = this.#exact.get(topic);
    if (exact !== undefined) out.push(exact);
    if (this.#wildcards.size > 0) this.#wildcards.match(topic, out);
  }
}
