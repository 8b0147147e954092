import type { Draft } from '@pushfleet/proto/pushfleet/publish/v1/publish';
import { backOffMs } from './back-off.ts';
import { isPassing, PublishError, type PublishErrorCode } from './error.ts';
import { type Answer, type Entry, Lane, mayBeStored } from './lane.ts';

export interface OutboxLimits {
  /** Most publications, and their most bytes, that are not acknowledged. */
  readonly count: number;
  readonly bytes: number;
  /** Most publications, and their most bytes, of one batch. */
  readonly batchCount: number;
  readonly batchBytes: number;
  /** Most batches under way. */
  readonly batches: number;
  /** How long a publication waits for others to fill its batch while another is under way, in milliseconds. */
  readonly lingerMs: number;
  /** How long a publication is tried, from the call on, in milliseconds. */
  readonly patienceMs: number;
}

/** What goes to the fleet in one call. The parts are of different topics. */
export interface Batch {
  readonly parts: readonly { readonly lane: Lane; readonly entries: readonly Entry[] }[];
}

export const entriesOf = ({ parts }: Batch): Entry[] => parts.flatMap(({ entries }) => entries);

/**
 * Decides what is sent when, and what becomes of the answers: no socket, no timer, no clock of its own. Times are
 * milliseconds of whichever clock the caller has.
 *
 * A topic has one batch under way; topics share batches and go side by side. An answer that may be another one later
 * puts its publication back in front of all that follows on the topic, with the id it has, and the topic rests.
 */
export class Outbox {
  readonly #limits: OutboxLimits;
  readonly #random: () => number;
  readonly #lanes = new Map<string, Lane>();
  /** Those that have something to send, in the order they became so. */
  readonly #ready = new Set<Lane>();
  readonly #resting = new Set<Lane>();
  /** Whose callers wait, in the order of the calls, which is also that of their deadlines. */
  readonly #open = new Set<Entry>();
  #restEnds = Number.POSITIVE_INFINITY;
  /** When what is ready goes, however little it is. */
  #sendAt = Number.POSITIVE_INFINITY;
  #readyCount = 0;
  #readyBytes = 0;
  #count = 0;
  #bytes = 0;
  #batches = 0;

  /** @param random from 0 up to but not including 1 */
  constructor(limits: OutboxLimits, random: () => number) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Publications whose callers wait, in the order of the calls. */
  get open(): ReadonlySet<Entry> {
    return this.#open;
  }

  /** Whether one more of this size is within the limits. A single one always is. */
  fits(bytes: number): boolean {
    if (this.#count === 0) return true;
    return this.#count < this.#limits.count && this.#bytes + bytes <= this.#limits.bytes;
  }

  add(draft: Draft, bytes: number, settle: (answer: Answer) => void, now: number): Entry {
    const entry: Entry = {
      ...{ draft, bytes, settle, acceptedAt: now },
      ...{ attempts: 0, underWay: false, doubtful: false, settled: false, refusal: undefined },
    };
    const lane = this.#lanes.get(draft.topic) ?? new Lane(draft.topic);
    this.#lanes.set(draft.topic, lane);
    lane.push(entry);
    this.#open.add(entry);
    this.#count++;
    this.#bytes += bytes;
    if (this.#ready.has(lane)) {
      this.#readyCount++;
      this.#readyBytes += bytes;
    } else if (!lane.busy && !this.#resting.has(lane)) {
      this.#makeReady(lane);
    }
    return entry;
  }

  /** The next batch to send now, if there is one. It counts as under way until `settle`. */
  take(now: number): Batch | undefined {
    this.#wake(now);
    if (this.#batches >= this.#limits.batches || now < this.#dueAt(now)) return undefined;
    const parts = this.#fill();
    this.#sendAt = this.#oldestReady() + this.#limits.lingerMs;
    if (parts.length === 0) return undefined;
    this.#batches++;
    return { parts };
  }

  /**
   * @param answers one for each entry in their order, or one error for all of them
   * @returns what goes again
   */
  settle({ parts }: Batch, answers: readonly Answer[] | PublishError, now: number): Entry[] {
    this.#batches--;
    let index = 0;
    const again: Entry[] = [];
    for (const { lane, entries } of parts) {
      const back: Entry[] = [];
      for (const entry of entries) {
        const answer = answers instanceof PublishError ? answers : (answers[index++] as Answer);
        entry.underWay = false;
        if (answer instanceof PublishError && isPassing(answer) && !entry.settled) {
          entry.refusal = answer;
          entry.doubtful ||= answer.mayBeStored;
          back.push(entry);
        } else {
          this.#leave(entry);
          this.#answer(entry, inTheEnd(entry, answer));
        }
      }
      this.#release(lane, back, back.length < entries.length, now);
      again.push(...back);
    }
    return again;
  }

  /** Tells the caller why there will be no receipt. An attempt under way goes on; none follows. */
  giveUp(entry: Entry, code: PublishErrorCode, why: string): void {
    const stored = mayBeStored(entry) ? 'It may be stored.' : 'Nothing was stored.';
    const last = entry.refusal === undefined ? '' : ` The last answer: ${entry.refusal.message}`;
    const options = { cause: entry.refusal, mayBeStored: mayBeStored(entry) };
    this.#answer(entry, new PublishError(code, `${why} ${stored}${last}`, options));
  }

  /** Gives up what was tried for too long. */
  expire(now: number): void {
    const { patienceMs } = this.#limits;
    const touched = new Set<Lane>();
    for (const entry of this.#open) {
      if (now < entry.acceptedAt + patienceMs) break;
      this.giveUp(entry, 'timeout', `Not acknowledged within ${patienceMs / 1_000} s.`);
      touched.add(this.#lanes.get(entry.draft.topic) as Lane);
    }
    for (const lane of touched) this.#prune(lane);
  }

  /** What waits for company goes now. */
  flush(): void {
    this.#sendAt = Number.NEGATIVE_INFINITY;
  }

  /** When `expire` and `take` have something to do without any news. */
  wakeAt(now: number): number {
    const [oldest] = this.#open;
    const expiry =
      oldest === undefined ? Number.POSITIVE_INFINITY : oldest.acceptedAt + this.#limits.patienceMs;
    if (this.#batches >= this.#limits.batches) return expiry;
    return Math.min(expiry, this.#restEnds, this.#dueAt(now));
  }

  #dueAt(now: number): number {
    const { batchCount, batchBytes } = this.#limits;
    if (this.#ready.size === 0) return Number.POSITIVE_INFINITY;
    const full = this.#readyCount >= batchCount || this.#readyBytes >= batchBytes;
    return full || this.#batches === 0 ? now : this.#sendAt;
  }

  #fill(): { lane: Lane; entries: Entry[] }[] {
    const { batchCount, batchBytes } = this.#limits;
    const parts: { lane: Lane; entries: Entry[] }[] = [];
    let count = 0;
    let bytes = 0;
    for (const lane of this.#ready) {
      this.#prune(lane);
      if (lane.head === undefined) continue;
      // One that is larger than a batch goes alone; whether it is too large is for the fleet to say.
      const most = count === 0 ? Math.max(batchBytes, lane.head.bytes) : batchBytes - bytes;
      const entries = lane.take(batchCount - count, most);
      if (entries.length === 0) break;
      for (const entry of entries) {
        entry.attempts++;
        entry.underWay = true;
        bytes += entry.bytes;
        this.#readyBytes -= entry.bytes;
      }
      count += entries.length;
      this.#readyCount -= entries.length;
      this.#unready(lane);
      lane.busy = true;
      parts.push({ lane, entries });
    }
    return parts;
  }

  #oldestReady(): number {
    const [lane] = this.#ready;
    return lane?.head?.acceptedAt ?? Number.POSITIVE_INFINITY;
  }

  #makeReady(lane: Lane): void {
    this.#ready.add(lane);
    this.#readyCount += lane.count;
    this.#readyBytes += lane.bytes;
    this.#sendAt = Math.min(this.#sendAt, (lane.head as Entry).acceptedAt + this.#limits.lingerMs);
  }

  #unready(lane: Lane): void {
    if (!this.#ready.delete(lane)) return;
    this.#readyCount -= lane.count;
    this.#readyBytes -= lane.bytes;
  }

  #release(lane: Lane, back: readonly Entry[], moved: boolean, now: number): void {
    lane.busy = false;
    lane.giveBack(back);
    this.#prune(lane);
    if (lane.count === 0) return;
    const refusal = back[0]?.refusal;
    if (refusal === undefined) {
      lane.failures = 0;
      this.#makeReady(lane);
      return;
    }
    lane.failures = moved ? 1 : lane.failures + 1;
    // Nothing is asked of an instance that leaves: the next attempt goes to another.
    const askedMs = refusal.code === 'draining' ? 0 : (refusal.retryAfter ?? 0) * 1_000;
    const restMs = backOffMs(lane.failures, askedMs, this.#random);
    lane.restUntil = now + Math.min(restMs, this.#limits.patienceMs);
    this.#resting.add(lane);
    this.#restEnds = Math.min(this.#restEnds, lane.restUntil);
  }

  #wake(now: number): void {
    if (now < this.#restEnds) return;
    this.#restEnds = Number.POSITIVE_INFINITY;
    for (const lane of this.#resting) {
      if (lane.restUntil > now) {
        this.#restEnds = Math.min(this.#restEnds, lane.restUntil);
        continue;
      }
      this.#resting.delete(lane);
      this.#makeReady(lane);
    }
  }

  /** Forgets what waits in the lane without anybody waiting for it, and a lane with nothing. */
  #prune(lane: Lane): void {
    for (const entry of lane.prune()) {
      this.#leave(entry);
      if (!this.#ready.has(lane)) continue;
      this.#readyCount--;
      this.#readyBytes -= entry.bytes;
    }
    if (lane.count > 0 || lane.busy) return;
    this.#ready.delete(lane);
    this.#resting.delete(lane);
    this.#lanes.delete(lane.topic);
  }

  #answer(entry: Entry, answer: Answer): void {
    if (entry.settled) return;
    entry.settled = true;
    this.#open.delete(entry);
    entry.settle(answer);
  }

  #leave({ bytes }: Entry): void {
    this.#count--;
    this.#bytes -= bytes;
  }
}

/** The last answer in the light of the earlier attempts. */
function inTheEnd({ attempts, doubtful }: Entry, answer: Answer): Answer {
  if (answer instanceof PublishError) {
    const { code, message, retryAfter, cause } = answer;
    return doubtful ? new PublishError(code, message, { retryAfter, cause, mayBeStored: true }) : answer;
  }
  // What our own earlier attempt stored is no duplicate to the caller.
  return answer.duplicate && attempts > 1 ? { ...answer, duplicate: false } : answer;
}
