// The registry's sessions in memory, for the tests of whoever holds sessions; nothing else imports it.
import { type Clock, systemClock } from '@pushfleet/bus';
import { PushfleetError, type Signals } from '@pushfleet/core';
import {
  type AcquireSessionRequest,
  type AcquireSessionResponse,
  type EndSessionRequest,
  type ReleaseSessionRequest,
  type Session,
  type SessionCommit,
  SessionCommitOutcome,
  type SessionFilter,
  type SessionKey,
  type SessionState,
  type UpdateSessionRequest,
  type Will,
} from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { SessionCalls } from '@pushfleet/runtime';

/** What becomes of one call; without anything it is done at once. */
export interface Mishap {
  /** Held up for so long before it is done, in milliseconds: past the deadline it is done though its caller has given up. */
  readonly beforeMs?: number;
  /** It fails and nothing is done. */
  readonly refused?: PushfleetError;
  /** The answer is held up. */
  readonly afterMs?: number;
  /** It is done, and the caller hears this. */
  readonly unheard?: PushfleetError;
}

export interface TestCall {
  readonly instance: string;
  readonly name: 'acquire' | 'update' | 'commit' | 'release' | 'get' | 'end';
  readonly keys: readonly SessionKey[];
}

export interface PublishedWill {
  readonly key: SessionKey;
  readonly will: Will;
  readonly incarnation: string;
  /** Of the ownership that it belongs to. */
  readonly generation: bigint;
}

export interface TestRegistryOptions {
  readonly clock?: Clock;
  /** Asks former owners to let go; without it nobody is asked. */
  readonly signals?: Pick<Signals, 'ask'>;
  readonly onCall?: (call: TestCall) => Mishap | undefined;
  /** In the place of what a single commit would have come to; nothing is stored then. */
  readonly onCommit?: (commit: SessionCommit) => SessionCommitOutcome | undefined;
  /** A will is published, before who caused it is answered. */
  readonly onWill?: (published: PublishedWill) => void | Promise<void>;
  readonly openGroup?: (namespace: string, groupId: string, filter: string) => Promise<void>;
  readonly closeGroup?: (namespace: string, groupId: string) => Promise<void>;
  /** Most sessions of a namespace. */
  readonly sessions?: number;
  /** Most bytes of a session's hot state. */
  readonly hotBytes?: number;
}

interface Hot {
  generation: bigint;
  number: bigint;
  readonly incarnation: string;
  committed: boolean;
  cursor: string;
  fields: Map<string, Buffer>;
}

interface Kept {
  readonly session: Session;
  readonly cancels: (() => void)[];
}

/** How long a call's caller waits, in milliseconds. */
const deadlineMs = 5_000;
/** How long an instance is not heard of before it counts as dead, in milliseconds. */
const deadMs = 10_000;
const askMs = 500;
const nameOf = ({ namespace, protocol, id }: SessionKey): string => `${namespace} ${protocol} ${id}`;

/** The sessions of a fleet, its log and its index. */
export class TestRegistry {
  /** All wills that were published, in their order. */
  readonly wills: PublishedWill[] = [];
  readonly #o: TestRegistryOptions;
  readonly #clock: Clock;
  readonly #records = new Map<string, Kept>();
  readonly #hot = new Map<string, Hot>();
  readonly #groups = new Map<string, { readonly id: string; readonly members: Set<string> }>();
  readonly #dead = new Set<string>();
  #revision = 0n;
  #away = false;

  constructor(options: TestRegistryOptions = {}) {
    this.#o = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** How many sessions there are. */
  get size(): number {
    return this.#records.size;
  }

  record(key: SessionKey): Session | undefined {
    return this.#records.get(nameOf(key))?.session;
  }

  /** As the next owner would get it. */
  state(key: SessionKey): SessionState | undefined {
    return stateOf(this.#hot.get(nameOf(key)));
  }

  /** The names in the log of the groups that have members. */
  groupIds(): readonly string[] {
    return Array.from(this.#groups.values(), ({ id }) => id);
  }

  /** The index loses what it held: of one session, or of all. */
  loseHot(key?: SessionKey): void {
    if (key === undefined) this.#hot.clear();
    else this.#hot.delete(nameOf(key));
  }

  /** While it is away, the index is out of reach. */
  set indexAway(away: boolean) {
    this.#away = away;
  }

  /**
   * The process of this instance is gone: nothing it asks for is done any more, it hears nothing, and once that is
   * noticed its sessions are released. What was on its way before may still be done.
   */
  kill(instance: string): void {
    this.#dead.add(instance);
    this.#clock.after(deadMs, () => void this.releaseAll(instance));
  }

  /** Releases the sessions of an instance that counts as dead, rightly or not. */
  async releaseAll(instance: string): Promise<void> {
    for (const kept of [...this.#records.values()]) {
      const { session } = kept;
      if (session.owner?.instanceId !== instance) continue;
      session.generation = ++this.#revision;
      const hot = this.#hot.get(nameOf(session.key as SessionKey));
      if (hot !== undefined) this.#raise(hot, session.generation);
      await this.#release(kept, false);
    }
  }

  /** The registry as one instance reaches it. */
  calls(instance: string): SessionCalls {
    const call = <T>(
      name: TestCall['name'],
      keys: readonly SessionKey[],
      act: () => Promise<T>,
    ): Promise<T> => this.#call({ instance, name, keys }, act);
    return {
      acquire: (request) => call('acquire', [keyOf(request)], () => this.#acquire(request)),
      update: (request) => call('update', [keyOf(request)], () => this.#update(request)),
      commit: (commits) => {
        // As over a wire: what the caller does to it afterwards is not seen.
        const copies = commits.map((commit) => structuredClone(commit)).map(withBuffers);
        return call('commit', copies.map(keyOf), async () => copies.map((one) => this.#commit(one)));
      },
      release: (request) => call('release', [keyOf(request)], () => this.#releaseAsked(request)),
      get: (key) =>
        call('get', [key], async () => {
          const session = this.record(key);
          return session && withSessionBuffers(structuredClone(session));
        }),
      end: (request) => call('end', [keyOf(request)], () => this.#endAsked(request)),
      close: () => {},
    };
  }

  #call<T>(call: TestCall, act: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    // Who is dead waits for ever.
    if (this.#dead.has(call.instance)) return promise;
    const { beforeMs, refused, afterMs, unheard } = this.#o.onCall?.(call) ?? {};
    const cancel = this.#clock.after(deadlineMs, () => reject(new PushfleetError('timeout', 'No answer.')));
    const run = async (): Promise<T> => {
      await this.#pass(beforeMs);
      if (refused !== undefined) throw refused;
      const answer = await act();
      await this.#pass(afterMs);
      if (unheard !== undefined) throw unheard;
      return answer;
    };
    const heard = (): boolean => !this.#dead.has(call.instance);
    run()
      .then(
        (answer) => heard() && resolve(answer),
        (error: unknown) => heard() && reject(error),
      )
      .finally(cancel);
    return promise;
  }

  #pass(ms: number | undefined): Promise<void> {
    return ms === undefined ? Promise.resolve() : new Promise((resolve) => this.#clock.after(ms, resolve));
  }

  async #acquire(request: AcquireSessionRequest): Promise<AcquireSessionResponse> {
    const key = keyOf(request);
    const name = nameOf(key);
    const before = this.#records.get(name);
    this.#check(request, before?.session);
    const resumed = before !== undefined && !request.clean && before.session.expirySeconds > 0;
    if (resumed && this.#away) throw new PushfleetError('unavailable', 'The index is out of reach.');
    const formerOwner = before?.session.owner;
    const due = before === undefined ? undefined : this.#dueByTakeOver(before.session, resumed);
    if (before !== undefined) for (const cancel of before.cancels) cancel();
    if (!resumed && before !== undefined) this.#forget(before);
    const session = this.#take(request, resumed ? before?.session : undefined);
    this.#records.set(name, { session, cancels: [] });
    const state = this.#takeHot(name, session);
    const answer = { session: structuredClone(session), resumed, ...(resumed && state && { state }) };
    if (formerOwner !== undefined) await this.#ask(formerOwner.instanceId, key, session.generation);
    if (due !== undefined) await this.#publish(due);
    return { ...answer, session: withSessionBuffers(answer.session) } as AcquireSessionResponse;
  }

  #check(
    { key, subject, mustExist, ifGeneration }: AcquireSessionRequest,
    session: Session | undefined,
  ): void {
    if (session === undefined) {
      if (mustExist) throw new PushfleetError('not_found', 'There is no such session.');
      const inNamespace = [...this.#records.values()].filter(
        (kept) => kept.session.key?.namespace === key?.namespace,
      );
      if (inNamespace.length >= (this.#o.sessions ?? Number.POSITIVE_INFINITY))
        throw new PushfleetError('too_many_connections', 'The namespace has its most sessions.');
    } else if (session.subject !== subject) {
      throw new PushfleetError('forbidden', 'The session is of another subject.');
    }
    if (ifGeneration !== undefined && session?.generation !== ifGeneration)
      throw new PushfleetError('conflict', 'The session has another generation.');
  }

  #take(request: AcquireSessionRequest, before: Session | undefined): Session {
    const generation = ++this.#revision;
    const now = new Date(this.#clock.now());
    const { key, subject, instanceId, expirySeconds, will } = request;
    return {
      ...{ key, subject, generation, expirySeconds },
      incarnation: before?.incarnation ?? `incarnation-${generation}`,
      owner: { instanceId, address: '', since: now },
      filters: before?.filters ?? [],
      ...(will !== undefined && { will }),
      ...{ releasedAt: undefined, expiresAt: undefined },
      cursor: before?.cursor ?? '',
      attributes: before?.attributes ?? {},
      createdAt: before?.createdAt ?? now,
      lastUpdate: before?.lastUpdate ?? 0n,
      lastCommit: 0n,
    };
  }

  /** The script `take`. */
  #takeHot(name: string, { incarnation, generation }: Session): SessionState | undefined {
    // Without the index the first commit finds nothing of this generation, and says so.
    if (this.#away) return undefined;
    const there = this.#hot.get(name);
    if (there?.incarnation === incarnation) {
      this.#raise(there, generation);
      return stateOf(there);
    }
    this.#hot.set(name, {
      ...{ generation, number: 0n, incarnation, committed: false, cursor: '' },
      fields: new Map(),
    });
    return undefined;
  }

  #raise(hot: Hot, generation: bigint): void {
    hot.generation = generation;
    hot.number = 0n;
  }

  async #ask(instance: string, { namespace, protocol, id }: SessionKey, generation: bigint): Promise<void> {
    if (this.#dead.has(instance)) {
      await this.#pass(askMs);
      return;
    }
    const question = { namespace, protocol, id, generation: `${generation}` };
    await this.#o.signals?.ask(`sessions.${instance}`, question, askMs, () => true);
  }

  #dueByTakeOver(session: Session, resumed: boolean): PublishedWill | undefined {
    const { will } = session;
    const isConnected = session.owner !== undefined;
    if (will === undefined || (resumed && !(isConnected && will.delaySeconds === 0))) return undefined;
    return published(session, will);
  }

  async #publish(due: PublishedWill): Promise<void> {
    this.wills.push(due);
    await this.#o.onWill?.(due);
  }

  #owned(key: SessionKey, generation: bigint): Kept {
    const kept = this.#records.get(nameOf(key));
    if (kept?.session.generation === generation) return kept;
    throw new PushfleetError('conflict', 'The generation is over.');
  }

  async #update(request: UpdateSessionRequest): Promise<Session> {
    const key = keyOf(request);
    const before = this.#owned(key, request.generation).session;
    if (request.number <= before.lastUpdate) return withSessionBuffers(structuredClone(before));
    const added: SessionFilter[] = [];
    for (const filter of request.addFilters) {
      const groupId = filter.group === '' ? '' : await this.#join(key, filter);
      added.push({ ...filter, groupId });
    }
    const { session } = this.#owned(key, request.generation);
    const isNamed = (one: SessionFilter) => (other: { filter: string; group: string }) =>
      one.filter === other.filter && one.group === other.group;
    const dropped = [...request.removeFilters, ...added];
    session.filters = [...session.filters.filter((one) => !dropped.some(isNamed(one))), ...added];
    for (const removed of request.removeFilters) this.#leave(key, removed);
    if (request.willChange?.$case === 'will') session.will = request.willChange.will;
    else if (request.willChange?.$case === 'clearWill') session.will = undefined;
    if (request.expirySeconds !== undefined) session.expirySeconds = request.expirySeconds;
    if (request.cursor !== undefined) session.cursor = request.cursor;
    session.lastUpdate = request.number;
    for (const [name, value] of Object.entries(request.attributes)) {
      if (value.length > 0) session.attributes[name] = value;
      else delete session.attributes[name];
    }
    return withSessionBuffers(structuredClone(session));
  }

  async #join(key: SessionKey, filter: SessionFilter): Promise<string> {
    const name = groupName(key, filter);
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = { id: `group-${++this.#revision}`, members: new Set() };
      this.#groups.set(name, group);
      await this.#o.openGroup?.(key.namespace, group.id, filter.filter);
    }
    group.members.add(nameOf(key));
    return group.id;
  }

  #leave(key: SessionKey, filter: Pick<SessionFilter, 'filter' | 'group'>): void {
    const name = groupName(key, filter);
    const group = this.#groups.get(name);
    if (filter.group === '' || !group?.members.delete(nameOf(key)) || group.members.size > 0) return;
    this.#groups.delete(name);
    void this.#o.closeGroup?.(key.namespace, group.id);
  }

  #commit(commit: SessionCommit): SessionCommitOutcome {
    const instead = this.#o.onCommit?.(commit);
    if (instead !== undefined) return instead;
    if (this.#away) return SessionCommitOutcome.SESSION_COMMIT_OUTCOME_UNAVAILABLE;
    const name = nameOf(keyOf(commit));
    const there = this.#hot.get(name);
    const session = this.#records.get(name)?.session;
    const over =
      session?.owner === undefined
        ? SessionCommitOutcome.SESSION_COMMIT_OUTCOME_LAPSED
        : SessionCommitOutcome.SESSION_COMMIT_OUTCOME_FENCED;
    if (there !== undefined && there.generation > commit.generation) return over;
    if (there?.generation === commit.generation) return this.#apply(there, commit);
    if (!commit.whole) return SessionCommitOutcome.SESSION_COMMIT_OUTCOME_LOST;
    if (session?.generation !== commit.generation || session.owner === undefined) return over;
    const hot: Hot = {
      ...{ generation: commit.generation, number: 0n, incarnation: session.incarnation },
      ...{ committed: false, cursor: '', fields: new Map() },
    };
    const outcome = this.#apply(hot, commit);
    if (outcome === SessionCommitOutcome.SESSION_COMMIT_OUTCOME_STORED) this.#hot.set(name, hot);
    return outcome;
  }

  #apply(hot: Hot, { number, cursor, putFields, removeFields, whole }: SessionCommit): SessionCommitOutcome {
    // One that was held up does not undo what came after it.
    if (number < hot.number) return SessionCommitOutcome.SESSION_COMMIT_OUTCOME_STORED;
    if (number > hot.number + 1n && !whole) return SessionCommitOutcome.SESSION_COMMIT_OUTCOME_LOST;
    const fields = new Map(whole ? [] : hot.fields);
    for (const name of removeFields) fields.delete(name);
    for (const [name, value] of Object.entries(putFields)) fields.set(name, value);
    let bytes = 0;
    for (const [name, value] of fields) bytes += name.length + value.length;
    if (bytes > (this.#o.hotBytes ?? Number.POSITIVE_INFINITY))
      return SessionCommitOutcome.SESSION_COMMIT_OUTCOME_TOO_LARGE;
    if (whole || cursor !== undefined || removeFields.length > 0 || Object.keys(putFields).length > 0)
      hot.committed = true;
    hot.number = number;
    hot.fields = fields;
    if (cursor !== undefined) hot.cursor = cursor;
    else if (whole) hot.cursor = '';
    return SessionCommitOutcome.SESSION_COMMIT_OUTCOME_STORED;
  }

  async #releaseAsked(request: ReleaseSessionRequest): Promise<Date | undefined> {
    const kept = this.#owned(keyOf(request), request.generation);
    const { session } = kept;
    // Asked again by who did not hear the answer.
    if (session.owner === undefined) return session.expiresAt;
    if (request.expirySeconds !== undefined) session.expirySeconds = request.expirySeconds;
    if (request.cursor !== undefined) session.cursor = request.cursor;
    await this.#release(kept, request.discardWill);
    return session.expiresAt;
  }

  async #release(kept: Kept, discardWill: boolean): Promise<void> {
    const { session, cancels } = kept;
    const now = this.#clock.now();
    session.owner = undefined;
    session.releasedAt = new Date(now);
    session.expiresAt = new Date(now + session.expirySeconds * 1_000);
    if (discardWill) session.will = undefined;
    const { will, expirySeconds } = session;
    const isOver = expirySeconds === 0;
    if (will !== undefined && (isOver || will.delaySeconds === 0)) await this.#publishOf(kept);
    else if (will !== undefined) {
      const delay = Math.min(will.delaySeconds, expirySeconds) * 1_000;
      cancels.push(this.#clock.after(delay, () => void this.#publishOf(kept)));
    }
    if (isOver) this.#forget(kept);
    else cancels.push(this.#clock.after(expirySeconds * 1_000, () => this.#forget(kept)));
  }

  async #publishOf({ session }: Kept): Promise<void> {
    const { will } = session;
    if (will === undefined) return;
    session.will = undefined;
    await this.#publish(published(session, will));
  }

  async #endAsked({ key, generation, discardWill }: EndSessionRequest): Promise<void> {
    if (key === undefined) throw new PushfleetError('request_invalid', 'No key.');
    const kept = generation === undefined ? this.#records.get(nameOf(key)) : this.#owned(key, generation);
    if (kept === undefined) return;
    const { owner } = kept.session;
    for (const cancel of kept.cancels) cancel();
    if (discardWill) kept.session.will = undefined;
    this.#forget(kept);
    await this.#publishOf(kept);
    if (generation === undefined && owner !== undefined)
      await this.#ask(owner.instanceId, key, ++this.#revision);
  }

  #forget({ session }: Kept): void {
    const key = session.key as SessionKey;
    const name = nameOf(key);
    for (const filter of session.filters) this.#leave(key, filter);
    if (this.#records.get(name)?.session !== session) return;
    this.#records.delete(name);
    this.#hot.delete(name);
  }
}

function stateOf(hot: Hot | undefined): SessionState | undefined {
  if (hot?.committed !== true) return undefined;
  const copies = Array.from(hot.fields, ([name, value]) => [name, Buffer.from(value)] as const);
  return { cursor: hot.cursor, fields: Object.fromEntries(copies) };
}

const published = (session: Session, will: Will): PublishedWill => ({
  key: session.key as SessionKey,
  will,
  incarnation: session.incarnation,
  generation: session.generation,
});

const groupName = (
  { namespace, protocol }: SessionKey,
  { group, filter }: { group: string; filter: string },
) => `${namespace} ${protocol} ${group} ${filter}`;

function keyOf({ key }: { readonly key: SessionKey | undefined }): SessionKey {
  if (key === undefined) throw new PushfleetError('request_invalid', 'No key.');
  return key;
}

/** A structured clone has plain arrays of bytes where there were buffers. */
const bufferEach = (values: Readonly<Record<string, Uint8Array>>): Record<string, Buffer> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Buffer.from(value)]));

const withBuffers = (commit: SessionCommit): SessionCommit => ({
  ...commit,
  putFields: bufferEach(commit.putFields),
});

const withSessionBuffers = (session: Session): Session => ({
  ...session,
  filters: session.filters.map((filter) => ({ ...filter, options: Buffer.from(filter.options) })),
  ...(session.will !== undefined && {
    will: { ...session.will, payload: Buffer.from(session.will.payload) },
  }),
  attributes: bufferEach(session.attributes),
});
