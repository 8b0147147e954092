import { setTimeout as sleep } from 'node:timers/promises';
import { type Member, PushfleetError } from '@pushfleet/core';
import type { Log, PresenceCalls, PresenceEntry, PresenceKey } from '@pushfleet/runtime';
import type { PresenceLease } from './presence-lease.ts';

export interface DeskOptions {
  readonly calls: Pick<PresenceCalls, 'put' | 'leave' | 'end'>;
  readonly lease: Pick<PresenceLease, 'current' | 'lost'>;
  readonly log: Pick<Log, 'warn'>;
}

interface Waiter {
  /** By `performance.now()`. */
  readonly until: number;
  resolve(member: Member | undefined): void;
  reject(error: PushfleetError): void;
}

type Step = {
  readonly waiters: Waiter[];
  /** Nobody asked: it is entered again under another lease. */
  readonly again: boolean;
} & ({ readonly kind: 'put'; entry: PresenceEntry } | { readonly kind: 'leave'; readonly lingerMs: number });

interface Entered {
  readonly entry: PresenceEntry;
  readonly since: number;
  readonly until: number;
}

/** A member of this edge, from its first entry to its leave. */
interface Tracked {
  readonly key: PresenceKey;
  readonly name: string;
  connection: string;
  /** As the registry knows it, and until when by `performance.now()`; undefined until it has answered once. */
  entered: Entered | undefined;
  /** What is to be said, one after the other; the first may be on its way. */
  readonly steps: Step[];
}

/** What one call holds: members, and bytes of their state and names. */
const batchCount = 1_000;
const batchBytes = 1_048_576;
/** How long a caller waits for the registry, in milliseconds. */
const patienceMs = 5_000;
/** Steps of one member that may wait. */
const mostSteps = 8;
const retryMs = 200;
const sweepMs = 1_000;

const passing: readonly string[] = ['unavailable', 'timeout', 'draining', 'rate_limited', 'internal'];

export const nameOf = ({ namespace, topic, subject, client }: PresenceKey): string =>
  JSON.stringify([namespace, topic, subject, client]);

/**
 * The members of this edge, and what the registry is still to be told of them: with one call under way, each member's
 * own steps in order, and what comes in one turn together.
 */
export class PresenceDesk {
  readonly #o: DeskOptions;
  readonly #members = new Map<string, Tracked>();
  readonly #connections = new Map<string, Set<Tracked>>();
  /** Those with steps. */
  readonly #dirty = new Set<Tracked>();
  /** Leases that end once everybody has been entered under the current one. */
  #former: string[] = [];
  /** Those that leave by themselves. */
  readonly #fleeting = new Set<Tracked>();
  readonly #sweeper: NodeJS.Timeout;
  #lease: string | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: DeskOptions) {
    this.#o = options;
    this.#sweeper = setInterval(() => this.#sweep(), sweepMs).unref();
  }

  get size(): number {
    return this.#members.size;
  }

  /** How many topics a connection is on. */
  countOf(connection: string): number {
    return this.#connections.get(connection)?.size ?? 0;
  }

  /** A member that entered by this connection, as it is to be. */
  find(key: PresenceKey, connection: string): PresenceEntry | undefined {
    const found = this.#members.get(nameOf(key));
    if (found?.connection !== connection) return undefined;
    const last = found.steps.at(-1);
    if (last === undefined) return found.entered?.entry;
    return last.kind === 'put' ? last.entry : undefined;
  }

  /** @throws PushfleetError what the registry says, `unavailable` without it, `rate_limited`, `draining` */
  async put(entry: PresenceEntry, connection: string): Promise<Member> {
    const tracked = this.#track(entry, connection);
    const last = tracked.steps.at(-1);
    // The one that is on its way stays as it is.
    if (last?.kind === 'put' && tracked.steps.length > 1) {
      last.entry = entry;
      return (await this.#wait(tracked, last)) as Member;
    }
    return (await this.#wait(tracked, { kind: 'put', entry, waiters: [], again: false })) as Member;
  }

  /** @throws PushfleetError as `put` */
  async leave(key: PresenceKey, connection: string): Promise<void> {
    const tracked = this.#members.get(nameOf(key));
    if (tracked?.connection !== connection) return;
    const last = tracked.steps.at(-1);
    const step: Step =
      last?.kind === 'leave' ? last : { kind: 'leave', lingerMs: 0, waiters: [], again: false };
    await this.#wait(tracked, step);
  }

  leaveAll(connection: string, lingerMs: number): void {
    for (const tracked of this.#connections.get(connection) ?? []) {
      if (tracked.steps.at(-1)?.kind === 'leave') continue;
      tracked.steps.push({ kind: 'leave', lingerMs, waiters: [], again: false });
      this.#wake(tracked);
    }
  }

  /** To be called when there is another lease. */
  wake(): void {
    this.#running ??= this.#run();
  }

  /** Lets all members linger, says what is still to be said until `deadline`, and ends the lease. */
  async close(lingerMs: number, deadline: AbortSignal): Promise<void> {
    for (const connection of this.#connections.keys()) this.leaveAll(connection, lingerMs);
    const gone = new Promise<void>((resolve) => {
      deadline.addEventListener('abort', () => resolve(), { once: true });
    });
    this.wake();
    await Promise.race([this.#running, gone]);
    this.#closed = true;
    clearInterval(this.#sweeper);
    const lease = this.#o.lease.current;
    if (lease !== undefined && !deadline.aborted) await this.#o.calls.end(lease).catch(() => {});
    for (const tracked of this.#dirty) this.#refuse(tracked, shutDown());
  }

  #track(key: PresenceKey, connection: string): Tracked {
    const name = nameOf(key);
    let tracked = this.#members.get(name);
    if (tracked === undefined) {
      const { namespace, topic, subject, client } = key;
      tracked = {
        key: { namespace, topic, subject, client },
        name,
        connection,
        entered: undefined,
        steps: [],
      };
      this.#members.set(name, tracked);
    } else if (tracked.connection !== connection) {
      this.#unlink(tracked);
      tracked.connection = connection;
    }
    const own = this.#connections.get(connection) ?? new Set();
    this.#connections.set(connection, own.add(tracked));
    return tracked;
  }

  #unlink(tracked: Tracked): void {
    const own = this.#connections.get(tracked.connection);
    own?.delete(tracked);
    if (own?.size === 0) this.#connections.delete(tracked.connection);
  }

  #wait(tracked: Tracked, step: Step): Promise<Member | undefined> {
    if (this.#closed) return Promise.reject(shutDown());
    if (!tracked.steps.includes(step)) {
      if (tracked.steps.length >= mostSteps) return Promise.reject(tooFast());
      tracked.steps.push(step);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Member | undefined>();
    step.waiters.push({ until: performance.now() + patienceMs, resolve, reject });
    this.#wake(tracked);
    return promise;
  }

  #wake(tracked: Tracked): void {
    this.#dirty.add(tracked);
    this.wake();
  }

  async #run(): Promise<void> {
    // What else comes in this turn travels with it.
    await new Promise((resolve) => setImmediate(resolve));
    while (!this.#closed && (this.#dirty.size > 0 || this.#moved())) {
      const lease = this.#o.lease.current;
      if (lease === undefined) {
        this.#giveUp();
        await sleep(retryMs / 4);
        continue;
      }
      if (this.#moved()) this.#moveTo(lease);
      const batch = this.#next();
      if (batch.length > 0 && !(await this.#send(lease, batch))) {
        this.#giveUp();
        await sleep(retryMs);
      }
      await this.#endFormer();
    }
    this.#running = undefined;
  }

  /** Whether there is another lease than members were entered under. */
  #moved(): boolean {
    const { current } = this.#o.lease;
    return current !== undefined && current !== this.#lease;
  }

  /** Whoever is there has to be entered again before anything else is said of it, so that its leave is heard of, too. */
  #moveTo(lease: string): void {
    if (this.#lease !== undefined) this.#former.push(this.#lease);
    this.#lease = lease;
    for (const tracked of this.#members.values()) {
      const { entered, steps } = tracked;
      if (entered === undefined || steps[0]?.again === true) continue;
      steps.unshift({
        kind: 'put',
        entry: { ...entered.entry, since: entered.since },
        waiters: [],
        again: true,
      });
      this.#dirty.add(tracked);
    }
  }

  async #endFormer(): Promise<void> {
    if (this.#former.length === 0) return;
    for (const tracked of this.#dirty) if (tracked.steps[0]?.again === true) return;
    const former = this.#former;
    this.#former = [];
    // What the registry does not hear ends by itself.
    await Promise.all(former.map((lease) => this.#o.calls.end(lease).catch(() => {})));
  }

  /** Members whose first steps are of one kind. */
  #next(): Tracked[] {
    const batch: Tracked[] = [];
    let bytes = 0;
    let kind: number | undefined;
    for (const tracked of this.#dirty) {
      const [step] = tracked.steps as [Step];
      const wanted = step.kind === 'put' ? -1 : step.lingerMs;
      kind ??= wanted;
      if (wanted !== kind) continue;
      bytes += 4 * tracked.name.length + (step.kind === 'put' ? step.entry.state.length : 0);
      if (batch.length > 0 && bytes > batchBytes) break;
      if (batch.push(tracked) === batchCount) break;
    }
    return batch;
  }

  /** Says whether the registry answered. */
  async #send(lease: string, batch: readonly Tracked[]): Promise<boolean> {
    try {
      await this.#call(lease, batch);
      return true;
    } catch (thrown) {
      const error = PushfleetError.from(thrown);
      if (error.code === 'precondition_failed') {
        this.#o.lease.lost(lease);
        return true;
      }
      if (passing.includes(error.code)) return false;
      if (batch.length === 1) {
        this.#o.log.warn({ err: error }, 'the registry refuses a member');
        this.#refuse(batch[0] as Tracked, error);
        return true;
      }
      // One of them is at fault: the others are not to suffer for it.
      for (const one of batch) await this.#send(lease, [one]);
      return true;
    }
  }

  async #call(lease: string, batch: readonly Tracked[]): Promise<void> {
    const steps = batch.map(({ steps: [first] }) => first as Step);
    const [{ kind, ...first }] = steps as [Step];
    if (kind === 'put') {
      const entries = steps.map((step) => (step as Step & { kind: 'put' }).entry);
      const answers = await this.#o.calls.put(lease, entries);
      for (const [index, answer] of answers.entries()) {
        const [tracked, entry] = [batch[index] as Tracked, entries[index] as PresenceEntry];
        if (answer instanceof PushfleetError) this.#refuse(tracked, answer);
        else this.#done(tracked, answer, enteredOf(entry, answer));
      }
    } else {
      const { lingerMs } = first as { readonly lingerMs: number };
      await this.#o.calls.leave(
        lease,
        batch.map(({ key }) => key),
        lingerMs,
      );
      for (const tracked of batch) this.#done(tracked, undefined, undefined);
    }
  }

  /** The registry has done the first step of a member. */
  #done(tracked: Tracked, member: Member | undefined, entered: Tracked['entered']): void {
    const step = tracked.steps.shift();
    tracked.entered = entered;
    if (entered !== undefined && entered.until !== Number.POSITIVE_INFINITY) this.#fleeting.add(tracked);
    for (const { resolve } of step?.waiters ?? []) resolve(member);
    this.#settle(tracked);
  }

  /** The first step of a member fails for good; it stays as it was. */
  #refuse(tracked: Tracked, error: PushfleetError): void {
    const step = tracked.steps.shift();
    if (step?.again === true) {
      tracked.entered = undefined;
      this.#o.log.warn({ code: error.code, topic: tracked.key.topic }, 'a member could not be entered again');
    }
    for (const { reject } of step?.waiters ?? []) reject(error);
    this.#settle(tracked);
  }

  #settle(tracked: Tracked): void {
    if (tracked.steps.length > 0) return;
    this.#dirty.delete(tracked);
    if (tracked.entered !== undefined) return;
    this.#unlink(tracked);
    this.#fleeting.delete(tracked);
    this.#members.delete(tracked.name);
  }

  /** Forgets those that the registry has let go by itself. */
  #sweep(): void {
    const now = performance.now();
    for (const tracked of this.#fleeting) {
      const until = tracked.entered?.until ?? Number.POSITIVE_INFINITY;
      if (until === Number.POSITIVE_INFINITY) this.#fleeting.delete(tracked);
      if (until > now) continue;
      tracked.entered = undefined;
      this.#settle(tracked);
    }
  }

  /** Tells those who have waited for too long. What was asked may still have come to the registry: it is taken back. */
  #giveUp(): void {
    const now = performance.now();
    for (const tracked of this.#dirty) {
      const late = tracked.steps.filter(({ waiters }) => waiters.some(({ until }) => until <= now));
      for (const step of late) {
        for (const { reject } of step.waiters) reject(unreachable());
        step.waiters.length = 0;
        if (step.kind === 'put') this.#takeBack(tracked, step);
      }
    }
  }

  #takeBack(tracked: Tracked, step: Step): void {
    const { steps, entered } = tracked;
    const back: Step =
      entered === undefined
        ? { kind: 'leave', lingerMs: 0, waiters: [], again: false }
        : { kind: 'put', entry: entered.entry, waiters: [], again: false };
    // A leave that has to be heard of stays as it is.
    steps.splice(steps.indexOf(step), 1, back);
  }
}

function enteredOf(entry: PresenceEntry, { since }: Member): Entered {
  const until = entry.ttlMs > 0 ? performance.now() + entry.ttlMs : Number.POSITIVE_INFINITY;
  return { entry: { ...entry, since: 0 }, since, until };
}

const unreachable = () =>
  new PushfleetError(
    'unavailable',
    'The registry, which knows who is present, is out of reach; try again shortly.',
    {
      retryAfterMs: 1_000,
    },
  );
const shutDown = () =>
  new PushfleetError('draining', 'This instance is shutting down; come back by another.');
const tooFast = () =>
  new PushfleetError(
    'rate_limited',
    'A member enters and leaves faster than it can be told; wait for the answers.',
    {
      retryAfterMs: 1_000,
    },
  );
