import { setTimeout as sleep } from 'node:timers/promises';
import { type Member, PushfleetError } from '@pushfleet/core';
import type { Log, PresenceCalls, PresenceEntry, PresenceKey } from '@pushfleet/runtime';
import {
  type Entered,
  enteredOf,
  leaving,
  PresenceBook,
  putting,
  type Step,
  type Tracked,
} from './presence-book.ts';
import type { PresenceLease } from './presence-lease.ts';

export interface DeskOptions {
  readonly calls: Pick<PresenceCalls, 'put' | 'leave' | 'end'>;
  readonly lease: Pick<PresenceLease, 'current' | 'lost'>;
  readonly log: Pick<Log, 'warn'>;
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

/**
 * The members of this edge, and what the registry is still to be told of them: with one call under way, each member's
 * own steps in order, and what comes in one turn together.
 */
export class PresenceDesk {
  readonly #o: DeskOptions;
  readonly #book = new PresenceBook();
  /** Leases that end once everybody has been entered under the current one. */
  #former: string[] = [];
  readonly #sweeper: NodeJS.Timeout;
  #lease: string | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: DeskOptions) {
    this.#o = options;
    this.#sweeper = setInterval(() => this.#book.sweep(), sweepMs).unref();
  }

  get size(): number {
    return this.#book.size;
  }

  /** How many topics a connection is on. */
  countOf(connection: string): number {
    return this.#book.of(connection).size;
  }

  /** A member that entered by this connection, as it is to be. */
  find(key: PresenceKey, connection: string): PresenceEntry | undefined {
    const found = this.#book.find(key, connection);
    const last = found?.steps.at(-1);
    if (last === undefined) return found?.entered?.entry;
    return last.kind === 'put' ? last.entry : undefined;
  }

  /** @throws PushfleetError what the registry says, `unavailable` without it, `rate_limited`, `draining` */
  async put(entry: PresenceEntry, connection: string): Promise<Member> {
    const tracked = this.#book.track(entry, connection);
    const last = tracked.steps.at(-1);
    // The one that is on its way stays as it is.
    if (last?.kind === 'put' && tracked.steps.length > 1) {
      last.entry = entry;
      return (await this.#wait(tracked, last)) as Member;
    }
    return (await this.#wait(tracked, putting(entry))) as Member;
  }

  /** @throws PushfleetError as `put` */
  async leave(key: PresenceKey, connection: string): Promise<void> {
    const tracked = this.#book.find(key, connection);
    if (tracked === undefined) return;
    const last = tracked.steps.at(-1);
    const step = last?.kind === 'leave' ? last : leaving(0);
    await this.#wait(tracked, step);
  }

  leaveAll(connection: string, lingerMs: number): void {
    for (const tracked of this.#book.of(connection)) {
      if (tracked.steps.at(-1)?.kind === 'leave') continue;
      tracked.steps.push(leaving(lingerMs));
      this.#wake(tracked);
    }
  }

  /** To be called when there is another lease. */
  wake(): void {
    this.#running ??= this.#run();
  }

  /** Lets all members linger, says what is still to be said until `deadline`, and ends the lease. */
  async close(lingerMs: number, deadline: AbortSignal): Promise<void> {
    for (const connection of this.#book.connections()) this.leaveAll(connection, lingerMs);
    const gone = new Promise<void>((resolve) => {
      deadline.addEventListener('abort', () => resolve(), { once: true });
    });
    this.wake();
    await Promise.race([this.#running, gone]);
    this.#closed = true;
    clearInterval(this.#sweeper);
    const lease = this.#o.lease.current;
    if (lease !== undefined && !deadline.aborted) await this.#o.calls.end(lease).catch(() => {});
    for (const tracked of this.#book.dirty) this.#refuse(tracked, shutDown());
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
    this.#book.dirty.add(tracked);
    this.wake();
  }

  async #run(): Promise<void> {
    // What else comes in this turn travels with it.
    await new Promise((resolve) => setImmediate(resolve));
    while (!this.#closed && (this.#book.dirty.size > 0 || this.#moved())) {
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
    for (const tracked of this.#book.all()) {
      const { entered, steps } = tracked;
      if (entered === undefined || steps[0]?.again === true) continue;
      steps.unshift(putting({ ...entered.entry, since: entered.since }, true));
      this.#book.dirty.add(tracked);
    }
  }

  async #endFormer(): Promise<void> {
    if (this.#former.length === 0) return;
    for (const tracked of this.#book.dirty) if (tracked.steps[0]?.again === true) return;
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
    for (const tracked of this.#book.dirty) {
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
  #done(tracked: Tracked, member: Member | undefined, entered: Entered | undefined): void {
    const step = tracked.steps.shift();
    this.#book.enter(tracked, entered);
    for (const { resolve } of step?.waiters ?? []) resolve(member);
    this.#book.settle(tracked);
  }

  /** The first step of a member fails for good; it stays as it was. */
  #refuse(tracked: Tracked, error: PushfleetError): void {
    const step = tracked.steps.shift();
    if (step?.again === true) {
      this.#book.enter(tracked, undefined);
      this.#o.log.warn({ code: error.code, topic: tracked.key.topic }, 'a member could not be entered again');
    }
    for (const { reject } of step?.waiters ?? []) reject(error);
    this.#book.settle(tracked);
  }

  /** Tells those who have waited for too long. What was asked may still have come to the registry: it is taken back. */
  #giveUp(): void {
    const now = performance.now();
    for (const tracked of this.#book.dirty) {
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
    const back = entered === undefined ? leaving(0) : putting(entered.entry);
    steps.splice(steps.indexOf(step), 1, back);
  }
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
