import { randomUUID } from 'node:crypto';
import { type ConsumerMessages, DeliverPolicy, jetstream } from '@nats-io/jetstream';
import { Gate, PushfleetError, quote } from '@pushfleet/core';
import type { Ledger, LedgerEntry, LedgerReading } from '../ledger.ts';
import { fromTokens, subjectRoot, toTokens } from '../subject.ts';
import { type ApiFailure, apiError, leaderMessage, refusal, type StreamView, streamInfo } from './api.ts';
import { Block, BrokerLines, headerLine, ttlLine } from './headers.ts';
import { type Link, unavailable } from './link.ts';
import { patiently } from './retry.ts';
import { StreamReader } from './stream-reader.ts';
import { ledgerStream } from './streams.ts';

/** A deletion stays visible for a day, so that a watcher that was away hears of it. */
const tombstoneMs = 86_400_000;

/** A lost server with the consumer of a watcher is found after two of these. */
const heartbeatMs = 2_000;

interface Held {
  readonly value: Uint8Array;
  readonly revision: number;
  readonly deleted: boolean;
}

const dead = (lines: BrokerLines): boolean =>
  lines.get('Pf-Deleted') !== undefined || lines.get('Nats-Marker-Reason') !== undefined;

/** A ledger on a stream that keeps the last message of each subject. Reads ask the leader: a revision is never stale. */
export class JetStreamLedger implements Ledger {
  readonly #link: Link;
  readonly #stream: string;
  readonly #scope: string;

  constructor(link: Link, name: string) {
    this.#link = link;
    this.#stream = ledgerStream(name);
    this.#scope = `${subjectRoot}.ledger.${name}.`;
  }

  async get(key: string): Promise<{ value: Uint8Array; revision: number } | undefined> {
    const found = await this.#last(key);
    return found === undefined || found.deleted
      ? undefined
      : { value: found.value, revision: found.revision };
  }

  async put(
    key: string,
    value: Uint8Array,
    options: { ifRevision?: number; ttlMs?: number } = {},
  ): Promise<number> {
    const lines = options.ttlMs === undefined ? '' : ttlLine(options.ttlMs);
    return this.#write(key, value, lines, options.ifRevision);
  }

  async delete(key: string, options: { ifRevision?: number } = {}): Promise<void> {
    const lines = headerLine('Pf-Deleted', 1) + ttlLine(tombstoneMs);
    await this.#write(key, new Uint8Array(), lines, options.ifRevision);
  }

  async read(options: { after?: number } = {}): Promise<LedgerReading> {
    const { after = 0 } = options;
    const head = await patiently(() => streamInfo(this.#link, this.#stream));
    return { head: head.lastSequence, pages: this.#pages(head, after) };
  }

  async watch(
    on: (entry: LedgerEntry) => void,
    options: { prefix?: string; after?: number } = {},
  ): Promise<{ stop(): void }> {
    const { prefix = '', after } = options;
    const tell = (entry: LedgerEntry | undefined) => {
      if (entry?.key.startsWith(prefix)) on(entry);
    };
    const changes = await this.#changesAfter(after ?? (await this.#tellAll(tell)));
    void (async () => {
      for await (const message of changes) {
        const block = (message.headers as { encode?(): Uint8Array } | undefined)?.encode?.();
        tell(this.#entry(message.subject, block ?? new Uint8Array(), message.data, message.seq));
      }
    })();
    return { stop: () => changes.stop() };
  }

  /** Returns the revision behind which the changes are. */
  async #tellAll(tell: (entry: LedgerEntry) => void): Promise<number> {
    const { head, pages } = await this.read();
    for await (const page of pages) for (const entry of page) tell(entry);
    return head;
  }

  #entry(subject: string, block: Uint8Array, payload: Uint8Array, revision: number): LedgerEntry | undefined {
    const key = fromTokens(subject.slice(this.#scope.length));
    if (key === undefined) return undefined;
    return { key, value: dead(new BrokerLines(block)) ? undefined : payload, revision };
  }

  /** What is changed while this runs has moved behind the head, so each entry comes once. */
  async *#pages(head: StreamView, after: number): AsyncIterable<readonly LedgerEntry[]> {
    const reader = new StreamReader({
      link: this.#link,
      gate: new Gate(1),
      stream: this.#stream,
      // The stream holds nothing else; for any other filter the broker counts subjects at every page.
      filter: '>',
      after,
      until: head.lastSequence,
      replicated: head.replicas > 1,
      count: 500,
      bytes: 1_048_576,
    });
    for (let page = await reader.next(); page !== undefined; page = await reader.next()) {
      const entries = page.flatMap(({ subject, block, payload, sequence }) => {
        const entry = this.#entry(subject, block, payload, sequence);
        return entry === undefined || (after === 0 && entry.value === undefined) ? [] : [entry];
      });
      if (entries.length > 0) yield entries;
    }
  }

  /** nats.js makes such a consumer anew where it left off, whatever became of server and connection. */
  async #changesAfter(sequence: number): Promise<ConsumerMessages> {
    try {
      const options = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: sequence + 1 };
      const consumer = await jetstream(this.#link.connection).consumers.get(this.#stream, options);
      return await consumer.consume({ idle_heartbeat: heartbeatMs, max_messages: 500 });
    } catch (error) {
      throw unavailable('The log does not answer.', error);
    }
  }

  async #last(key: string): Promise<Held | undefined> {
    const question = { last_by_subj: this.#scope + toTokens(key) };
    const found = await patiently(() => leaderMessage(this.#link, this.#stream, question));
    if (found === undefined) return undefined;
    const deleted = dead(new BrokerLines(found.block));
    return { value: found.payload, revision: found.sequence, deleted };
  }

  async #write(key: string, value: Uint8Array, lines: string, ifRevision?: number): Promise<number> {
    const id = headerLine('Nats-Msg-Id', randomUUID()); // an answer that got lost must not make a second change
    const expecting = (revision: number) => headerLine('Nats-Expected-Last-Subject-Sequence', revision);
    const send = (condition: string) => patiently(() => this.#send(key, value, id + lines + condition));
    const first = await send(ifRevision === undefined ? '' : expecting(ifRevision));
    if (typeof first === 'number') return first;
    const held = await this.#last(key);
    // A deleted entry has a revision in the stream but none for the caller.
    const second = ifRevision === 0 && held?.deleted === true ? await send(expecting(held.revision)) : first;
    if (typeof second === 'number') return second;
    throw new PushfleetError(
      'conflict',
      `The entry ${quote(key)} is at revision ${held?.deleted === false ? held.revision : 0}, not ${ifRevision}; read it again.`,
    );
  }

  /** The revision, or what spoke against it. */
  async #send(key: string, value: Uint8Array, lines: string): Promise<number | 'conflict'> {
    const answer = await this.#link.request(this.#scope + toTokens(key), value, new Block(lines));
    const { seq, error } = answer.json<{ seq: number; error?: ApiFailure }>();
    if (error?.err_code === apiError.wrongLastSequence) return 'conflict';
    if (error !== undefined) throw refusal(this.#stream, error);
    return seq;
  }
}
