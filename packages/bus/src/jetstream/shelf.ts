import { Gate } from '@pushfleet/core';
import type { Shelf, ShelfDraft, ShelfEntry } from '../shelf.ts';
import { checkDraft, checkShelfKey } from '../shelf-rules.ts';
import { fromTokens, shelfScope, tokensFrom, toTokens } from '../subject.ts';
import {
  deleteMessage,
  leaderMessage,
  purge,
  type StoredMessage,
  type StreamView,
  streamInfo,
  subjectCounts,
} from './api.ts';
import { Appender, type AppenderTerms } from './appender.ts';
import { readBackwards } from './backwards.ts';
import type { Broker } from './broker.ts';
import { directMessage } from './direct-get.ts';
import { headerLine, ttlLine } from './headers.ts';
import { patiently } from './retry.ts';
import { StreamReader } from './stream-reader.ts';
import { shelfStream } from './streams.ts';

const pageCount = 256;
const pageBytes = 1_048_576;
/** How long what the broker said of the stream is believed, in milliseconds: its replicas and its window may change. */
const viewMs = 10_000;
/** Most removals under way at once. */
const openRemovals = 128;

/** A shelf on a stream of its own. Whatever replica answers, the leader is asked where it has nothing. */
export class JetStreamShelf implements Shelf {
  readonly #broker: Broker;
  readonly #stream: string;
  readonly #scope: string;
  readonly #appender: Appender;
  readonly #removals = new Gate(openRemovals);
  readonly #idPrefix = `~${crypto.randomUUID().slice(0, 13)}.`;
  #ids = 0;
  #view: { readonly at: number; readonly answer: Promise<StreamView> } | undefined;

  constructor(broker: Broker, name: string, terms: Partial<AppenderTerms> = {}) {
    this.#broker = broker;
    this.#stream = shelfStream(name);
    this.#scope = shelfScope(name);
    this.#appender = new Appender(broker.bulk, terms);
    broker.closing.addEventListener('abort', () => this.#appender.close(), { once: true });
  }

  async append(drafts: readonly ShelfDraft[]): Promise<readonly number[]> {
    for (const draft of drafts) checkDraft(draft);
    const parcels = drafts.map((draft) => this.#parcel(draft));
    const { duplicateWindowMs } = await this.#known();
    return this.#appender.append(parcels, duplicateWindowMs);
  }

  async get(sequence: number): Promise<ShelfEntry | undefined> {
    const { replicas } = await this.#known();
    const { bulk } = this.#broker;
    const found = await patiently(async () => {
      const near = await directMessage(bulk, this.#stream, sequence);
      return near ?? (replicas > 1 ? leaderMessage(bulk, this.#stream, { seq: sequence }) : undefined);
    });
    return found === undefined ? undefined : this.#entry(found);
  }

  async read(key: string, after: number, limit: number): Promise<readonly ShelfEntry[]> {
    const found = await this.#collect(this.#subject(key), after, Number.MAX_SAFE_INTEGER, limit);
    return this.#entries(found);
  }

  async newest(key: string, before: number | undefined, limit: number): Promise<readonly ShelfEntry[]> {
    const subject = this.#subject(key);
    const ask = (question: Parameters<typeof leaderMessage>[2]) =>
      patiently(() => leaderMessage(this.#broker.bulk, this.#stream, question));
    const [last, first] = await Promise.all([
      ask({ last_by_subj: subject }),
      ask({ seq: 1, next_by_subj: subject }),
    ]);
    if (last === undefined || first === undefined) return [];
    const end = Math.min(last.sequence, (before ?? Number.POSITIVE_INFINITY) - 1);
    const found = await readBackwards(first.sequence, end, limit, (from, until, most) =>
      this.#collect(subject, from - 1, until, most),
    );
    return this.#entries(found);
  }

  async remove(sequences: readonly number[]): Promise<void> {
    const one = (sequence: number) =>
      this.#removals.run(() => patiently(() => deleteMessage(this.#broker.bulk, this.#stream, sequence)));
    await Promise.all([...new Set(sequences)].map(one));
  }

  clear(key: string, options: { exactly?: boolean; until?: number } = {}): Promise<number> {
    const filter = options.exactly === true ? this.#subject(key) : this.#from(key);
    return patiently(() => purge(this.#broker.bulk, this.#stream, filter, options.until));
  }

  async keys(key: string): Promise<ReadonlyMap<string, number>> {
    const counts = await patiently(() => subjectCounts(this.#broker.bulk, this.#stream, this.#from(key)));
    const keys = new Map<string, number>();
    for (const [subject, count] of counts) {
      const found = fromTokens(subject.slice(this.#scope.length));
      if (found !== undefined) keys.set(found, count);
    }
    return keys;
  }

  #parcel({ key, id, body, ttlMs }: ShelfDraft) {
    // Its own id lets a repetition after a lost answer take effect once.
    const name = id ?? `${this.#idPrefix}${(this.#ids++).toString(36)}`;
    const lines = headerLine('Nats-Msg-Id', name) + (ttlMs === undefined ? '' : ttlLine(ttlMs));
    return { subject: this.#scope + toTokens(key), lines, payload: body };
  }

  async #collect(subject: string, after: number, until: number, limit: number): Promise<StoredMessage[]> {
    const { replicas } = await this.#known();
    const reader = new StreamReader({
      link: this.#broker.bulk,
      gate: this.#broker.gate,
      stream: this.#stream,
      filter: subject,
      after,
      until,
      replicated: replicas > 1,
      count: Math.min(limit, pageCount),
      bytes: pageBytes,
    });
    const found: StoredMessage[] = [];
    while (found.length < limit) {
      const page = await reader.next();
      if (page === undefined) break;
      found.push(...page);
    }
    return found.slice(0, limit);
  }

  #subject(key: string): string {
    return this.#scope + toTokens(checkShelfKey(key));
  }

  #from(key: string): string {
    return this.#scope + tokensFrom(checkShelfKey(key));
  }

  #entries(messages: readonly StoredMessage[]): ShelfEntry[] {
    return messages.flatMap((message) => this.#entry(message) ?? []);
  }

  #entry({ subject, sequence, time, payload }: StoredMessage): ShelfEntry | undefined {
    const key = fromTokens(subject.slice(this.#scope.length));
    return key === undefined ? undefined : { key, sequence, time, body: payload };
  }

  #known(): Promise<StreamView> {
    const now = Date.now();
    if (this.#view === undefined || now - this.#view.at > viewMs) {
      const answer = patiently(() => streamInfo(this.#broker.bulk, this.#stream));
      this.#view = { at: now, answer };
      answer.catch(() => {
        this.#view = undefined;
      });
    }
    return this.#view.answer;
  }
}
