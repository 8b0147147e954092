import type { Ledger, LedgerEntry, LogTerms } from '@pushfleet/bus';
import { type Draft, type Lifecycle, type Namespace, PushfleetError } from '@pushfleet/core';
import type { Log, Policies } from '@pushfleet/runtime';
import { type Bucket, Buckets, bucketEnd, parseKey } from './meter-buckets.ts';
import { storedSize } from './stored-size.ts';

export interface MetersOptions {
  /** Where the instances of publish tell each other, and those after them, what they stored. */
  readonly ledger: Pick<Ledger, 'put' | 'watch'>;
  readonly policies: Pick<Policies, 'quota' | 'limitsStorage'>;
  /** How long the log keeps things; it is known once something was stored. */
  readonly terms: () => LogTerms | undefined;
  /** The name of this instance, another one after each start. */
  readonly instance: string;
  readonly log: Log;
  /** Unix time in milliseconds. */
  readonly now?: () => number;
}

const everyMs = 1_000;
/** Changed sums written at once. */
const writesAtOnce = 64;
/** Where nothing ages out: ten years. */
const longestMs = 315_360_000_000;
/** The ledger keeps a sum a little longer than it counts: clocks differ. */
const spareMs = 60_000;
/** When to look again whether there is room: nobody knows what goes when. */
const fullMs = 60_000;
/** Namespaces in one scrape. */
const mostShown = 1_000;

/**
 * How many bytes each namespace with a quota of them holds in the log: what every instance stored, by when it goes.
 * Each writes its own sums once a second and follows those of the others, so that a restart forgets nothing.
 */
export class Meters implements Lifecycle {
  readonly #options: MetersOptions;
  readonly #now: () => number;
  readonly #buckets = new Buckets();
  /** Sums of this instance that the ledger does not have yet. */
  readonly #changed = new Set<Bucket>();
  /** Bytes that are on their way into the log. */
  readonly #pending = new Map<Namespace, number>();
  #interval: NodeJS.Timeout | undefined;
  #following: { stop(): void } | 'asked' | undefined;
  #writing: Promise<void> | undefined;
  #told = false;

  constructor(options: MetersOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  async start(): Promise<void> {
    this.#interval = setInterval(() => this.#turn(), everyMs).unref();
    this.#turn();
  }

  /** Why it is not known what the namespaces have stored; undefined where it is, or nobody asks. */
  ready(): string | undefined {
    const known = typeof this.#following === 'object' || !this.#options.policies.limitsStorage;
    return known ? undefined : 'what the namespaces have stored (ledger "meters") is not known yet';
  }

  /** To be drained behind what stores. */
  async drain(): Promise<void> {
    // The writing that goes on may have begun before the last change.
    await this.#flush();
    await this.#flush();
  }

  async close(): Promise<void> {
    clearInterval(this.#interval);
    if (typeof this.#following === 'object') this.#following.stop();
  }

  /** What a namespace holds, with what is on its way, in bytes. */
  stored(namespace: Namespace): number {
    return this.#buckets.sum(namespace) + (this.#pending.get(namespace) ?? 0);
  }

  /** The namespaces with a quota that hold something. */
  *readings(): Iterable<readonly [bytes: number, attributes: { namespace: string }]> {
    let shown = 0;
    for (const namespace of this.#buckets.namespaces()) {
      if (this.#options.policies.quota(namespace).storedBytes === undefined) continue;
      yield [this.stored(namespace), { namespace }];
      if (++shown === mostShown) return;
    }
  }

  /**
   * Takes room for a draft, and returns it in bytes to be handed to `settle`; 0 where the namespace has no quota.
   *
   * @throws PushfleetError `quota_stored_bytes`
   */
  hold(namespace: Namespace, draft: Draft): number {
    const { storedBytes } = this.#options.policies.quota(namespace);
    if (storedBytes === undefined) return 0;
    const bytes = storedSize(draft);
    const stored = this.stored(namespace);
    if (stored + bytes > storedBytes) {
      throw new PushfleetError(
        'quota_stored_bytes',
        `The namespace may store ${storedBytes} bytes and holds ${stored}; this publication needs ${bytes}. Wait until older ones go, give them a shorter time to live, or ask the operator for more.`,
        { retryAfterMs: fullMs, detail: { limit: storedBytes, stored } },
      );
    }
    this.#pending.set(namespace, (this.#pending.get(namespace) ?? 0) + bytes);
    return bytes;
  }

  /** What became of a draft that room was taken for. */
  settle(namespace: Namespace, draft: Draft, bytes: number, stored: boolean): void {
    const pending = (this.#pending.get(namespace) ?? 0) - bytes;
    if (pending > 0) this.#pending.set(namespace, pending);
    else this.#pending.delete(namespace);
    if (!stored) return;
    const now = this.#now();
    const ends = bucketEnd(now, this.#lifeMs(draft, now));
    this.#changed.add(this.#buckets.add({ namespace, ends, instance: this.#options.instance }, bytes));
  }

  #lifeMs({ keepMs, expiresAt }: Draft, now: number): number {
    const { maxAgeMs = longestMs } = this.#options.terms() ?? {};
    const expiry = expiresAt === undefined ? longestMs : Math.max(0, expiresAt - now);
    return Math.min(longestMs, maxAgeMs, keepMs ?? longestMs, expiry);
  }

  #turn(): void {
    this.#buckets.forget(this.#now());
    if (this.#following === undefined && this.#options.policies.limitsStorage) void this.#follow();
    void this.#flush();
  }

  async #follow(): Promise<void> {
    this.#following = 'asked';
    try {
      this.#following = await this.#options.ledger.watch((entry) => this.#note(entry));
      this.#told = false;
    } catch (error) {
      this.#following = undefined;
      this.#tell(error, 'what the namespaces have stored cannot be read; trying on');
    }
  }

  #note({ key, value }: LedgerEntry): void {
    const place = parseKey(key);
    // This instance knows its own sums better.
    if (place === undefined || place.instance === this.#options.instance) return;
    const bytes = value === undefined ? 0 : Number(Buffer.from(value).toString());
    if (Number.isSafeInteger(bytes) && bytes >= 0) this.#buckets.set(place, bytes);
  }

  /** Writes what has changed, or waits for the writing that goes on. */
  #flush(): Promise<void> {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    const due = [...this.#changed];
    for (let i = 0; i < due.length; i += writesAtOnce) {
      await Promise.all(due.slice(i, i + writesAtOnce).map((bucket) => this.#write(bucket)));
    }
  }

  async #write(bucket: Bucket): Promise<void> {
    this.#changed.delete(bucket);
    const ttlMs = bucket.ends - this.#now() + spareMs;
    if (ttlMs < spareMs) return;
    try {
      await this.#options.ledger.put(bucket.key, Buffer.from(String(bucket.bytes)), { ttlMs });
      this.#told = false;
    } catch (error) {
      this.#changed.add(bucket);
      this.#tell(error, 'what the namespaces have stored cannot be written; trying on');
    }
  }

  #tell(error: unknown, message: string): void {
    if (!this.#told) this.#options.log.warn({ err: error }, message);
    this.#told = true;
  }
}
