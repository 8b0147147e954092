// What the tests of the desk share: a desk over a registry that does as it is told, on a clock of the test's.
import assert from 'node:assert/strict';
import { createMemoryBackbone } from '@pushfleet/bus';
import { SimulatedClock } from '@pushfleet/contract/simulation';
import { type Namespace, PushfleetError } from '@pushfleet/core';
import { type SessionCommit, SessionCommitOutcome } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { Desk } from './desk.ts';
import type { Loss, SessionClaim, SessionKeeper } from './owned.ts';
import { type Mishap, type TestCall, TestRegistry, type TestRegistryOptions } from './testing-registry.ts';

export const key = (id: string) => ({ namespace: 'n', protocol: 'mqtt', id });
export const claimOf = (id: string, over: Partial<SessionClaim> = {}): SessionClaim => ({
  ...{ namespace: 'n' as Namespace, id, subject: 'ann', clean: false, expirySeconds: 60 },
  ...over,
});
export const will = {
  ...{ topic: 'w', payload: Buffer.from('gone'), contentType: 'text/plain', attributes: [], retain: false },
  ...{ delaySeconds: 0, lifetimeSeconds: 0, source: 's', type: '', origin: '', right: undefined },
};

/** Keeps one number, and what it was asked and told. */
export class Keeper implements SessionKeeper {
  value = 0;
  readonly asked: boolean[] = [];
  readonly lost: string[] = [];
  #told = -1;

  state(whole: boolean): ReturnType<SessionKeeper['state']> {
    this.asked.push(whole);
    const isTold = !whole && this.#told === this.value;
    this.#told = this.value;
    return { cursor: undefined, fields: isTold ? {} : { value: Buffer.from(`${this.value}`) } };
  }

  onLost(reason: Loss): void {
    this.lost.push(reason);
  }
}

interface OpenOptions extends Omit<TestRegistryOptions, 'clock' | 'signals' | 'onCall'> {
  readonly onCall?: (call: TestCall, now: number) => Mishap | undefined;
  readonly patienceMs?: number;
}

export function open({ onCall, patienceMs = 10_000, ...rest }: OpenOptions = {}) {
  const clock = new SimulatedClock();
  const backbone = createMemoryBackbone({ clock });
  const begun = clock.now();
  const calls: TestCall[] = [];
  const commits: SessionCommit[] = [];
  const registry = new TestRegistry({
    ...{ clock, signals: backbone.signals, ...rest },
    onCall: (call) => {
      calls.push(call);
      return onCall?.(call, clock.now() - begun);
    },
    onCommit: (commit) => {
      commits.push(commit);
      return rest.onCommit?.(commit);
    },
  });
  const desks = new Map<string, Desk>();
  const desk = (instance = 'a'): Desk => {
    const there = desks.get(instance);
    if (there !== undefined) return there;
    const made = new Desk({
      ...{ protocol: 'mqtt', instance, calls: registry.calls(instance), signals: backbone.signals },
      ...{ patienceMs, clock, random: () => 0.5, behind: queueMicrotask },
      log: { warn: () => {}, info: () => {} },
    });
    made.start();
    desks.set(instance, made);
    return made;
  };
  const committed = () => calls.filter(({ name }) => name === 'commit');
  /** What has become of it by now. */
  const watch = <T>(promise: Promise<T>) => {
    const seen: { value?: T; error?: PushfleetError; settled: boolean } = { settled: false };
    promise.then(
      (value) => Object.assign(seen, { value, settled: true }),
      (error: PushfleetError) => Object.assign(seen, { error, settled: true }),
    );
    return seen;
  };
  const done = async <T>(promise: Promise<T>, ms = 60_000): Promise<T> => {
    const seen = watch(promise);
    for (let at = 0; at < ms && !seen.settled; at += 10) await clock.advance(10);
    assert.ok(seen.settled, `still waiting after ${ms} ms`);
    if (seen.error !== undefined) throw seen.error;
    return seen.value as T;
  };
  const hold = async (id: string, instance?: string, over?: Partial<SessionClaim>) => {
    const keeper = new Keeper();
    const owned = await done(desk(instance).acquire(claimOf(id, over), keeper));
    return { keeper, owned };
  };
  const storedOf = (id: string): string | undefined => registry.state(key(id))?.fields.value?.toString();
  return { clock, registry, backbone, desk, calls, commits, committed, watch, done, hold, storedOf };
}

export const away = () => new PushfleetError('unavailable', 'It is away.');
export const late = () => new PushfleetError('timeout', 'It was late.');
export const codeOf = (code: string) => (error: unknown) =>
  error instanceof PushfleetError && error.code === code;

export const outcomes = { UNAVAILABLE: SessionCommitOutcome.SESSION_COMMIT_OUTCOME_UNAVAILABLE };

export function slow(ms: number) {
  return ({ name }: TestCall): Mishap | undefined =>
    name === 'commit' || name === 'release' ? { afterMs: ms } : undefined;
}
