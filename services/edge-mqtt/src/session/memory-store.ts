import { randomBytes } from 'node:crypto';
import { type Cursor, PushfleetError } from '@pushfleet/core';
import type { Grant } from '@pushfleet/runtime';
import { Given } from './given.ts';
import { LazyMap } from './lazy-map.ts';
import { MemoryGroups, type MemoryGroupsOptions } from './memory-groups.ts';
import { isShared } from './shared-groups.ts';
import type {
  Claim,
  Held,
  HeldSession,
  Incoming,
  Kept,
  Leaving,
  OwedWill,
  Sent,
  SessionKey,
  SessionStore,
} from './store.ts';

export interface MemoryStoreOptions {
  /** Most sessions, those of connected clients included. */
  readonly sessions: number;
  /** Most publications of QoS 2 that one remembers to have given. */
  readonly given: number;
  /** Calls `run` once after `ms` milliseconds; returns how to cancel it. */
  after(ms: number, run: () => void): () => void;
  /** A will is due. */
  publishWill(owed: OwedWill, key: SessionKey): void;
  readonly groups: MemoryGroupsOptions;
}

/** Sessions in the memory of this process: they end with it. */
export class MemoryStore implements SessionStore {
  readonly #o: MemoryStoreOptions;
  readonly #groups: MemoryGroups;
  readonly #sessions = new Map<string, MemorySession>();

  constructor(options: MemoryStoreOptions) {
    this.#o = options;
    this.#groups = new MemoryGroups(options.groups);
  }

  /** Sessions, those of connected clients included. */
  get size(): number {
    return this.#sessions.size;
  }

  async take(claim: Claim): Promise<HeldSession> {
    const name = nameOf(claim.key);
    const before = this.#sessions.get(name);
    const ends = before !== undefined && (claim.cleanStart || before.endsWithConnection);
    if (before === undefined && this.#sessions.size >= this.#o.sessions) throw full(this.#o.sessions);
    before?.displace(ends);
    const session = before === undefined || ends ? this.#create(name, claim.key) : before;
    return session.hold(claim);
  }

  /** Ends the sessions without a connection: what is due when they end is due now. */
  async drain(): Promise<void> {
    for (const session of this.#sessions.values()) session.end();
    await this.#groups.settled();
  }

  #create(name: string, key: SessionKey): MemorySession {
    const session = new MemorySession(key, this.#groups, this.#o, () => {
      if (this.#sessions.get(name) === session) this.#sessions.delete(name);
    });
    this.#sessions.set(name, session);
    return session;
  }
}

const nameOf = ({ namespace, subject, clientId }: SessionKey): string =>
  JSON.stringify([namespace, subject, clientId]);

function full(most: number): PushfleetError {
  return new PushfleetError('too_many_connections', `This instance keeps its most, ${most} sessions.`);
}

interface Arriving {
  readonly id: string;
  stored: boolean;
}

/** What lies in memory of one session. */
class MemorySession {
  subscriptions: readonly Held[] = [];
  cursor: Cursor | undefined;
  /** Sent and not acknowledged; undefined once PUBREC came. A Map keeps the order of sending. */
  readonly unfinished = new LazyMap<number, Sent | undefined>();
  readonly incoming = new LazyMap<number, Arriving>();
  readonly given: Given;
  readonly #key: SessionKey;
  readonly #groups: MemoryGroups;
  readonly #o: MemoryStoreOptions;
  readonly #onEnd: () => void;
  #used = false;
  #holder: Holding | undefined;
  #claim: Claim | undefined;
  #expiry = 0;
  #owed: OwedWill | undefined;
  #cancelWill: () => void = nothing;
  #cancelExpiry: () => void = nothing;

  constructor(key: SessionKey, groups: MemoryGroups, o: MemoryStoreOptions, onEnd: () => void) {
    this.#key = key;
    this.given = new Given(o.given);
    this.#groups = groups;
    this.#o = o;
    this.#onEnd = onEnd;
  }

  /** A connection holds it, and it ends with that one. */
  get endsWithConnection(): boolean {
    return this.#holder !== undefined && this.#expiry === 0;
  }

  hold(claim: Claim): HeldSession {
    const kept = this.#used ? this.#kept() : undefined;
    this.#used = true;
    this.#claim = claim;
    this.#expiry = claim.expiry;
    this.#owed = claim.will;
    this.#holder = new Holding(this, kept);
    return this.#holder;
  }

  /** Its holder, if there is one, holds it no more; @param ends the session, too. */
  displace(ends: boolean): void {
    const claim = this.#claim;
    const holder = this.#holder;
    this.#holder = undefined;
    // Section 3.1.4: a will without delay is due since its connection ends, any other where its session does.
    const due = ends || (holder !== undefined && delayOf(this.#owed) === 0);
    this.#rest();
    if (due) this.#publishWill();
    this.#owed = undefined;
    if (ends) this.#over();
    if (holder !== undefined) claim?.onLost('taken');
  }

  subscribe(all: readonly Held[], cursor: Cursor): void {
    const had = this.subscriptions;
    this.subscriptions = all;
    this.cursor = cursor;
    this.leaveGroups(had);
  }

  renewed(grant: Grant): void {
    if (this.#owed !== undefined) this.#owed = { ...this.#owed, grant };
  }

  isHeldBy(holding: Holding): boolean {
    return this.#holder === holding;
  }

  leave({ expiry, withoutWill, cursor }: Leaving): void {
    this.#holder = undefined;
    this.cursor = cursor ?? this.cursor;
    if (withoutWill) this.#owed = undefined;
    if (expiry === 0) {
      this.#end();
      return;
    }
    this.#cancelExpiry = this.#o.after(expiry * 1_000, () => this.#end());
    const delay = delayOf(this.#owed);
    if (delay === 0) this.#publishWill();
    else if (delay < expiry) this.#cancelWill = this.#o.after(delay * 1_000, () => this.#publishWill());
  }

  /** Unless a connection holds it. */
  end(): void {
    if (this.#holder === undefined) this.#end();
  }

  /** [MQTT-3.1.2-10], section 3.1.3.2.2: a will whose delay is not over is due with the end of the session. */
  #end(): void {
    this.#rest();
    this.#publishWill();
    this.#over();
  }

  #over(): void {
    this.#onEnd();
    const had = this.subscriptions;
    this.subscriptions = [];
    this.leaveGroups(had);
  }

  /** Joins the groups among them. @throws PushfleetError `unavailable` */
  joinGroups(all: readonly Held[]): Promise<Held[]> {
    return Promise.all(
      all.filter(isShared).map(async (held) => {
        return { ...held, group: await this.#groups.join(this, this.#key.namespace, held) };
      }),
    );
  }

  /** Leaves those among them that it is not subscribed to. */
  leaveGroups(among: readonly Held[]): void {
    const isHeld = ({ share, filter }: Held) =>
      this.subscriptions.some((held) => held.share === share && held.filter === filter);
    for (const held of among) {
      if (isShared(held) && !isHeld(held)) this.#groups.leave(this, this.#key.namespace, held);
    }
  }

  #rest(): void {
    this.#cancelWill();
    this.#cancelExpiry();
    this.#cancelWill = nothing;
    this.#cancelExpiry = nothing;
  }

  #publishWill(): void {
    const owed = this.#owed;
    this.#owed = undefined;
    if (owed !== undefined) this.#o.publishWill(owed, this.#key);
  }

  #kept(): Kept {
    const unfinished = [...this.unfinished].map(([packetId, sent]) => ({ packetId, sent }));
    const given = this.given.places();
    return { subscriptions: this.subscriptions, cursor: this.cursor, unfinished, given, lost: false };
  }
}

const delayOf = (owed: OwedWill | undefined): number => owed?.will.properties.willDelayInterval ?? 0;

/** One connection's hold on a session. It fences: who was displaced changes nothing. */
class Holding implements HeldSession {
  readonly kept: Kept | undefined;
  readonly #session: MemorySession;

  constructor(session: MemorySession, kept: Kept | undefined) {
    this.#session = session;
    this.kept = kept;
  }

  subscribed(all: readonly Held[], cursor: Cursor): Promise<readonly Held[]> | undefined {
    if (all.some(isShared)) return this.#share(all, cursor);
    return this.#write((session) => session.subscribe(all, cursor)) as undefined | Promise<never>;
  }

  async #share(all: readonly Held[], cursor: Cursor): Promise<readonly Held[]> {
    const session = this.#session;
    try {
      await this.#write(nothing);
      const shared = await session.joinGroups(all);
      await this.#write(() =>
        session.subscribe([...all.filter((held) => !isShared(held)), ...shared], cursor),
      );
      return shared;
    } catch (error) {
      session.leaveGroups(all);
      throw error;
    }
  }

  sending(sent: readonly Sent[], cursor: Cursor, isOwn: boolean): Promise<void> | undefined {
    return this.#write((session) => {
      session.cursor = cursor;
      for (const one of sent) {
        session.unfinished.set(one.packetId, one);
        if (isOwn && one.qos === 2) session.given.add(one.publication);
      }
    });
  }

  received(packetId: number): Promise<void> | undefined {
    return this.#write(({ unfinished }) => {
      // Behind what was released before it: [MQTT-4.6.0-4] has PUBREL in the order of PUBREC.
      unfinished.delete(packetId);
      unfinished.set(packetId, undefined);
    });
  }

  finished(packetId: number): void {
    void this.#write(({ unfinished }) => unfinished.delete(packetId))?.catch(nothing);
  }

  incoming(packetId: number): Incoming {
    const known = this.#session.incoming.get(packetId);
    if (known !== undefined) return { ...known };
    const made = { id: randomBytes(15).toString('base64url'), stored: false };
    void this.#write(({ incoming }) => incoming.set(packetId, made))?.catch(nothing);
    return { ...made };
  }

  stored(packetId: number): Promise<void> | undefined {
    return this.#write(({ incoming }) => {
      const known = incoming.get(packetId);
      if (known !== undefined) known.stored = true;
    });
  }

  released(packetId: number): Promise<void> | undefined {
    return this.#write(({ incoming }) => incoming.delete(packetId));
  }

  renewed(grant: Grant): Promise<void> | undefined {
    return this.#write((session) => session.renewed(grant));
  }

  leave(leaving: Leaving): Promise<void> | undefined {
    return this.#write((session) => session.leave(leaving));
  }

  #write(change: (session: MemorySession) => void): Promise<void> | undefined {
    if (!this.#session.isHeldBy(this)) {
      return Promise.reject(new PushfleetError('conflict', 'Another connection holds this session.'));
    }
    change(this.#session);
    return undefined;
  }
}

const nothing = (): void => {};
