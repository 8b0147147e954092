import type { Cursor } from '@pushfleet/core';
import type { Fleet, Log } from '@pushfleet/runtime';
import type { Poll } from './poll.ts';
import type { SessionRecord } from './record.ts';

/** What an instance tells another that goes on with a session. */
export interface Handover {
  /** Where all subscriptions go on. */
  readonly cursor?: Cursor | undefined;
  /** Channels whose retained publications have not all arrived. */
  readonly owed?: readonly string[];
  readonly batch: number;
  /** Where the last answer led to, and what its connect's id was, where the next connect may prove it. */
  readonly to?: Cursor | undefined;
  readonly owedTo?: readonly string[];
  readonly id?: string | number | undefined;
}

export interface HandoversOptions {
  readonly fleet: Pick<Fleet, 'instance' | 'ask' | 'answer'>;
  readonly log: Pick<Log, 'debug'>;
  /** Another instance asks for a session; `keep` has its handover then, if it was here. */
  giveUp(key: string): Promise<void>;
  /** Another instance has a session, as its record has it from this revision on. */
  onTaken(key: string, revision: number): void;
}

/** The question that one instance asks the others before it goes on with a session. */
const question = 'bayeux';
/** What it tells them once it has it: one that gave no answer in time would go on, too, until it writes the record. */
const news = 'bayeux-taken';
/** How long the instance that has a session may take to give it up, in milliseconds. Past it, its record counts. */
const yieldMs = 500;
/** Handovers remembered of sessions that this instance gave up. */
const mostLeft = 10_000;

/** What instances tell each other of sessions that pass from one to another. */
export class Handovers {
  readonly #o: HandoversOptions;
  readonly #left = new Map<string, Handover>();

  constructor(options: HandoversOptions) {
    this.#o = options;
    options.fleet.answer(question, (asked) => this.#asked(asked));
    options.fleet.answer(news, (told) => this.#told(told));
  }

  /** A session has left this instance. */
  keep(key: string, handover: Handover): void {
    this.#left.set(key, handover);
    if (this.#left.size > mostLeft) this.#left.delete(this.#left.keys().next().value as string);
  }

  /**
   * Asks the instance that has it to give it up, even one that was not heard of: right after a start that says nothing,
   * and a connect that waits there would keep the client from here. Of one that has gone all others say at once that it
   * is not them.
   */
  async askFor(key: string, { by }: Pick<SessionRecord, 'by'>): Promise<Handover | undefined> {
    const { fleet } = this.#o;
    if (by === fleet.instance) return this.#left.get(key);
    if (by === '') return undefined;
    const answers = await fleet.ask<Handover>(question, { key, by }, yieldMs);
    return answers.find(({ from }) => from.instance === by)?.answer;
  }

  /** This instance has it now, by a record of this revision. */
  tell(key: string, revision: number): void {
    const { fleet, log } = this.#o;
    this.#left.delete(key);
    const told = { key, by: fleet.instance, revision };
    // Nobody has anything to say to it.
    fleet.ask(news, told, 1).catch((error: unknown) => log.debug({ err: error }, 'nobody was told'));
  }

  async #asked(asked: unknown): Promise<Handover | undefined> {
    const { key, by } = (asked ?? {}) as { key?: unknown; by?: unknown };
    if (typeof key !== 'string' || by !== this.#o.fleet.instance) return undefined;
    await this.#o.giveUp(key);
    return this.#left.get(key);
  }

  #told(told: unknown): undefined {
    const { key, by, revision } = (told ?? {}) as { key?: unknown; by?: unknown; revision?: unknown };
    if (typeof key !== 'string' || typeof revision !== 'number' || by === this.#o.fleet.instance) return;
    this.#o.onTaken(key, revision);
  }
}

export const placeOf = ({ cursor, batch }: Handover): Pick<SessionRecord, 'cursor' | 'batch'> => ({
  ...(cursor !== undefined && { cursor }),
  batch,
});

/** Where to go on: behind the last answer where the connect that brings the client here proves that it arrived. */
export function resumedAt(
  record: SessionRecord,
  handover: Handover | undefined,
  poll: Poll | undefined,
): SessionRecord {
  const batch = Math.max(handover?.batch ?? 0, record.batch);
  if (handover === undefined) return { ...record, batch };
  const { cursor = record.cursor, to = cursor, id } = handover;
  const arrived = record.ack
    ? (poll?.ack ?? -1) >= handover.batch
    : poll !== undefined && poll.id !== id && poll.timeout !== 0;
  const from = arrived ? to : cursor;
  const owed = (arrived && handover.owedTo) || handover.owed;
  const subscriptions = record.subscriptions.map(({ retained, ...one }) => ({
    ...one,
    ...(retained && owed?.includes(one.channel) !== false && { retained }),
  }));
  return { ...record, batch, subscriptions, ...(from !== undefined && { cursor: from }) };
}
