import type { SessionKey } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { SessionCalls } from '@pushfleet/runtime';

export interface StraysOptions {
  readonly calls: Pick<SessionCalls, 'get' | 'release'>;
  readonly instance: string;
  now(): number;
  /** Whether this generation is held here, or will be known soon. */
  isKnown(key: SessionKey, generation: bigint): boolean;
}

interface Stray {
  readonly key: SessionKey;
  /** How often the registry has answered. */
  looks: number;
  dueAt: number;
  isLooked: boolean;
}

/** When it is looked whether an acquisition was done after all, in milliseconds after one another: a minute and more is longer than any call is held up. */
const waitsMs: readonly number[] = [1_000, 5_000, 15_000, 60_000];
const looksAtOnce = 16;
/** More than clients that come back within a minute of a failing registry; those beyond are forgotten. */
const most = 10_000;

/**
 * Acquisitions whose answer was never heard. Such a session would be this instance's for as long as it runs, with no
 * connection behind it: no expiry, no will. It is given back; its will is not published, for its client was never let in.
 */
export class Strays {
  readonly #o: StraysOptions;
  readonly #all = new Map<string, Stray>();
  #looking = 0;

  constructor(options: StraysOptions) {
    this.#o = options;
  }

  get size(): number {
    return this.#all.size;
  }

  add(key: SessionKey): void {
    if (this.#all.size >= most) return;
    const name = `${key.namespace} ${key.id}`;
    this.#all.set(name, {
      ...{ key, looks: 0, isLooked: false },
      dueAt: this.#o.now() + (waitsMs[0] as number),
    });
  }

  tick(): void {
    const now = this.#o.now();
    for (const [name, stray] of this.#all) {
      if (this.#looking >= looksAtOnce) return;
      if (stray.dueAt <= now && !stray.isLooked) void this.#look(name, stray);
    }
  }

  async #look(name: string, stray: Stray): Promise<void> {
    this.#looking++;
    stray.isLooked = true;
    const looked = await this.#giveBack(stray).then(
      () => true,
      () => false,
    );
    stray.isLooked = false;
    this.#looking--;
    if (looked) stray.looks++;
    const waitMs = waitsMs[stray.looks];
    // Another acquisition of it may have failed meanwhile.
    if (this.#all.get(name) !== stray) return;
    if (waitMs === undefined) this.#all.delete(name);
    else stray.dueAt = this.#o.now() + waitMs;
  }

  // Also after one was found: there may be more, and some may yet be done.
  async #giveBack({ key }: Stray): Promise<void> {
    const session = await this.#o.calls.get(key);
    if (session?.owner?.instanceId !== this.#o.instance) return;
    const { generation } = session;
    if (this.#o.isKnown(key, generation)) return;
    await this.#o.calls.release({ key, generation, discardWill: true, lastCommit: 0n });
  }
}
