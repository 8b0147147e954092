import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forSeeds, type Random, SimulatedClock } from '@pushfleet/contract/simulation';
import {
  defaultNamespace,
  type Following,
  matches,
  type Place,
  type Publication,
  parseTopic,
  parseTopicFilter,
  type TopicFilter,
} from '@pushfleet/core';
import { createMemoryBackbone, type MemoryBackbone } from './memory/backbone.ts';

const topics = ['a', 'a/b', 'a/c', 'a/b/c', 'x/b', '$fleet/a'].map(parseTopic);
const filters = ['#', 'a/#', 'a/+', 'a/b', '+/b', '$fleet/#', 'x/b'].map(parseTopicFilter);
const auditMs = 1_000;

/** What one filter is owed, and when. */
interface Held {
  readonly filter: TopicFilter;
  readonly from: Place;
}

/** One follower on one log, with what was published and what was handed over. */
class World {
  readonly random: Random;
  readonly clock = new SimulatedClock();
  readonly backbone: MemoryBackbone;
  readonly handed: Publication[] = [];
  readonly following: Following;
  readonly held = new Map<TopicFilter, Held>();
  faulty = true;
  #away = false;
  #ids = 0;

  constructor(random: Random, orderly: boolean) {
    this.random = random;
    this.backbone = createMemoryBackbone({
      clock: this.clock,
      shards: 1 + random.below(3),
      network: () => this.#fate(orderly),
      latency: () => random.below(8),
      follower: { auditMs, heldMessages: 1 + random.below(8), retryMs: 20 },
    });
    this.following = this.backbone.bus(defaultNamespace).follow((item) => {
      assert.equal(item.kind, 'publication', 'nothing expired, so there is no gap');
      if (item.kind === 'publication') this.handed.push(item.value);
    });
  }

  /** An orderly network is one connection: first in, first out, losing only while it is known to be away. */
  #fate(orderly: boolean): number[] {
    if (orderly) return this.#away ? [] : [2];
    if (!this.faulty) return [1];
    const delays = [];
    if (!this.random.chance(0.1)) delays.push(this.random.below(40));
    if (this.random.chance(0.1)) delays.push(this.random.below(60));
    return delays;
  }

  async publish(): Promise<void> {
    const draft = {
      id: String(++this.#ids),
      source: 'sim',
      topic: this.random.pick(topics),
      contentType: 'text/plain',
      payload: new Uint8Array(1),
    };
    await this.backbone.bus(defaultNamespace).publish([draft]);
  }

  async toggleFilter(): Promise<void> {
    const filter = this.random.pick(filters);
    if (this.held.delete(filter)) this.following.remove(filter);
    else {
      const adding = this.following.add(filter).then(
        (from) => this.held.set(filter, { filter, from: structuredClone(from) }),
        () => {},
      );
      await this.clock.advance(10);
      await adding;
    }
  }

  async outage(): Promise<void> {
    this.#away = true;
    this.backbone.source.cut(new Error('away'));
    for (let i = this.random.below(4); i > 0; i--) await this.publish();
    await this.clock.advance(this.random.below(100));
    this.#away = false;
    this.backbone.source.restore();
  }

  /** Publications the filter is owed up to `until`. */
  owed({ filter, from }: Held, until?: Place): Publication[] {
    return this.backbone.log.shards.flatMap(({ entries }, shard) =>
      entries
        .map(({ publication }) => publication)
        .filter(({ topic, sequence }) => {
          const inRange =
            sequence > (from.positions[shard] ?? 0) && sequence <= (until?.positions[shard] ?? Infinity);
          return inRange && matches(filter, topic);
        }),
    );
  }

  assertHanded(until?: Place): void {
    const handed = new Set(this.handed.map(({ id }) => id));
    for (const held of this.held.values()) {
      const missing = this.owed(held, until).filter(({ id }) => !handed.has(id));
      assert.deepEqual(
        missing.map(({ topic, sequence }) => `${topic}#${sequence}`),
        [],
        `owed to ${held.filter}`,
      );
    }
  }

  assertOrderedOnce(): void {
    const newest = new Map<string, number>();
    for (const { topic, sequence } of this.handed) {
      assert.ok(sequence > (newest.get(topic) ?? 0), `${topic}#${sequence} came again or too late`);
      newest.set(topic, sequence);
    }
  }

  async step(): Promise<void> {
    const dice = this.random.next();
    if (dice < 0.7) await this.publish();
    else if (dice < 0.8) await this.toggleFilter();
    else if (dice < 0.84) await this.outage();
    else if (dice < 0.88) {
      const shard = this.random.below(this.backbone.log.shards.length);
      this.backbone.source.suspect({ kind: 'leader_changed', shard });
    } else await this.clock.advance(this.random.below(400));
    if (this.random.chance(0.5)) await this.clock.advance(this.random.below(10));
  }

  async settle(): Promise<void> {
    this.faulty = false;
    await this.clock.advance(4 * auditMs);
  }
}

test('a network that loses, doubles and overtakes without telling: all is handed over once, in order', async () => {
  await forSeeds(1_500, async (random) => {
    const world = new World(random, false);
    for (let i = 0; i < 60; i++) await world.step();
    await world.settle();
    world.assertHanded();
    world.assertOrderedOnce();
    world.following.stop();
  });
});

test('where losses announce themselves, the place never runs ahead of what was handed over', async () => {
  await forSeeds(1_500, async (random) => {
    const world = new World(random, true);
    for (let i = 0; i < 60; i++) {
      await world.step();
      world.assertHanded(world.following.place);
    }
    await world.settle();
    world.assertHanded();
    world.assertOrderedOnce();
    world.following.stop();
  });
});
