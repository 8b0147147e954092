import type { Msg } from '@nats-io/transport-node';
import type { Lent, Namespace, Publication, Share } from '@pushfleet/core';
import { logScope, topicOf } from '../subject.ts';
import type { Broker } from './broker.ts';
import { consumerOf } from './group.ts';
import { GroupSupply, type Taker } from './group-supply.ts';
import { decodePublication } from './headers.ts';
import type { Log } from './log.ts';
import { deliveryOf, verdicts } from './queue-entry.ts';
import { rawBlock } from './raw.ts';

export interface SharePlace {
  readonly broker: Broker;
  readonly log: Log;
  readonly namespace: Namespace;
  readonly group: string;
  readonly leaseMs: number;
  /** Answers the broker; while that is away, the answer is kept up to a time, Unix time in milliseconds. */
  readonly answer: (reply: string, verdict: string, until?: number) => void;
  readonly on: (lent: Lent) => void;
  readonly onGone: () => void;
}

/** A member of a group: one supply a shard, and what is in hand, which is extended for as long as this process lives. */
export class GroupShare implements Share {
  readonly #place: SharePlace;
  /** In hand, those first whose lease ends first. */
  readonly #held = new Set<LentWork>();
  /** Empty until the layout is known. */
  #supplies: readonly GroupSupply[] = [];
  #wanted = 0;
  #stopped = false;

  constructor(place: SharePlace) {
    this.#place = place;
  }

  want(count: number): void {
    if (this.#stopped) return;
    this.#wanted = count;
    if (count > 0) for (const supply of this.#all()) supply.wanted();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#wanted = 0;
    for (const supply of this.#supplies) supply.stop();
    for (const lent of [...this.#held]) lent.back();
  }

  /** The connection is back. */
  returned(): void {
    for (const supply of this.#all()) supply.returned();
  }

  tick(now: number): void {
    this.#extend(now);
    for (const supply of this.#all()) supply.tick(now);
  }

  /** Says what is done with it; what is not in hand any more cannot be given back. */
  answer(lent: LentWork, verdict: 'done' | 'back'): void {
    const inHand = this.#held.delete(lent);
    if (verdict === 'done') this.#place.answer(lent.reply, verdicts.done);
    else if (inHand) this.#place.answer(lent.reply, verdicts.back, lent.endsAt);
  }

  /** What lies here for long is kept from going to others; what could not be told in time has gone to them. */
  #extend(now: number): void {
    const { leaseMs, broker } = this.#place;
    for (const lent of this.#held) {
      if (lent.endsAt - now > leaseMs / 2) return;
      if (lent.endsAt <= now) this.#held.delete(lent);
      else if (broker.bulk.up) {
        this.#held.delete(lent);
        lent.endsAt = now + leaseMs;
        this.#held.add(lent);
        this.#place.answer(lent.reply, verdicts.extend);
      }
    }
  }

  #all(): readonly GroupSupply[] {
    if (this.#supplies.length === 0 && !this.#stopped) this.#supplies = this.#makeSupplies();
    return this.#supplies;
  }

  #makeSupplies(): GroupSupply[] {
    const { broker, log, namespace, group } = this.#place;
    if (!broker.known) return [];
    const place = { link: broker.bulk, log, consumer: consumerOf(namespace, group) };
    return broker.layout.views.map(
      (_, shard) => new GroupSupply({ ...place, stream: broker.stream(shard) }, this.#takerOf(shard)),
    );
  }

  #takerOf(shard: number): Taker {
    const wanted = () => this.#wantedOfShard();
    return {
      get wanted() {
        return wanted();
      },
      take: (message, reply) => this.#take(shard, message, reply),
      gone: () => this.#gone(),
    };
  }

  /** Nobody knows which shard has something: each is asked for its part, and what is too much goes back. */
  #wantedOfShard(): number {
    return Math.ceil(this.#wanted / this.#supplies.length);
  }

  #take(shard: number, message: Msg, reply: string): void {
    const { namespace, leaseMs, on } = this.#place;
    const topic = topicOf(logScope(namespace, shard), message.subject);
    if (topic === undefined) {
      this.#place.answer(reply, verdicts.done); // not a publication of the fleet
      return;
    }
    if (this.#wanted <= 0) {
      this.#place.answer(reply, verdicts.back);
      return;
    }
    const { time, sequence } = deliveryOf(reply);
    const at = { time, shard, sequence };
    const publication = decodePublication(rawBlock(message), message.data, topic, at);
    const now = Date.now();
    if (publication.expiresAt !== undefined && publication.expiresAt <= now) {
      this.#place.answer(reply, verdicts.done);
      return;
    }
    this.#wanted--;
    const lent = new LentWork(this, reply, publication, now + leaseMs);
    this.#held.add(lent);
    on(lent);
  }

  #gone(): void {
    if (this.#stopped) return;
    this.stop();
    this.#place.onGone();
  }
}

class LentWork implements Lent {
  readonly publication: Publication;
  readonly reply: string;
  /** When the broker may hand it out again, by this machine's clock: Unix time in milliseconds. */
  endsAt: number;
  readonly #share: GroupShare;
  #answered = false;

  constructor(share: GroupShare, reply: string, publication: Publication, endsAt: number) {
    this.#share = share;
    this.reply = reply;
    this.publication = publication;
    this.endsAt = endsAt;
  }

  done(): void {
    this.#answer('done');
  }

  back(): void {
    this.#answer('back');
  }

  #answer(verdict: 'done' | 'back'): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#share.answer(this, verdict);
  }
}
