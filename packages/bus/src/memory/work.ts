import {
  type Deletion,
  matches,
  type Publication,
  type TopicFilter,
  type Verdict,
  type WorkOptions,
} from '@pushfleet/core';
import type { Clock } from '../clock.ts';

type Work = (publication: Publication, lease: { extend(): void }) => Promise<Verdict>;

interface Member {
  readonly options: WorkOptions;
  readonly on: Work;
  busy: number;
}

/** A durable group in memory: publications wait here until a member says done. */
export class WorkGroup {
  readonly filter: TopicFilter;
  readonly #clock: Clock;
  readonly #waiting: Publication[] = [];
  readonly #members = new Set<Member>();
  readonly #topicsBusy = new Set<string>();

  constructor(clock: Clock, filter: TopicFilter) {
    this.#clock = clock;
    this.filter = filter;
  }

  offer(publication: Publication): void {
    if (!matches(this.filter, publication.topic)) return;
    this.#waiting.push(publication);
    this.#share();
  }

  /** Forgets what was deleted before it was handed out. */
  drop({ topic, first, last }: Deletion): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      const waiting = this.#waiting[i] as Publication;
      if (waiting.topic !== topic || waiting.sequence < first || waiting.sequence > last) continue;
      this.#waiting.splice(i, 1);
    }
  }

  join(options: WorkOptions, on: Work): () => void {
    const member = { options, on, busy: 0 };
    this.#members.add(member);
    this.#share();
    return () => this.#members.delete(member);
  }

  #share(): void {
    for (const member of this.#members) {
      while (member.busy < member.options.concurrency) {
        const index = this.#waiting.findIndex(
          ({ topic }) => !member.options.orderedByTopic || !this.#topicsBusy.has(topic),
        );
        const [publication] = index < 0 ? [] : this.#waiting.splice(index, 1);
        if (publication === undefined) break;
        void this.#give(member, publication);
      }
    }
  }

  async #give(member: Member, publication: Publication): Promise<void> {
    member.busy++;
    this.#topicsBusy.add(publication.topic);
    const verdict = await member.on(publication, { extend() {} }).catch((): Verdict => ({ retryMs: 0 }));
    member.busy--;
    if (typeof verdict === 'object' && 'retryMs' in verdict) {
      this.#clock.after(verdict.retryMs, () => {
        this.#topicsBusy.delete(publication.topic);
        this.#waiting.unshift(publication);
        this.#share();
      });
      return;
    }
    this.#topicsBusy.delete(publication.topic);
    this.#share();
  }
}
