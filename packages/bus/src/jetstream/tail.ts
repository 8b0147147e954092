import {
  type Cursor,
  formatCursor,
  type Namespace,
  type Publication,
  PushfleetError,
  quote,
} from '@pushfleet/core';
import { systemClock } from '../clock.ts';
import type { Ledger } from '../ledger.ts';
import { subjectRoot, topicOf } from '../subject.ts';
import type { Tail, Tailed } from '../tail.ts';
import { type Feed, parsePlace, type Stretch, type TailPlace, TailReading } from '../tail-reading.ts';
import { leaderMessage } from './api.ts';
import type { Broker } from './broker.ts';
import { decodePublication } from './headers.ts';
import type { Log } from './log.ts';
import { patiently } from './retry.ts';
import { type RawMessage, ShardFeed } from './shard-feed.ts';

const tailName = /^[a-z0-9_-]{1,32}$/;

/** @throws PushfleetError `request_invalid` */
export function checkTailName(name: string): void {
  if (tailName.test(name)) return;
  throw new PushfleetError(
    'request_invalid',
    `${quote(name)} is no name of a tail: 1 to 32 small letters, digits, "_" or "-".`,
  );
}

/** A reading of the log's streams; its places are in the ledger `tails`. */
export class JetStreamTail implements Tail {
  readonly #broker: Broker;
  readonly #log: Log;
  readonly #name: string;
  readonly #places: Ledger;
  readonly #feeds = new Set<DecodedFeed>();

  constructor(broker: Broker, log: Log, name: string, places: Ledger) {
    this.#broker = broker;
    this.#log = log;
    this.#name = name;
    this.#places = places;
    broker.bulk.watch((up) => {
      if (up) for (const feed of this.#feeds) feed.reconnected();
    });
  }

  get shards(): number {
    return this.#broker.layout.shards;
  }

  async read(
    shard: number,
    on: (batch: readonly Tailed[]) => Promise<void>,
  ): Promise<{ stop(): Promise<void> }> {
    const key = this.#key(shard);
    const reading = new TailReading({
      ledger: this.#places,
      key,
      clock: systemClock,
      open: (place) => this.#open(shard, place),
      on,
      onTrouble: (error) => this.#log.warn({ err: error, tail: key }, 'the log is not read on; trying again'),
    });
    const abandon = () => reading.abandon();
    this.#broker.closing.addEventListener('abort', abandon, { once: true });
    return {
      stop: () => {
        this.#broker.closing.removeEventListener('abort', abandon);
        return reading.stop();
      },
    };
  }

  async behind(): Promise<number> {
    const views = await this.#broker.views();
    const counts = views.map(async ({ lastSequence }, shard) => {
      const held = await this.#places.get(this.#key(shard));
      const position = held === undefined ? 0 : parsePlace(held.value).position;
      if (position >= lastSequence) return 0;
      const question = { seq: position + 1, next_by_subj: `${subjectRoot}.log.${shard}.>` };
      const next = await patiently(() =>
        leaderMessage(this.#broker.bulk, this.#broker.stream(shard), question),
      );
      return next === undefined ? 0 : Math.max(0, lastSequence - next.sequence + 1);
    });
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  }

  #open(shard: number, place: TailPlace): Feed {
    const feed = new DecodedFeed(this.#broker, this.#log, shard, place, () => this.#feeds.delete(feed));
    this.#feeds.add(feed);
    return feed;
  }

  #key(shard: number): string {
    return `${this.#name}/${this.#broker.layout.generation}/${shard}`;
  }
}

class DecodedFeed implements Feed {
  readonly #broker: Broker;
  readonly #shard: number;
  readonly #scope: string;
  readonly #feed: ShardFeed;
  readonly #onClose: () => void;

  constructor(broker: Broker, log: Log, shard: number, place: TailPlace, onClose: () => void) {
    this.#broker = broker;
    this.#shard = shard;
    this.#scope = `${subjectRoot}.log.${shard}.`;
    this.#feed = new ShardFeed(broker, log, shard, place);
    this.#onClose = onClose;
  }

  async next(): Promise<Stretch | undefined> {
    const messages = await this.#feed.next();
    const last = messages?.at(-1);
    if (messages === undefined || last === undefined) return undefined;
    const batch = messages.flatMap((message) => this.#tailed(message) ?? []);
    return { batch, place: { position: last.sequence, time: last.time } };
  }

  reconnected(): void {
    this.#feed.reconnected();
  }

  close(): void {
    this.#onClose();
    this.#feed.close();
  }

  /** Undefined for what the fleet did not write there. */
  #tailed({ subject, sequence, time, block, payload }: RawMessage): Tailed | undefined {
    const namespace = subject.slice(
      this.#scope.length,
      subject.indexOf('.', this.#scope.length),
    ) as Namespace;
    const topic = topicOf(`${this.#scope}${namespace}.`, subject);
    if (topic === undefined) return undefined;
    const publication = decodePublication(block, payload, topic, { time, shard: this.#shard, sequence });
    return new TailedPublication(this.#broker, namespace, publication);
  }
}

/** Few who read a publication need its cursor. */
class TailedPublication implements Tailed {
  readonly namespace: Namespace;
  readonly publication: Publication;
  readonly #broker: Broker;

  constructor(broker: Broker, namespace: Namespace, publication: Publication) {
    this.#broker = broker;
    this.namespace = namespace;
    this.publication = publication;
  }

  get cursor(): Cursor {
    const { shard, sequence, time } = this.publication;
    return formatCursor(this.#broker.placeOf(shard, sequence, time));
  }
}
