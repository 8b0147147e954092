import { randomBytes } from 'node:crypto';
import type { Cursor } from '@pushfleet/core';
import type { Loss, OwnedSession, SessionKeeper } from '@pushfleet/edge';
import type { SessionFilter } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Grant } from '@pushfleet/runtime';
import type { HotChange, HotSession } from './hot-session.ts';
import { heldOf, hotMark, isHot, recordOf, willOf } from './registry-record.ts';
import type { Claim, Held, HeldSession, Incoming, Kept, Leaving, Sent } from './store.ts';

export interface RegistrySessionOptions {
  /** Runs what gives it back, when there is room for that. */
  leave(release: () => Promise<void>): Promise<void>;
  /** This process has it no more. */
  onGone(session: RegistrySession): void;
}

/** A session in the registry, in the hands of a connection. What is under way lies here, and there as of the last write. */
export class RegistrySession implements HeldSession, SessionKeeper {
  kept: Kept | undefined;
  readonly #claim: Claim;
  readonly #o: RegistrySessionOptions;
  /** It outlives its connection: what is told of it is of use to somebody. */
  readonly #keeps: boolean;
  #hot!: HotSession;
  #owned!: OwnedSession;

  constructor(claim: Claim, options: RegistrySessionOptions) {
    this.#claim = claim;
    this.#o = options;
    this.#keeps = claim.expiry > 0;
  }

  /** It is this process's, as it was kept. */
  own(owned: OwnedSession, hot: HotSession): void {
    this.#owned = owned;
    this.#hot = hot;
  }

  state(whole: boolean): HotChange {
    return this.#hot.told(whole);
  }

  onLost(how: Loss): void {
    this.#o.onGone(this);
    this.#claim.onLost(how);
  }

  subscribed(all: readonly Held[], cursor: Cursor): Promise<readonly Held[]> | undefined {
    this.#move(cursor);
    const { filters } = this.#owned.record;
    const wanted = all.filter((held) => this.#isKept(held.share !== undefined));
    const before = filters.filter(({ group }) => this.#isKept(group !== ''));
    const after = wanted.map((held) => recordOf(held, cursor));
    const addFilters = after.filter((one) => !before.some((other) => isSame(one, other)));
    const removeFilters = before.filter((one) => !after.some((other) => isNamed(one, other)));
    const marked = !this.#keeps || isHot(this.#owned.record);
    if (addFilters.length + removeFilters.length === 0 && marked) return undefined;
    const filtered = { addFilters, removeFilters: removeFilters.map(nameOf), ...this.#settled(cursor) };
    return marked ? this.#update(filtered) : this.#mark(filtered);
  }

  /** With the mark that there is hot state: once there is some. */
  async #mark(change: Change): Promise<readonly Held[]> {
    await this.#owned.commit();
    return this.#update({ ...change, attributes: { ...hotMark } });
  }

  /** The shared ones of what is subscribed then. */
  async #update(change: Change): Promise<readonly Held[]> {
    const { filters } = await this.#owned.update(change);
    return filters.flatMap((one) => (one.group === '' ? [] : (heldOf(one) ?? [])));
  }

  sending(sent: readonly Sent[], cursor: Cursor, isOwn: boolean): Promise<void> | undefined {
    if (!this.#keeps) return undefined;
    for (const one of sent) {
      this.#launch(one);
      if (isOwn && one.qos === 2) this.#hot.given.add(one.publication);
    }
    if (sent.length === 0) {
      this.#move(cursor);
      return undefined;
    }
    this.#hot.cursor = cursor;
    return this.#owned.commit();
  }

  received(packetId: number): Promise<void> | undefined {
    // Behind what was released before it: [MQTT-4.6.0-4] has PUBREL in the order of PUBREC.
    this.#hot.deleteOut(packetId);
    this.#hot.setOut(packetId, undefined);
    return this.#commit();
  }

  finished(packetId: number): void {
    this.#hot.deleteOut(packetId);
    if (this.#keeps) this.#owned.commitSoon();
  }

  incoming(packetId: number): Incoming | Promise<Incoming> {
    const { in: all } = this.#hot;
    if (all.has(packetId)) {
      const id = all.get(packetId);
      return { id: id ?? '', stored: id === undefined };
    }
    const made = { id: randomBytes(9).toString('base64url'), stored: false };
    this.#hot.setIn(packetId, made.id);
    return this.#commit()?.then(() => made) ?? made;
  }

  stored(packetId: number): Promise<void> | undefined {
    this.#hot.setIn(packetId, undefined);
    return this.#commit();
  }

  // Also where it is not known: the write that forgot it may be under way.
  released(packetId: number): Promise<void> | undefined {
    this.#hot.deleteIn(packetId);
    return this.#commit();
  }

  renewed(grant: Grant): Promise<void> | undefined {
    const { will } = this.#claim;
    if (will === undefined) return undefined;
    const prepared = willOf({ ...will, grant });
    return this.#update({ willChange: { $case: 'will', will: prepared } }).then(nothing);
  }

  leave({ expiry, withoutWill, cursor }: Leaving): Promise<void> {
    this.#hot.cursor = cursor;
    const terms = expiry === this.#claim.expiry ? {} : { expirySeconds: expiry };
    const how = { discardWill: withoutWill, ...terms, ...(cursor !== undefined && this.#settled(cursor)) };
    return this.giveBack(how);
  }

  giveBack(how: Parameters<OwnedSession['release']>[0]): Promise<void> {
    this.#o.onGone(this);
    return this.#o.leave(() => this.#owned.release(how));
  }

  #launch({ packetId, qos, publication, retain, subscriptionIds }: Sent): void {
    const { shard, sequence, topic } = publication;
    const named = retain ? topic : undefined;
    this.#hot.setOut(packetId, { qos, retain, shard, sequence, topic: named, subscriptionIds });
  }

  /** Lost, it costs a client of QoS 0 repeats. */
  #move(cursor: Cursor): void {
    const before = this.#hot.cursor;
    this.#hot.cursor = cursor;
    if (this.#keeps && this.#hot.cursor !== before) this.#owned.commitSoon();
  }

  #commit(): Promise<void> | undefined {
    return this.#keeps ? this.#owned.commit() : undefined;
  }

  /** Filters of a session that ends with its connection are nobody's business, but for the groups that it is of. */
  #isKept(shared: boolean): boolean {
    return this.#keeps || shared;
  }

  /** The record's place, from which a session is resumed whose state is lost: nothing before it is under way. */
  #settled(cursor: Cursor): { readonly cursor?: Cursor } {
    return this.#hot.out.size === 0 || this.#owned.record.cursor === '' ? { cursor } : {};
  }
}

type Change = Parameters<OwnedSession['update']>[0];

const nameOf = ({ filter, group }: SessionFilter) => ({ filter, group });
const isNamed = (one: SessionFilter, other: SessionFilter): boolean =>
  one.filter === other.filter && one.group === other.group;
const isSame = (one: SessionFilter, other: SessionFilter): boolean =>
  isNamed(one, other) && one.options.equals(other.options);

const nothing = (): void => {};
