import { randomBytes } from 'node:crypto';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import type {
  AcquireSessionRequest,
  AcquireSessionResponse,
  Session,
  SessionState,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Room } from '../subscriptions/room.ts';
import type { Ending } from './ending.ts';
import { attempts, contended, type Parts } from './parts.ts';
import { type Held, hasEnded, type Key, newGeneration, refOf, willDueAt } from './record.ts';

export interface AcquiringOptions {
  readonly parts: Parts;
  readonly ending: Ending;
  readonly room: Pick<Room, 'take'>;
}

/** What is there, and whether it is kept. */
interface Found {
  readonly held: Held | undefined;
  readonly keep: boolean;
}

/** When it is looked whether a session came to be, in milliseconds: a write that was given up is done by then, or never. */
const lookMs = 60_000;

/** How an instance becomes the owner of a session. */
export class Acquiring {
  readonly counts = { created: 0, resumed: 0, taken: 0, refused: 0 };
  readonly #o: AcquiringOptions;

  constructor(options: AcquiringOptions) {
    this.#o = options;
  }

  /**
   * See AcquireSession.
   *
   * @param isAwaited whether the caller still waits: one that has gone is not to displace who came after it
   * @throws PushfleetError as said there
   */
  async acquire(
    key: Key,
    request: AcquireSessionRequest,
    isAwaited: () => boolean,
  ): Promise<AcquireSessionResponse> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (!isAwaited()) throw new PushfleetError('timeout', 'The caller has not waited.');
      const found = await this.#find(key, request);
      const ready = await this.#prepare(found);
      if (ready === undefined) continue;
      const leave = ready.held === undefined ? await this.#takeRoom(key.namespace) : () => {};
      try {
        const stored = await this.#write(key, request, ready);
        if (stored !== undefined) return await this.#complete(key, found, stored);
      } finally {
        leave();
      }
    }
    this.counts.refused++;
    throw contended(key);
  }

  async #find(key: Key, request: AcquireSessionRequest): Promise<Found> {
    const { ledger, now } = this.#o.parts;
    const { subject, clean, mustExist, ifGeneration } = request;
    const held = await ledger.get(refOf(key));
    const live = held !== undefined && !hasEnded(held.record, now()) ? held.record : undefined;
    if (live !== undefined && live.subject !== subject) throw foreign();
    if (ifGeneration !== undefined && live?.generation !== ifGeneration) throw otherGeneration(ifGeneration);
    const keep = live !== undefined && !clean && live.expirySeconds > 0;
    if (mustExist && !keep) throw new PushfleetError('not_found', 'There is no such session (any more).');
    return { held, keep };
  }

  /** Publishes the will that is due by it; undefined where others changed the session at the same moment. */
  async #prepare({ held, keep }: Found): Promise<Found | undefined> {
    const { wills, now } = this.#o.parts;
    if (held?.record.will === undefined) return { held, keep };
    const { owner, will } = held.record;
    const at = willDueAt(held.record) ?? Number.POSITIVE_INFINITY;
    if (keep && (owner === undefined ? at > now() : will.delaySeconds > 0)) return { held, keep };
    // First it is on record that the connection is gone: whatever happens now, the will is published.
    const orphan = owner === undefined ? held : await this.#o.ending.orphan(held);
    if (orphan === undefined) return undefined;
    await wills.publish(orphan.record);
    return { held: orphan, keep };
  }

  async #takeRoom(namespace: Namespace): Promise<() => void> {
    try {
      return await this.#o.room.take(namespace);
    } catch (error) {
      if (!(error instanceof PushfleetError) || error.code !== 'unavailable') throw error;
      // Without the index nobody can say how many there are; new sessions do not need it.
      return () => {};
    }
  }

  async #write(key: Key, request: AcquireSessionRequest, { held, keep }: Found): Promise<Held | undefined> {
    const { ledger, index, groups, now } = this.#o.parts;
    const ref = refOf(key);
    const revision = held?.revision ?? 0;
    // A new one is looked at soon, and entered if it came to be: names of those that did not would fill the namespace.
    const look = held === undefined ? now() + lookMs : undefined;
    const hinting = look === undefined ? undefined : index.due(ref, look);
    const doubting = keep ? undefined : groups.doubt(key, held?.record.filters ?? []);
    await Promise.all([hinting, doubting, index.own(ref, request.instanceId, revision)]);
    const stored = await ledger.put(this.#record(key, request, keep ? held?.record : undefined), revision);
    if (stored === undefined) return undefined;
    await Promise.all([
      look === undefined ? undefined : index.name(key),
      index.own(ref, request.instanceId, stored.revision),
    ]);
    if (look !== undefined) await index.next({ ref, at: String(look) }, undefined);
    return stored;
  }

  #record(key: Key, request: AcquireSessionRequest, kept: Session | undefined): Session {
    const now = new Date(this.#o.parts.now());
    const { instanceId, subject, will, expirySeconds } = request;
    return {
      ...{ key, subject, will, expirySeconds },
      generation: newGeneration,
      incarnation: kept?.incarnation ?? randomBytes(16).toString('base64url'),
      owner: { instanceId, address: '', since: now },
      filters: kept?.filters ?? [],
      releasedAt: undefined,
      expiresAt: undefined,
      cursor: kept?.cursor ?? '',
      attributes: kept?.attributes ?? {},
      createdAt: kept?.createdAt ?? now,
      lastUpdate: kept?.lastUpdate ?? 0n,
      lastCommit: 0n,
    };
  }

  /** The log has the new owner: the former one is shut out, and told. */
  async #complete(key: Key, { held, keep }: Found, stored: Held): Promise<AcquireSessionResponse> {
    const { index, groups, letGo } = this.#o.parts;
    const former = held?.record.owner?.instanceId;
    const taking = this.#take(key, stored, keep ? held?.record : undefined);
    const asking =
      former === undefined
        ? undefined
        : // Also where it was not to be had: the log has taken it from who owned it.
          taking.catch(() => {}).then(() => letGo(former, key, stored.record.generation));
    const [state] = await Promise.all([taking, asking]);
    const { instanceId } = stored.record.owner as NonNullable<Session['owner']>;
    if (former !== undefined && former !== instanceId)
      await index.disown(stored.ref, former, stored.revision - 1);
    if (!keep && held !== undefined) await groups.leave(key, held.record.filters);
    this.counts[keep ? 'resumed' : 'created']++;
    if (former !== undefined) this.counts.taken++;
    return { session: stored.record, resumed: keep, state };
  }

  /** @param kept what was there, where it is kept */
  async #take(key: Key, stored: Held, kept: Session | undefined): Promise<SessionState | undefined> {
    const { hot } = this.#o.parts;
    try {
      const state = await hot.take(stored, kept);
      if (state !== false) return state;
      // Of another log, or of who acquired it meanwhile.
      const now = await this.#o.parts.ledger.get(stored.ref);
      if (now?.record.generation !== stored.record.generation) throw contended(key);
      return (await hot.take(stored, kept, true)) || undefined;
    } catch (error) {
      if (kept === undefined && error instanceof PushfleetError && error.code === 'unavailable')
        return undefined;
      await this.#undo(stored, kept);
      throw error;
    }
  }

  /** Nobody was told that it is the caller's: will and expiry are those of whoever was there before. */
  async #undo(stored: Held, kept: Session | undefined): Promise<void> {
    const record = { ...stored.record, will: kept?.will, expirySeconds: kept?.expirySeconds ?? 0 };
    const since = kept?.owner === undefined ? kept?.releasedAt?.getTime() : undefined;
    await this.#o.ending.orphan({ ...stored, record }, since).catch(() => {});
  }
}

const foreign = (): PushfleetError =>
  new PushfleetError('forbidden', 'The session belongs to another subject.');

const otherGeneration = (wanted: bigint): PushfleetError =>
  new PushfleetError('conflict', `The session is not at generation ${wanted} (any more).`);
