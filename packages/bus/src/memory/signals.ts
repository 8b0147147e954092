import type { Signals } from '@pushfleet/core';
import type { Clock } from '../clock.ts';
import { decodeSignal, encodeSignal } from '../signal.ts';

type Listener = (value: unknown) => unknown;

/** Who hears and who answers what, among the backbones of one log. */
export class Wire {
  readonly #listeners = new Map<string, Set<Listener>>();

  of(subject: string): readonly Listener[] {
    return [...(this.#listeners.get(subject) ?? [])];
  }

  add(subject: string, on: Listener): () => void {
    const listeners = this.#listeners.get(subject) ?? new Set();
    this.#listeners.set(subject, listeners.add(on));
    return () => listeners.delete(on);
  }
}

/** Signals within a process; values go through JSON as they do between processes. */
export class MemorySignals implements Signals {
  readonly #wire: Wire;
  readonly #clock: Clock;
  readonly #reachable: () => boolean;
  readonly #watchReturn: Signals['onReturn'];

  constructor(
    wire: Wire,
    clock: Clock,
    source: { readonly reachable: boolean; onReturn: Signals['onReturn'] },
  ) {
    this.#wire = wire;
    this.#clock = clock;
    this.#reachable = () => source.reachable;
    this.#watchReturn = (on) => source.onReturn(on);
  }

  tell(name: string, value: unknown): void {
    if (!this.#reachable()) return;
    for (const on of this.#wire.of(`tell ${name}`)) call(on, value).catch(() => {});
  }

  hear(name: string, on: (value: unknown) => void): () => void {
    return this.#wire.add(`tell ${name}`, on);
  }

  ask(name: string, question: unknown, waitMs: number, on: (answer: unknown) => boolean): Promise<void> {
    const listeners = this.#wire.of(`ask ${name}`);
    if (!this.#reachable() || listeners.length === 0) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(waitMs, resolve);
    let over = false;
    const hand = (answer: unknown) => {
      if (over || answer === undefined || !on(copied(answer))) return;
      over = true;
      resolve();
    };
    for (const listener of listeners) call(listener, question).then(hand).catch(reject);
    return promise.finally(() => {
      over = true;
      cancel();
    });
  }

  answer(name: string, on: (question: unknown) => unknown): () => void {
    return this.#wire.add(`ask ${name}`, on);
  }

  onReturn(on: () => void): () => void {
    return this.#watchReturn(on);
  }
}

/** Calls a listener later, as a network would; one that fails says nothing. Rejects where the value is none to tell. */
async function call(on: Listener, value: unknown): Promise<unknown> {
  const copy = copied(value);
  await Promise.resolve();
  try {
    return await on(copy);
  } catch {
    return undefined;
  }
}

const copied = (value: unknown): unknown => decodeSignal(encodeSignal(value))?.[0];
