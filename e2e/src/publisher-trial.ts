import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectJetStream } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import type { Namespace, Publication, TopicFilter } from '@pushfleet/core';
import { connect, PublishError } from '@pushfleet/publisher';
import { faults } from './faults.ts';
import { Fleet, token } from './fleet.ts';
import { cluster } from './under-faults.ts';

interface PublisherTrialOptions {
  /** At least so many; publishing goes on for as long as the disturbances last. */
  readonly publications: number;
  readonly topics: number;
  /** Publications a second. */
  readonly rate: number;
}

/** What happens meanwhile, each once its share of the publications was handed over. */
const disturbances: readonly (readonly [share: number, disturb: (fleet: Fleet) => Promise<void>])[] = [
  [0.1, faults["kill -9 of a stream leader's server"]],
  [0.4, faults["kill -9 of a stream leader's server"]],
  [0.7, rollingRestart],
];

async function rollingRestart(fleet: Fleet): Promise<void> {
  for (const _ of [...fleet.publishers]) await faults['SIGTERM of a publish service'](fleet);
}

/** The trial as a test, on three nats-servers and two instances of the publish service. */
export function publisherUnderFaults(size: PublisherTrialOptions): void {
  describe(`${size.publications} publications through @pushfleet/publisher`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({ ...cluster, edges: 1 });
    });
    after(() => fleet?.stop());
    test('two leader kills and a rolling restart lose, reorder and double nothing', async (t) => {
      await publisherTrial(fleet, size).catch((error) => {
        t.diagnostic(fleet.logs().slice(-20_000));
        throw error;
      });
    });
  });
}

/**
 * Publishes through @pushfleet/publisher while leaders of the log die and the publish service is restarted, then
 * reads the log back: all that was acknowledged is there, once, in the order of the calls on each topic.
 */
async function publisherTrial(fleet: Fleet, o: PublisherTrialOptions): Promise<void> {
  const log = { info() {}, warn() {}, error() {}, debug() {} };
  const backbone = connectJetStream({ servers: fleet.nats.url, name: 'trial', log: log as never });
  await backbone.start();
  const publisher = connect({
    url: `http://${fleet.grpc.address}`,
    token: () => token({ publish: ['orders/#'] }),
    limits: { connectionAgeMs: 3_000, pendingCount: 20_000 },
  });
  try {
    const bus = backbone.bus('default' as Namespace);
    await until(() => backbone.ready, 'the log to be in reach');
    const from = await bus.head();
    const load = new Load(o);
    const disturbing = load.disturb(fleet);
    const answers = await publisher.publishMany(load);
    await disturbing;
    const refused = answers.filter((answer) => answer instanceof PublishError);
    assert.deepEqual(refused.slice(0, 3), [], `${refused.length} of ${answers.length} were refused`);
    assert.deepEqual(await publisher.close(), []);
    const stored: Publication[] = [];
    const signal = AbortSignal.timeout(120_000);
    for await (const items of bus.replay(['orders/#' as TopicFilter], from, await bus.head(), signal)) {
      for (const item of items) if (item.kind === 'publication') stored.push(item.value);
    }
    assertKept(load.ids, stored);
  } finally {
    await publisher.close(0);
    await backbone.close();
  }
}

/** Publications at a steady rate, until there were enough of them and nothing is going on any more. */
class Load implements AsyncIterable<{ topic: string; payload: object; id: string }> {
  /** Of every topic, in the order they were handed over. */
  readonly ids = new Map<string, string[]>();
  readonly #options: PublisherTrialOptions;
  #count = 0;
  #calm = false;

  constructor(options: PublisherTrialOptions) {
    this.#options = options;
  }

  async disturb(fleet: Fleet): Promise<void> {
    try {
      for (const [share, disturb] of disturbances) {
        const reached = () => this.#count >= share * this.#options.publications;
        await until(reached, `${share * 100} % of the publications to be handed over`, 600_000);
        await disturb(fleet);
      }
    } finally {
      this.#calm = true;
    }
  }

  async *[Symbol.asyncIterator]() {
    const { publications, topics, rate } = this.#options;
    const started = performance.now();
    while (this.#count < publications || !this.#calm) {
      const due = ((performance.now() - started) / 1_000) * rate;
      for (; this.#count < due; this.#count++) {
        const [id, topic] = [String(this.#count), `orders/${this.#count % topics}`];
        const ids = this.ids.get(topic) ?? [];
        ids.push(id);
        this.ids.set(topic, ids);
        yield { topic, id, payload: { number: this.#count } };
      }
      await sleep(5);
    }
  }
}

function assertKept(published: ReadonlyMap<string, readonly string[]>, stored: readonly Publication[]): void {
  const kept = Map.groupBy(stored, ({ topic }) => topic as string);
  assert.deepEqual([...kept.keys()].sort(), [...published.keys()].sort());
  for (const [topic, ids] of published) {
    const found = kept.get(topic)?.map(({ id }) => id) ?? [];
    const known = new Set(found);
    const lost = ids.filter((id) => !known.has(id));
    assert.deepEqual(lost.slice(0, 10), [], `${lost.length} acknowledged publications of ${topic} are lost`);
    assert.deepEqual(found, ids, `${topic} holds each once and in the order of the calls`);
  }
}
