import type { Cursor, Namespace } from '@pushfleet/core';
import { Gate, PushfleetError } from '@pushfleet/core';
import type { OwnedSession, SessionDesk } from '@pushfleet/edge';
import { Given } from './given.ts';
import { HotSession } from './hot-session.ts';
import { type RecallBus, recall } from './recall.ts';
import { heldOf, isHot, sessionId, willOf } from './registry-record.ts';
import { RegistrySession } from './registry-session.ts';
import type { Claim, HeldSession, Kept, SessionStore } from './store.ts';

export interface RegistryStoreOptions {
  readonly desk: SessionDesk;
  bus(namespace: Namespace): RecallBus;
  /** Most publications of QoS 2 that a session remembers to have given. */
  readonly given: number;
  /** What was kept of a session could not be read: it is resumed without. */
  onUnreadable(error: unknown): void;
}

/** Most sessions that are given back at once, when all connections of a process end together. */
const releasesAtOnce = 64;

/** Sessions in the registry: they outlive this process, and any process may go on with one. */
export class RegistryStore implements SessionStore {
  readonly #o: RegistryStoreOptions;
  readonly #gate = new Gate(releasesAtOnce);
  readonly #held = new Set<RegistrySession>();
  readonly #leaving = new Set<Promise<void>>();

  constructor(options: RegistryStoreOptions) {
    this.#o = options;
  }

  /** Those of clients that are connected here. */
  get size(): number {
    return this.#held.size;
  }

  async take(claim: Claim): Promise<HeldSession> {
    const { key, cleanStart: clean, expiry: expirySeconds, will } = claim;
    const session = new RegistrySession(claim, {
      leave: (release) => this.#leave(release),
      onGone: (gone) => this.#held.delete(gone),
    });
    const asked = {
      namespace: key.namespace,
      id: sessionId(key),
      subject: key.subject,
      clean,
      expirySeconds,
    };
    const prepared = will === undefined ? {} : { will: willOf(will) };
    const owned = await this.#o.desk.acquire({ ...asked, ...prepared }, session);
    const read = this.#hotOf(owned);
    const hot = read ?? HotSession.instead(this.#o.given);
    session.own(owned, hot);
    this.#held.add(session);
    try {
      if (owned.resumed) session.kept = await this.#keptOf(claim, owned, hot, read === undefined);
    } catch (error) {
      // Its client was not let in, so it was never there.
      await session.giveBack({ discardWill: true });
      throw error;
    }
    return session;
  }

  /** Resolves once all sessions that were left are given back. */
  async drain(): Promise<void> {
    await Promise.all(this.#leaving);
  }

  /** Undefined: it is lost. */
  #hotOf({ resumed, state, record }: OwnedSession): HotSession | undefined {
    const { given } = this.#o;
    if (!resumed) return new HotSession(new Given(given));
    if (state === undefined) return isHot(record) ? undefined : new HotSession(new Given(given));
    try {
      return HotSession.read(state, given);
    } catch (error) {
      this.#o.onUnreadable(error);
      return undefined;
    }
  }

  async #keptOf({ key }: Claim, { record }: OwnedSession, hot: HotSession, lost: boolean): Promise<Kept> {
    const unfinished = await recall(this.#o.bus(key.namespace), hot);
    const subscriptions = record.filters.flatMap((filter) => {
      const held = heldOf(filter);
      if (held === undefined)
        this.#o.onUnreadable(new Error(`The subscription to ${filter.filter} is lost.`));
      return held ?? [];
    });
    const cursor = hot.cursor ?? (record.cursor === '' ? undefined : (record.cursor as Cursor));
    return { subscriptions, cursor, unfinished, given: hot.given.places(), lost };
  }

  async #leave(release: () => Promise<void>): Promise<void> {
    const left = this.#gate.run(release).catch((error: unknown) => {
      // Somebody else has it by now.
      if (PushfleetError.from(error).code !== 'conflict') throw error;
    });
    const done = left.catch(() => {});
    this.#leaving.add(done);
    void done.then(() => this.#leaving.delete(done));
    return left;
  }
}
