import type { Random } from '@pushfleet/contract/simulation';
import { PublishError } from './error.ts';
import type { Answer } from './lane.ts';

interface Event {
  readonly at: number;
  readonly run: () => void;
}

/** Time that jumps from event to event. */
export class Events {
  now = 1_000_000;
  #waiting: Event[] = [];

  after(ms: number, run: () => void): void {
    const event = { at: this.now + ms, run };
    let low = 0;
    let high = this.#waiting.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#waiting[middle] as Event).at <= event.at) low = middle + 1;
      else high = middle;
    }
    this.#waiting.splice(low, 0, event);
  }

  runAll(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.now = next.at;
      next.run();
    }
  }
}

/** A log that knows an id again within its duplicate window, and is out of reach now and then. */
export class Log {
  readonly topics = new Map<string, string[]>();
  readonly #windowMs: number;
  readonly #known = new Map<string, number>();
  #awayUntil = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  away(until: number): void {
    this.#awayUntil = Math.max(this.#awayUntil, until);
  }

  backAt(now: number): number {
    return Math.max(now, this.#awayUntil);
  }

  /** @returns whether it was known */
  store(topic: string, id: string, now: number): boolean {
    const known = this.#known.get(id);
    if (known !== undefined && now - known < this.#windowMs) return true;
    this.#known.set(id, now);
    this.topics.set(topic, [...(this.topics.get(topic) ?? []), id]);
    return false;
  }
}

interface Work {
  readonly id: string;
  readonly topic: string;
  readonly deadline: number;
  readonly answer: (answer: Answer) => void;
}

const patienceMs = 20_000;

/** An instance of the publish service as services/publish and packages/bus have it: one commit in flight per topic. */
export class ModelInstance {
  readonly #events: Events;
  readonly #log: Log;
  readonly #random: Random;
  readonly #lanes = new Map<string, Work[]>();
  #life = 0;
  #deadUntil = 0;
  #drainingUntil = 0;
  #limitedUntil = 0;

  constructor(events: Events, log: Log, random: Random) {
    this.#events = events;
    this.#log = log;
    this.#random = random;
  }

  die(ms: number): void {
    this.#life++;
    this.#lanes.clear();
    this.#deadUntil = this.#events.now + ms;
  }

  drain(ms: number): void {
    this.#drainingUntil = this.#events.now + ms;
  }

  limitRate(ms: number): void {
    this.#limitedUntil = this.#events.now + ms;
  }

  /** A call: the way there and back takes its time, and either may lose it. */
  publish(
    drafts: readonly { readonly id: string; readonly topic: string }[],
    answer: (answers: readonly Answer[]) => void,
    broken: () => void,
  ): void {
    const wayMs = () => this.#random.below(this.#random.chance(0.05) ? 9_000 : 20);
    if (this.#events.now < this.#deadUntil || this.#random.chance(0.03)) {
      this.#events.after(wayMs(), broken);
      return;
    }
    const { publish, back } = this.#connection(wayMs, answer, broken);
    this.#events.after(wayMs(), () => publish(() => this.#accept(drafts, back)));
  }

  /** Breaks with the instance, and now and then by itself; what was accepted before goes on. */
  #connection(wayMs: () => number, answer: (answers: readonly Answer[]) => void, broken: () => void) {
    const life = this.#life;
    const lost = this.#random.chance(0.05);
    return {
      publish: (accept: () => void) => (life === this.#life ? accept() : broken()),
      back: (answers: readonly Answer[]) => {
        this.#events.after(wayMs(), () => (lost || life !== this.#life ? broken() : answer(answers)));
      },
    };
  }

  #accept(
    drafts: readonly { readonly id: string; readonly topic: string }[],
    back: (answers: readonly Answer[]) => void,
  ): void {
    const answers: Answer[] = [];
    let left = drafts.length;
    const deadline = this.#events.now + patienceMs;
    const room =
      this.#events.now < this.#limitedUntil ? this.#random.below(drafts.length + 1) : drafts.length;
    for (const [index, draft] of drafts.entries()) {
      const answer = (given: Answer) => {
        answers[index] = given;
        if (--left === 0) back(answers);
      };
      if (this.#events.now < this.#drainingUntil) answer(refused('draining', 1));
      else if (index >= room) answer(refused('rate_limited', 0.2));
      else if (Number(draft.id) % 41 === 0) answer(refused('forbidden'));
      else this.#enqueue({ ...draft, deadline, answer });
    }
  }

  #enqueue(work: Work): void {
    const lane = this.#lanes.get(work.topic) ?? [];
    this.#lanes.set(work.topic, lane);
    lane.push(work);
    if (lane.length === 1) this.#commit(lane);
  }

  /** No attempt begins after the deadline; the last one can arrive well after it. */
  #commit(lane: Work[]): void {
    const [work] = lane;
    if (work === undefined) return;
    const life = this.#life;
    const at = this.#log.backAt(this.#events.now) + this.#random.below(10);
    const lateMs = this.#random.chance(0.02) ? this.#random.below(25_000) : 0;
    this.#events.after(at + lateMs - this.#events.now, () => {
      if (at > work.deadline) return;
      if (life !== this.#life && this.#random.chance(0.5)) return; // it never left the instance
      const duplicate = this.#log.store(work.topic, work.id, this.#events.now);
      if (life !== this.#life || lane[0] !== work) return;
      lane.shift();
      work.answer({ id: work.id, topic: work.topic, cursor: '', duplicate });
      this.#commit(lane);
    });
    this.#events.after(work.deadline - this.#events.now, () => {
      if (life !== this.#life || lane[0] !== work) return;
      // Whatever came with it on its topic ends with it: nothing may overtake its retry.
      while (lane[0] !== undefined && lane[0].deadline <= this.#events.now) {
        lane.shift()?.answer(refused('unavailable', 1, true));
      }
      this.#commit(lane);
    });
  }
}

const refused = (code: string, retryAfter?: number, mayBeStored = false): PublishError =>
  new PublishError(code, `refused: ${code}`, { retryAfter, mayBeStored });
