import type { Clock } from '../clock.ts';
import { type Appointment, type Queue, type QueueEntry, queueSlots, type Taken } from '../queue.ts';
import {
  checkAppointment,
  checkEntry,
  checkKey,
  checkMost,
  checkSlot,
  lapseMsOf,
  type QueueTerms,
  queueTerms,
} from '../queue-rules.ts';
import type { MemoryLog } from './log.ts';
import { type Owner, Slot } from './queue-slot.ts';
import type { MemorySource } from './source.ts';

const duplicateWindowMs = 120_000;
/** Timers of Node count 31 bits. */
const longestTimerMs = 2_147_483_647;

/** What the broker would hold of a queue; each process reaches it through a `MemoryQueue` of its own. */
export class QueueStore {
  readonly slots: readonly Slot[];
  readonly lapseMs: number;
  readonly #log: MemoryLog;
  readonly #clock: Clock;
  /** Ids and until when each is remembered, the oldest first. */
  readonly #ids = new Map<string, number>();
  /** Of each slot, by key: how to call the appointment off. */
  readonly #appointments: readonly Map<string, () => void>[];

  constructor(log: MemoryLog, clock: Clock, terms: Partial<QueueTerms> = {}) {
    this.#log = log;
    this.#clock = clock;
    const all = { ...queueTerms, ...terms };
    this.lapseMs = lapseMsOf(all);
    this.slots = Array.from({ length: queueSlots }, () => new Slot(clock, all));
    this.#appointments = this.slots.map(() => new Map());
  }

  /** @throws PushfleetError where the log takes nothing */
  put({ slot, id, body }: QueueEntry): void {
    if (this.#log.refusal !== undefined) throw this.#log.refusal;
    const now = this.#clock.now();
    for (const [old, until] of this.#ids) {
      if (until > now) break;
      this.#ids.delete(old);
    }
    if (this.#ids.has(id)) return;
    this.#ids.set(id, now + duplicateWindowMs);
    this.slots[slot]?.add(body);
  }

  /** @throws PushfleetError where the log takes nothing */
  later(appointment: Appointment): void {
    if (this.#log.refusal !== undefined) throw this.#log.refusal;
    this.#arrange(appointment);
  }

  #arrange(appointment: Appointment): void {
    const { slot, key, at, body } = appointment;
    this.#appointments[slot]?.get(key)?.();
    const ms = Math.min(Math.max(0, at - this.#clock.now()), longestTimerMs);
    const cancel = this.#clock.after(ms, () => {
      if (this.#clock.now() < at) return this.#arrange(appointment); // timers of the machine may run early
      this.#appointments[slot]?.delete(key);
      this.slots[slot]?.add(body);
    });
    this.#appointments[slot]?.set(key, cancel);
  }

  cancel(slot: number, key: string): void {
    for (const [kept, cancel] of this.#below(slot, key)) {
      cancel();
      this.#appointments[slot]?.delete(kept);
    }
  }

  count(slot: number, key: string): number {
    return this.#below(slot, key).length;
  }

  #below(slot: number, key: string): [string, () => void][] {
    const kept = [...(this.#appointments[slot] ?? [])];
    return kept.filter(([other]) => other === key || other.startsWith(`${key}/`));
  }
}

/** A queue as one process reaches it, through a connection that can be cut. */
export class MemoryQueue implements Queue {
  readonly lapseMs: number;
  readonly #store: QueueStore;
  readonly #source: MemorySource;
  readonly #owned = new Map<Owner, Slot>();
  #closed = false;

  constructor(store: QueueStore, source: MemorySource) {
    this.#store = store;
    this.lapseMs = store.lapseMs;
    this.#source = source;
    source.onSuspicion(({ kind }) => {
      if (kind === 'connection_lost') this.#miss();
    });
    source.onReturn(() => {
      for (const [owner, slot] of this.#owned) slot.join(owner);
    });
  }

  async put(entries: readonly QueueEntry[]): Promise<void> {
    for (const entry of entries) checkEntry(entry);
    await this.#change(() => {
      for (const entry of entries) this.#store.put(entry);
    });
  }

  async later(appointments: readonly Appointment[]): Promise<void> {
    for (const appointment of appointments) checkAppointment(appointment);
    await this.#change(() => {
      for (const appointment of appointments) this.#store.later(appointment);
    });
  }

  async cancel(slot: number, key: string): Promise<void> {
    checkSlot(slot);
    checkKey(key);
    await this.#change(() => this.#store.cancel(slot, key));
  }

  async appointments(slot: number, key: string): Promise<number> {
    checkSlot(slot);
    checkKey(key);
    return this.#change(() => this.#store.count(slot, key));
  }

  async own(
    slot: number,
    most: number,
    on: (taken: Taken) => void,
    onLost: () => void = () => {},
  ): Promise<{ stop(): Promise<void> }> {
    checkSlot(slot);
    checkMost(most);
    const owner = { most, on, onLost, held: 0, reachable: () => !this.#closed && this.#source.reachable };
    const place = this.#store.slots[slot] as Slot;
    await this.#change(() => {
      this.#owned.set(owner, place);
      place.join(owner);
    });
    return {
      stop: async () => {
        this.#owned.delete(owner);
        place.leave(owner);
      },
    };
  }

  /** As the end of the process: what it has in hand comes back when its term ends, its slots pass on after a silence. */
  close(): void {
    this.#closed = true;
    this.#miss();
    this.#owned.clear();
  }

  #miss(): void {
    for (const [owner, slot] of this.#owned) slot.miss(owner);
  }

  /** What is done may be unknown to who asked for it: the connection can be lost before the answer. */
  async #change<T>(act: () => T): Promise<T> {
    const answer = this.#source.turn();
    try {
      return this.#source.reachable ? act() : (undefined as T);
    } finally {
      await answer;
    }
  }
}
