import { randomUUID } from 'node:crypto';
import { Script, type Store } from '../redis.ts';

const renew = new Script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`);

const release = new Script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`);

/** Whose holder says nothing for so long is dead, in milliseconds. */
const lifeMs = 15_000;

/** One instance at a time does something. It saves work only: what is written has a fence of its own. */
export class Lock {
  readonly #store: Store;
  readonly #key: string;
  /** Of this hold alone. */
  readonly token = randomUUID();

  private constructor(store: Store, key: string) {
    this.#store = store;
    this.#key = key;
  }

  /** Undefined while another has it. @throws PushfleetError `unavailable` */
  static async take(store: Store, key: string): Promise<Lock | undefined> {
    const lock = new Lock(store, key);
    const taken = await store.command('SET', key, lock.token, 'NX', 'PX', lifeMs);
    return taken === 'OK' ? lock : undefined;
  }

  /** Whether it is still ours. @throws PushfleetError `unavailable` */
  async keep(): Promise<boolean> {
    return (await this.#store.run(renew, this.#key, this.token, lifeMs)) === 1;
  }

  /** Without Redis it ends by itself. */
  async give(): Promise<void> {
    await this.#store.run(release, this.#key, this.token).catch(() => {});
  }
}
