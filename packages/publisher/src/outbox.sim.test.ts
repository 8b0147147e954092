import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forSeeds, type Random } from '@pushfleet/contract/simulation';
import { PublishError } from './error.ts';
import type { Answer } from './lane.ts';
import { type Batch, entriesOf, Outbox } from './outbox.ts';
import { Events, Log, ModelInstance } from './testing-fleet.ts';

const limits = {
  ...{ count: 200, bytes: 100_000, batchCount: 20, batchBytes: 4_000, batches: 3 },
  ...{ lingerMs: 5, patienceMs: 50_000 },
};
const callMs = 10_000;

/** The shell of the outbox without sockets: calls to instances that fail as instances do. */
class World {
  readonly events = new Events();
  readonly log = new Log(120_000);
  readonly answers = new Map<string, Answer>();
  readonly published: { readonly id: string; readonly topic: string }[] = [];
  readonly outbox: Outbox;
  readonly #random: Random;
  readonly #instances: ModelInstance[];
  #turn = 0;

  constructor(random: Random) {
    this.#random = random;
    this.outbox = new Outbox(limits, () => random.next());
    this.#instances = [0, 1, 2].map(() => new ModelInstance(this.events, this.log, random));
  }

  publish(topic: string, bytes: number): void {
    if (!this.outbox.fits(bytes)) return;
    const id = String(this.published.length);
    this.published.push({ id, topic });
    const settle = (answer: Answer) => {
      assert.ok(!this.answers.has(id), 'a caller is answered once');
      this.answers.set(id, answer);
    };
    const entry = this.outbox.add({ id, topic } as never, bytes, settle, this.events.now);
    if (this.#random.chance(0.01)) {
      const delay = this.#random.below(2_000);
      this.events.after(delay, () => this.outbox.giveUp(entry, 'aborted', 'Not wanted any more.'));
    }
    this.pump();
  }

  pump(): void {
    const { now } = this.events;
    this.outbox.expire(now);
    for (let batch = this.outbox.take(now); batch !== undefined; batch = this.outbox.take(now)) {
      this.#call(batch);
    }
    const at = this.outbox.wakeAt(now);
    if (at < Number.POSITIVE_INFINITY) this.events.after(Math.max(0, at - now), () => this.pump());
  }

  #call(batch: Batch): void {
    const drafts = entriesOf(batch).map(({ draft }) => draft);
    let answered = false;
    const answer = (answers: readonly Answer[] | PublishError) => {
      if (answered) return;
      answered = true;
      this.outbox.settle(batch, answers, this.events.now);
      this.pump();
    };
    const gone = (code: string) => new PublishError(code, 'no answer came', { mayBeStored: true });
    this.events.after(callMs, () => answer(gone('timeout')));
    const instance = this.#instances[this.#turn++ % this.#instances.length] as ModelInstance;
    instance.publish(drafts, answer, () => answer(gone('unavailable')));
  }

  disturb(): void {
    const instance = this.#random.pick(this.#instances);
    const kind = this.#random.below(4);
    if (kind === 0) instance.die(this.#random.below(8_000));
    else if (kind === 1) instance.drain(this.#random.below(3_000));
    else if (kind === 2)
      this.log.away(this.events.now + this.#random.below(this.#random.chance(0.2) ? 150_000 : 30_000));
    else instance.limitRate(this.#random.below(5_000));
  }
}

function play(random: Random): World {
  const world = new World(random);
  const topics = Array.from({ length: 1 + random.below(8) }, (_, i) => `t/${i}`);
  let at = 0;
  for (let i = 0; i < 150; i++) {
    at += random.chance(0.1) ? random.below(3_000) : random.below(30);
    world.events.after(at, () => world.publish(random.pick(topics), 1 + random.below(900)));
    if (random.chance(0.04)) world.events.after(at, () => world.disturb());
  }
  world.events.runAll();
  return world;
}

function check({ log, published, answers, outbox }: World): void {
  assert.equal(answers.size, published.length, 'every caller has an answer');
  assert.equal(outbox.open.size, 0);
  assert.ok(outbox.fits(limits.bytes), 'all room was given back');
  for (const [topic, ids] of log.topics) {
    assert.equal(new Set(ids).size, ids.length, `${topic} holds nothing twice`);
    const acknowledged = published.filter(
      (one) => one.topic === topic && !(answers.get(one.id) instanceof PublishError),
    );
    const kept = new Set(acknowledged.map(({ id }) => id));
    assert.deepEqual(
      ids.filter((id) => kept.has(id)),
      acknowledged.map(({ id }) => id),
      `${topic} holds what was acknowledged in the order of the calls`,
    );
  }
  for (const { id, topic } of published) {
    const answer = answers.get(id);
    const stored = log.topics.get(topic)?.includes(id) ?? false;
    if (!(answer instanceof PublishError)) assert.ok(stored && !answer?.duplicate);
    else assert.ok(answer.mayBeStored || !stored, `${id}: ${answer.message}`);
  }
}

test('with dying, draining, slow and limiting instances nothing is lost, reordered or doubled', async () => {
  let acknowledged = 0;
  await forSeeds(1_000, async (random) => {
    const world = play(random);
    check(world);
    acknowledged += [...world.answers.values()].filter((answer) => !(answer instanceof PublishError)).length;
  });
  assert.ok(acknowledged > 0);
});
