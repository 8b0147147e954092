import { Gate } from '@pushfleet/core';
import type { Appointment, Queue, QueueEntry, Taken } from '../queue.ts';
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
import { queueScope, tokensFrom, toTokens } from '../subject.ts';
import { purge, type StreamView, streamInfo } from './api.ts';
import { Appender } from './appender.ts';
import type { Broker } from './broker.ts';
import { directCount } from './direct-get.ts';
import { headerLine } from './headers.ts';
import { storageFull } from './kept.ts';
import type { Log } from './log.ts';
import type { Parcel } from './parcel.ts';
import { Room } from './queue-room.ts';
import { SlotOwner } from './queue-slot.ts';
import { patiently } from './retry.ts';
import { queueStream } from './streams.ts';

const tickMs = 500;
/** Most changes of consumers, and most cancellations, under way at once. */
const openChanges = 16;
/** Headers and subject of what is stored, about, in bytes. */
const overhead = 256;

/**
 * A queue on a stream of its own. Entries of a slot are the messages of one subject, which one consumer hands out
 * and which are removed when they are done. An appointment is a message that the broker itself turns into an entry
 * at its time (message schedules, nats-server ADR-51), alone on its subject: a newer one replaces it.
 *
 *   pf.queue.<name>.now.<slot>                             entries
 *   pf.queue.<name>.later.<slot>.<levels of the key>.%%    appointments
 */
export class JetStreamQueue implements Queue {
  readonly #broker: Broker;
  readonly #log: Log;
  readonly #stream: string;
  readonly #scope: string;
  readonly #terms: QueueTerms;
  readonly lapseMs: number;
  readonly #appender: Appender;
  readonly #room: Room;
  readonly #gate = new Gate(openChanges);
  readonly #owners = new Set<SlotOwner>();
  /** What owners said while the connection was away. */
  readonly #unsaid: [reply: string, verdict: string][] = [];
  readonly #idPrefix = `~${crypto.randomUUID().slice(0, 8)}`;
  #ids = 0;
  #view: StreamView | undefined;
  #wheel: NodeJS.Timeout | undefined;

  constructor(broker: Broker, log: Log, name: string, terms: Partial<QueueTerms> = {}) {
    this.#broker = broker;
    this.#log = log;
    this.#stream = queueStream(name);
    this.#scope = queueScope(name);
    this.#terms = { ...queueTerms, ...terms };
    this.lapseMs = lapseMsOf(this.#terms);
    this.#appender = new Appender(broker.bulk);
    this.#room = new Room(
      () => this.#fill(),
      () => storageFull('deliveries'),
    );
    broker.bulk.watch((up) => {
      if (up) this.#resume();
    });
    broker.closing.addEventListener('abort', () => this.#close(), { once: true });
  }

  async put(entries: readonly QueueEntry[]): Promise<void> {
    for (const entry of entries) checkEntry(entry);
    await this.#store(
      entries.map(({ slot, id, body }) => ({
        subject: this.#now(slot),
        lines: headerLine('Nats-Msg-Id', id),
        payload: body,
      })),
    );
  }

  async later(appointments: readonly Appointment[]): Promise<void> {
    for (const appointment of appointments) checkAppointment(appointment);
    await this.#store(appointments.map((appointment) => this.#schedule(appointment)));
  }

  async cancel(slot: number, key: string): Promise<void> {
    checkSlot(slot);
    const filter = this.#from(slot, key);
    const act = () => purge(this.#broker.bulk, this.#stream, filter);
    await this.#gate.run(() => patiently(act));
  }

  async appointments(slot: number, key: string): Promise<number> {
    checkSlot(slot);
    const filter = this.#from(slot, key);
    return patiently(() => directCount(this.#broker.bulk, this.#stream, filter));
  }

  async own(
    slot: number,
    most: number,
    on: (taken: Taken) => void,
    onLost: () => void = () => {},
  ): Promise<{ stop(): Promise<void> }> {
    checkSlot(slot);
    checkMost(most);
    const place = {
      link: this.#broker.bulk,
      log: this.#log,
      stream: this.#stream,
      consumer: `slot-${slot}`,
      subject: this.#now(slot),
      terms: this.#terms,
      answer: (reply: string, verdict: string) => this.#answer(reply, verdict),
    };
    const owner = new SlotOwner(place, most, on, onLost);
    await this.#gate.run(() => patiently(() => owner.begin()));
    this.#owners.add(owner);
    this.#wheel ??= setInterval(() => this.#tick(), tickMs).unref();
    return {
      stop: () => {
        this.#owners.delete(owner);
        return owner.stop();
      },
    };
  }

  async #store(parcels: readonly Parcel[]): Promise<void> {
    if (parcels.length === 0) return;
    await this.#room.take(parcels.reduce((sum, { payload }) => sum + payload.length + overhead, 0));
    await this.#appender.append(parcels, this.#view?.duplicateWindowMs ?? 0);
  }

  #schedule({ slot, key, at, body }: Appointment): Parcel {
    // Its id lets a repetition after a lost answer take effect once, however late the first attempt arrives.
    const lines =
      headerLine('Nats-Schedule', `@at ${new Date(Math.ceil(at)).toISOString()}`) +
      headerLine('Nats-Schedule-Target', this.#now(slot)) +
      headerLine('Nats-Msg-Id', this.#idPrefix + (this.#ids++).toString(36));
    return { subject: `${this.#later(slot)}${toTokens(key)}`, lines, payload: body };
  }

  #now(slot: number): string {
    return `${this.#scope}now.${slot}`;
  }

  #later(slot: number): string {
    return `${this.#scope}later.${slot}.`;
  }

  #from(slot: number, key: string): string {
    checkKey(key);
    return this.#later(slot) + tokensFrom(key);
  }

  /** The queue has as much room as the log. */
  async #fill(): Promise<{ used: number; most: number }> {
    this.#view = await patiently(() => streamInfo(this.#broker.bulk, this.#stream));
    return { used: this.#view.bytes, most: this.#broker.terms?.maxBytes ?? Number.POSITIVE_INFINITY };
  }

  /** Said at once, or when the connection is back: what its answers tell the broker would be lost with it. */
  #answer(reply: string, verdict: string): void {
    const { bulk } = this.#broker;
    if (bulk.up) bulk.connection.publish(reply, verdict);
    else this.#unsaid.push([reply, verdict]);
  }

  #resume(): void {
    for (const [reply, verdict] of this.#unsaid.splice(0)) this.#answer(reply, verdict);
    for (const owner of this.#owners) owner.renewSupply();
  }

  #tick(): void {
    const now = Date.now();
    for (const owner of this.#owners) owner.tick(now);
    if (this.#owners.size > 0) return;
    clearInterval(this.#wheel);
    this.#wheel = undefined;
  }

  /** As the end of the process: what is in hand comes back when its term ends, slots pass on after a silence. */
  #close(): void {
    this.#appender.close();
    clearInterval(this.#wheel);
    this.#owners.clear();
  }
}
