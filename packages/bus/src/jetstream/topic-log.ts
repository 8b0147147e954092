import {
  type Cursor,
  type Deletion,
  type Namespace,
  type Publication,
  parseCursor,
  type Topic,
} from '@pushfleet/core';
import { shardOf } from '../shard.ts';
import { logScope, subjectOf } from '../subject.ts';
import {
  deleteMessage,
  type LeaderQuestion,
  leaderMessage,
  purge,
  type StoredMessage,
  subjectInfo,
} from './api.ts';
import type { Broker } from './broker.ts';
import { decodePublication } from './headers.ts';
import { clear } from './kept.ts';
import { patiently } from './retry.ts';

/** What concerns one topic of the log alone. It is asked of the leader, whom no replica is ahead of. */
export class TopicLog {
  readonly #broker: Broker;
  readonly #namespace: Namespace;
  readonly #topic: Topic;
  readonly #shard: number;
  readonly #stream: string;
  readonly #subject: string;

  /** @throws PushfleetError `unavailable` before the log was reached for the first time */
  constructor(broker: Broker, namespace: Namespace, topic: Topic) {
    this.#broker = broker;
    this.#namespace = namespace;
    this.#topic = topic;
    this.#shard = shardOf(topic, broker.layout.shards);
    this.#stream = broker.stream(this.#shard);
    this.#subject = subjectOf(logScope(namespace, this.#shard), topic);
  }

  async find(at: Cursor): Promise<Publication | undefined> {
    const found = await this.#at(this.#sequenceOf(at));
    return found?.expiresAt !== undefined && found.expiresAt <= Date.now() ? undefined : found;
  }

  /** Deletes the publication that `find` gives, and the retained copy of it, which may outlive it in the log. */
  async deleteOne(at: Cursor): Promise<Deletion> {
    const sequence = this.#sequenceOf(at);
    const found = await this.#at(sequence);
    if (found !== undefined) {
      await patiently(() => deleteMessage(this.#broker.bulk, this.#stream, sequence));
    }
    const cleared = await this.#clear(sequence, found?.retain === true);
    const count = found === undefined && cleared === undefined ? 0 : 1;
    return this.#deletion(count * sequence, count * sequence, count);
  }

  /**
   * Deletes what the topic holds at this moment. Whatever the log acknowledged before the call lies at or before
   * the stream's last sequence; what comes meanwhile lies behind it and stays.
   */
  async deleteAll(): Promise<Deletion> {
    const { bulk } = this.#broker;
    const { lastSequence, count } = await patiently(() => subjectInfo(bulk, this.#stream, this.#subject));
    const first = count === 0 ? undefined : await this.#ask({ seq: 1, next_by_subj: this.#subject });
    const last = count === 0 ? undefined : await this.#ask({ last_by_subj: this.#subject });
    if (first !== undefined && first.sequence <= lastSequence) {
      await patiently(() => purge(bulk, this.#stream, this.#subject, lastSequence));
    }
    const cleared = await this.#clear(lastSequence, true);
    if (first !== undefined && last !== undefined && first.sequence <= lastSequence)
      return this.#deletion(first.sequence, Math.min(last.sequence, lastSequence), count);
    return cleared === undefined ? this.#deletion(0, 0, 0) : this.#deletion(cleared, cleared, 1);
  }

  #deletion(first: number, last: number, count: number): Deletion {
    return { topic: this.#topic, shard: this.#shard, first, last, count };
  }

  /** 0, which no publication has, where the cursor names none of this topic's shard in this log. */
  #sequenceOf(at: Cursor): number {
    const { generation, positions } = parseCursor(at);
    return generation === this.#broker.layout.generation ? (positions[this.#shard] ?? 0) : 0;
  }

  async #at(sequence: number): Promise<Publication | undefined> {
    const found = sequence === 0 ? undefined : await this.#ask({ seq: sequence });
    if (found?.subject !== this.#subject) return undefined;
    const { block, payload, time } = found;
    return decodePublication(block, payload, this.#topic, { time, shard: this.#shard, sequence });
  }

  #ask(question: LeaderQuestion): Promise<StoredMessage | undefined> {
    return patiently(() => leaderMessage(this.#broker.bulk, this.#stream, question));
  }

  #clear(sequence: number, older: boolean): Promise<number | undefined> {
    return clear(this.#broker, this.#namespace, this.#topic, { shard: this.#shard, sequence, older });
  }
}
