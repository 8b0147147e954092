import { type Clock, systemClock } from '@pushfleet/bus';
import { PushfleetError, type Signals } from '@pushfleet/core';
import type { AcquireSessionResponse, SessionKey } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import type { Log, Metrics, SessionCalls } from '@pushfleet/runtime';
import { backoffMs } from './backoff.ts';
import { Committer } from './committer.ts';
import { Holding } from './holding.ts';
import type { Loss, OwnedSession, SessionClaim, SessionDesk, SessionKeeper } from './owned.ts';
import { Owning } from './owning.ts';
import { CommitMetrics } from './session-metrics.ts';
import { Strays } from './strays.ts';

export interface DeskOptions {
  /** The protocol whose sessions these are: `mqtt`. */
  readonly protocol: string;
  /** This instance, under the name by which the fleet hears of it. */
  readonly instance: string;
  readonly calls: SessionCalls;
  readonly signals: Pick<Signals, 'answer' | 'onReturn'>;
  /** How long who asks for a commit or an update waits for the registry, in milliseconds. */
  readonly patienceMs: number;
  readonly log: Pick<Log, 'warn' | 'info'>;
  readonly metrics?: Pick<Metrics, 'gauge' | 'total' | 'histogram'>;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Runs what is to come behind all that happens in this turn. */
  readonly behind?: (run: () => void) => void;
}

/** An acquisition under way. */
interface Arrival {
  count: number;
  /** Whoever acquires it under an earlier generation has lost it already. */
  over: bigint;
  /** Settles when the last of them is answered: one that is held up is not to displace one that came after it. */
  last: Promise<unknown>;
}

/** What commits nobody waits for are held back for, in milliseconds. */
const tickMs = 500;
/** Without a turn for so long, in milliseconds, this instance may have been taken for dead. */
const stallMs = 5_000;
/** Instances that come back together do not ask the registry in the same moment, in milliseconds. */
const spreadMs = 1_000;

const ambiguous: readonly string[] = ['unavailable', 'timeout', 'internal'];

/** The sessions of one protocol that this instance holds. `start` it before the first is acquired. */
export class Desk implements SessionDesk {
  readonly #o: DeskOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #committer: Committer;
  readonly #strays: Strays;
  readonly #held = new Map<string, Owning>();
  readonly #arrivals = new Map<string, Arrival>();
  #stops: (() => void)[] = [];
  #tickedAt = 0;
  #cancelTick = (): void => {};
  #cancelCheck: (() => void) | undefined;
  #closed = false;

  constructor(options: DeskOptions) {
    const { calls, log, patienceMs, instance } = options;
    this.#o = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#committer = new Committer({
      ...{ calls, log, patienceMs },
      ...{ clock: this.#clock, random: this.#random },
      behind: options.behind ?? setImmediate,
      metrics: new CommitMetrics(options.metrics),
      onOver: ({ key, generation }, reason) => this.#lose(key, generation, reason),
      onReturn: () => this.checkAll(),
    });
    this.#strays = new Strays({
      ...{ calls, instance },
      now: () => this.#clock.now(),
      isKnown: (key, generation) => this.#isKnown(key, generation),
    });
    options.metrics?.gauge(
      'pushfleet_sessions_held',
      { description: 'Sessions of the registry that connections of this instance have.' },
      () => this.#held.size,
    );
  }

  get size(): number {
    return this.#held.size;
  }

  start(): void {
    const { signals, instance } = this.#o;
    this.#stops.push(
      signals.answer(`sessions.${instance}`, (question) => this.#asked(question)),
      signals.onReturn(() => this.checkAll()),
    );
    this.#tickedAt = this.#clock.now();
    this.#tickLater();
  }

  async acquire(claim: SessionClaim, keeper: SessionKeeper): Promise<OwnedSession> {
    if (this.#closed) throw shutDown();
    const { namespace, id, subject, clean, mustExist = false, expirySeconds, will } = claim;
    const key = { namespace, protocol: this.#o.protocol, id };
    const { instance: instanceId, calls } = this.#o;
    const arrival = this.#expect(key);
    try {
      const asked = { key, instanceId, subject, clean, mustExist, expirySeconds };
      const before = arrival.last;
      const answering = before.then(() => calls.acquire({ ...asked, ...(will !== undefined && { will }) }));
      arrival.last = answering.catch(() => {});
      const answer = await answering;
      return this.#own(key, answer, keeper, arrival);
    } catch (thrown) {
      const error = PushfleetError.from(thrown);
      if (ambiguous.includes(error.code)) this.#strays.add(key);
      throw error;
    } finally {
      if (--arrival.count === 0) this.#arrivals.delete(nameOf(key));
    }
  }

  /** Asks the registry whether all that is held here still is, shortly. */
  checkAll(): void {
    if (this.#cancelCheck !== undefined || this.#closed) return;
    this.#cancelCheck = this.#clock.after(this.#random() * spreadMs, () => {
      this.#cancelCheck = undefined;
      for (const { holding } of this.#held.values()) this.#committer.check(holding);
    });
  }

  /**
   * Has what is to be committed committed and what is being released released, until the signal aborts. What is
   * held then stays this instance's until the fleet hears of its end.
   */
  async close(deadline: AbortSignal): Promise<void> {
    if (this.#closed) return;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    deadline.addEventListener('abort', () => resolve(), { once: true });
    const ends = Array.from(this.#held.values(), (owning) => {
      if (owning.left !== undefined) return owning.left;
      return owning.holding.isUnsettled ? owning.commit() : undefined;
    });
    await Promise.race([Promise.allSettled(ends), late]);
    this.#closed = true;
    for (const stop of this.#stops) stop();
    this.#cancelTick();
    this.#cancelCheck?.();
    this.#committer.close();
    for (const { holding } of this.#held.values()) holding.finish(shutDown());
    this.#held.clear();
  }

  #expect(key: SessionKey): Arrival {
    const name = nameOf(key);
    const arrival = this.#arrivals.get(name) ?? { count: 0, over: 0n, last: Promise.resolve() };
    arrival.count++;
    this.#arrivals.set(name, arrival);
    return arrival;
  }

  #own(
    key: SessionKey,
    answer: AcquireSessionResponse,
    keeper: SessionKeeper,
    { over }: Arrival,
  ): OwnedSession {
    const { session } = answer;
    if (session === undefined)
      throw new PushfleetError('internal', 'The registry answers without a session.');
    if (this.#closed) throw shutDown();
    const { generation } = session;
    const name = nameOf(key);
    const before = this.#held.get(name);
    if (over > generation || (before !== undefined && before.holding.generation > generation)) throw taken();
    if (before !== undefined) this.#lose(key, before.holding.generation, 'taken');
    const owning: Owning = new Owning(answer, session, {
      ...{ calls: this.#o.calls, committer: this.#committer, patienceMs: this.#o.patienceMs },
      holding: new Holding(key, generation, keeper),
      pause: (failures) => this.#pause(failures),
      now: () => this.#clock.now(),
      onFenced: () => this.#lose(key, generation, 'taken'),
      onGone: () => this.#held.get(name) === owning && this.#held.delete(name),
    });
    this.#held.set(name, owning);
    return owning;
  }

  /** Waits before another try; rejects once there is none. */
  async #pause(failures: number): Promise<void> {
    const waitMs = backoffMs(failures, this.#random);
    await new Promise<void>((resolve) => this.#clock.after(waitMs, resolve));
    if (this.#closed) throw shutDown();
  }

  #asked(question: unknown): true | undefined {
    const asked = readQuestion(question);
    if (asked === undefined || asked.key.protocol !== this.#o.protocol) return undefined;
    const { key, generation } = asked;
    const arrival = this.#arrivals.get(nameOf(key));
    if (arrival !== undefined && arrival.over < generation) arrival.over = generation;
    const held = this.#held.get(nameOf(key))?.holding.generation;
    if (held !== undefined && held < generation) this.#lose(key, held, asked.reason);
    return true;
  }

  #lose(key: SessionKey, generation: bigint, reason: Loss): void {
    const name = nameOf(key);
    const owning = this.#held.get(name);
    if (owning?.holding.generation !== generation) return;
    this.#held.delete(name);
    const wasHeld = owning.holding.over === undefined;
    owning.holding.finish(told[reason]());
    if (owning.left !== undefined || !wasHeld) return;
    try {
      owning.holding.keeper.onLost(reason);
    } catch (err) {
      this.#o.log.warn({ err }, 'the connection of a session that was lost cannot be told');
    }
  }

  #isKnown(key: SessionKey, generation: bigint): boolean {
    const name = nameOf(key);
    return this.#arrivals.has(name) || (this.#held.get(name)?.holding.generation ?? 0n) >= generation;
  }

  #tickLater(): void {
    this.#cancelTick = this.#clock.after(tickMs, () => this.#tick());
  }

  #tick(): void {
    const now = this.#clock.now();
    if (now - this.#tickedAt > stallMs) this.checkAll();
    this.#tickedAt = now;
    this.#committer.tick();
    this.#strays.tick();
    this.#tickLater();
  }
}

const nameOf = ({ namespace, id }: SessionKey): string => `${namespace} ${id}`;

/** What the registry asks of an instance whose session another has acquired. */
function readQuestion(
  question: unknown,
): { readonly key: SessionKey; readonly generation: bigint; readonly reason: Loss } | undefined {
  if (typeof question !== 'object' || question === null) return undefined;
  const { namespace, protocol, id, generation, ended } = question as Record<string, unknown>;
  if (typeof namespace !== 'string' || typeof protocol !== 'string' || typeof id !== 'string')
    return undefined;
  if (typeof generation !== 'string' || !/^\d{1,20}$/.test(generation)) return undefined;
  const reason = ended === true ? 'ended' : 'taken';
  return { key: { namespace, protocol, id }, generation: BigInt(generation), reason };
}

const taken = (): PushfleetError =>
  new PushfleetError('conflict', 'Another connection has taken the session over.');
const told: Readonly<Record<Loss, () => PushfleetError>> = {
  taken,
  ended: () => new PushfleetError('conflict', 'The session was ended.'),
  lapsed: () =>
    new PushfleetError('unavailable', 'The fleet had lost touch with this instance; come back.', {
      retryAfterMs: 1_000,
    }),
};
const shutDown = (): PushfleetError =>
  new PushfleetError('draining', 'This instance is shutting down; come back by another.');
