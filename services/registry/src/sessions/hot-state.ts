import type { Session, SessionCommit, SessionState } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Store } from '../redis.ts';
import { hotKey } from './keys.ts';
import type { Held, Ref } from './record.ts';
import { commitScript, dropScript, fenceScript, takeScript } from './scripts.ts';

/** What became of a write; `lost`: Redis has not what this owner wrote before. */
export type Written = 'stored' | 'fenced' | 'lost' | 'large';

/** What is to be written of one session. */
export interface Commit {
  readonly ref: Ref;
  readonly commit: SessionCommit;
  /** Where the record is known to be of this generation: what is lost is put anew. */
  readonly incarnation?: string;
}

/** What changes with every few messages, in Redis alone. All reject with `unavailable` without it. */
export class HotState {
  readonly #store: Store;
  readonly #mostBytes: number;

  constructor(store: Store, mostBytes: number) {
    this.#store = store;
    this.#mostBytes = mostBytes;
  }

  /**
   * From now on nothing of an earlier generation is written. The state, where there is some; false where a later generation
   * is there.
   *
   * @param left the record that was released, whose last commit has to be there; none where it was not
   */
  async take(
    { ref, record }: Held,
    left: Pick<Session, 'generation' | 'lastCommit'> | undefined,
    force = false,
  ): Promise<SessionState | undefined | false> {
    const known = left !== undefined && left.lastCommit > 0n ? left : { generation: 0n, lastCommit: 0n };
    const least = [String(known.generation), String(known.lastCommit)];
    const args = [String(record.generation), record.incarnation, force ? 1 : 0, ...least];
    const pairs = (await this.#store.read(takeScript, hotKey(ref), ...args)) as Buffer[] | null;
    return pairs === null ? false : stateOf(pairs);
  }

  /** What became of each, in their order. */
  async commit(wanted: readonly Commit[]): Promise<readonly Written[]> {
    const calls = wanted.map(({ ref, commit, incarnation = '' }) => {
      const { generation, cursor, putFields, removeFields, whole, number } = commit;
      const puts = Object.entries(putFields);
      const head = [String(generation), incarnation, this.#mostBytes, whole ? 1 : 0];
      const middle = [cursor === undefined ? 0 : 1, cursor ?? '', String(number), puts.length];
      return { key: hotKey(ref), args: [...head, ...middle, ...puts.flat(), ...removeFields] };
    });
    return (await this.#store.runAll(commitScript, calls)) as Written[];
  }

  /** Refuses what the owners before this record write. */
  async fence({ ref, record }: Held): Promise<void> {
    await this.#store.run(fenceScript, hotKey(ref), String(record.generation));
  }

  /** Forgets the state of this generation and earlier ones. */
  async drop(ref: Ref, generation: bigint): Promise<void> {
    await this.#store.run(dropScript, hotKey(ref), String(generation));
  }

  /** The generation that may write; undefined where there is nothing. */
  async generation(ref: Ref): Promise<bigint | undefined> {
    const held = (await this.#store.command('HGET', hotKey(ref), 'g')) as string | null;
    return held === null ? undefined : BigInt(held);
  }
}

function stateOf(pairs: readonly Buffer[]): SessionState | undefined {
  let cursor = '';
  let committed = false;
  const fields: Record<string, Buffer> = {};
  for (let at = 0; at < pairs.length; at += 2) {
    const name = String(pairs[at]);
    const value = pairs[at + 1] as Buffer;
    if (name === 'c') cursor = String(value);
    else if (name === 'n') committed = true;
    else if (name.startsWith('f')) fields[name.slice(1)] = value;
  }
  return committed ? { cursor, fields } : undefined;
}
