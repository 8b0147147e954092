import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { connectJetStream } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import { type Cursor, matches, type Namespace, type Topic, type TopicFilter } from '@pushfleet/core';
import { type Fault, faults } from './faults.ts';
import { Fleet, token } from './fleet.ts';
import { LoadPublisher } from './load.ts';
import { filters, topics } from './trial.ts';
import { cluster } from './under-faults.ts';
import {
  check,
  countAgain,
  type Disruption,
  type Endpoint,
  type Observed,
  type Owed,
} from './webhook-check.ts';
import { type Behaviour, behaviours, Receivers } from './webhook-receivers.ts';
import { HookManager, webhookEnv } from './webhooks.ts';

export interface WebhookTrialOptions {
  readonly endpoints: number;
  /** At least so many, over all endpoints; publishing goes on for as long as things go wrong. */
  readonly deliveries: number;
  /** Publications a second. */
  readonly rate: number;
  /** A worker is killed so often. */
  readonly killEveryMs: number;
  /** What else happens, each once its share of the deliveries has arrived. */
  readonly faults: readonly (readonly [share: number, fault: Fault])[];
}

/**
 * How long before a disruption an accepted delivery may not be on record. docs/reliability.md says a second or two;
 * here three servers, nine processes and the endpoints share the cores of one machine.
 */
const windowMs = 5_000;
const concurrency = 4;
/** No delivery is given up within a trial: what is not accepted at its end was lost. */
const retry = ['1s', '2s', '5s', ...Array.from({ length: 47 }, () => '10s')].join(',');

/** The trial as a test: three nats-servers and three shards, two publish services, three workers. */
export function webhooksUnderFaults(size: WebhookTrialOptions): void {
  describe(`${size.deliveries} deliveries to ${size.endpoints} endpoints`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({
        ...{ ...cluster, edges: 0, workers: 3 },
        env: {
          ...webhookEnv,
          PUSHFLEET_WEBHOOK_RETRY: retry,
          PUSHFLEET_WEBHOOK_TIMEOUT: '5',
          PUSHFLEET_WEBHOOK_BREAKER_SECONDS: '1',
        },
      });
    });
    after(() => fleet?.stop());
    test('lose nothing, double only what was in flight, keep the order, and end with a 410', async (t) => {
      await new Trial(fleet, size, t).run().catch((error) => {
        t.diagnostic(fleet.logs().slice(-20_000));
        throw error;
      });
    });
  });
}

/** How an endpoint is: a fifth hangs, fails or asks for less, some are slow, some end their subscription. */
function characterOf(index: number): readonly [name: string, behave: Behaviour] {
  const troubled = [
    ['hangs', behaviours.hangs],
    ['fails', behaviours.failsFor(8)],
    ['throttles', behaviours.throttlesEach(3)],
  ] as const;
  if (index % 5 === 4) return troubled[Math.floor(index / 5) % troubled.length] as (typeof troubled)[0];
  if (index % 20 === 7) return ['gone', behaviours.goneFrom(5)];
  if (index % 10 === 3) return ['slow', behaviours.slow(200)];
  return ['well', behaviours.well];
}

interface Subscribed extends Omit<Endpoint, 'owed'> {
  readonly character: string;
  readonly filter: TopicFilter;
}

class Trial {
  readonly #fleet: Fleet;
  readonly #size: WebhookTrialOptions;
  readonly #test: TestContext;
  readonly #disruptions: Disruption[] = [];
  #receivers!: Receivers;
  #calm = false;

  constructor(fleet: Fleet, size: WebhookTrialOptions, context: TestContext) {
    this.#fleet = fleet;
    this.#size = size;
    this.#test = context;
  }

  async run(): Promise<void> {
    this.#receivers = await Receivers.open();
    const log = new Log(this.#fleet);
    try {
      await log.start();
      const from = await log.head();
      const hooks = await this.#subscribe();
      await this.#load();
      for (const { endpoint, character } of hooks) {
        if (character === 'hangs') this.#receivers.change(endpoint, behaviours.well);
      }
      const published = await log.since(from);
      const owed = (filter: TopicFilter) => published.filter(({ topic }) => matches(filter, topic));
      const endpoints = hooks.map((hook) => ({ ...hook, owed: owed(hook.filter) }));
      await this.#assertKept(endpoints);
    } finally {
      this.#receivers.close();
      await log.close();
    }
  }

  async #subscribe(): Promise<readonly Subscribed[]> {
    const owner = new HookManager(this.#fleet, await token({ sub: 'owner', subscribe: ['#'], manage: true }));
    const hooks: Subscribed[] = [];
    for (let i = 0; i < this.#size.endpoints; i++) {
      const [character, behave] = characterOf(i);
      const endpoint = `${i}-${character}`;
      const filter = filters[i % filters.length] as TopicFilter;
      const ordered = i % 3 === 0;
      const url = this.#receivers.add(endpoint, behave);
      const { secret } = await owner.create({ filter, url, ordered, concurrency, handshake: 'none' });
      this.#receivers.trust(endpoint, secret);
      hooks.push({ endpoint, character, filter, ordered, concurrency: ordered ? 1 : concurrency });
    }
    return hooks;
  }

  /** Publishes while things go wrong. */
  async #load(): Promise<void> {
    const { rate } = this.#size;
    const publish = await token({ publish: ['load/#'] });
    const run = randomUUID();
    const publishers = [0, 1].map(
      (publisher) =>
        new LoadPublisher({
          ...{ address: this.#fleet.grpc.address, token: publish, run, publisher, topics },
          ...{ count: 0, rate: rate / 2 },
        }),
    );
    const running = Promise.all(publishers.map((publisher) => publisher.run()));
    try {
      await Promise.all([this.#killWorkers(), this.#disturb()]);
    } finally {
      for (const publisher of publishers) publisher.finish();
    }
    await running;
  }

  async #killWorkers(): Promise<void> {
    try {
      while (!this.#calm) {
        await sleep(this.#size.killEveryMs);
        await this.#during('kill -9 of a worker');
      }
    } finally {
      this.#calm = true;
    }
  }

  async #disturb(): Promise<void> {
    const { deliveries } = this.#size;
    const arrived = (share: number) =>
      until(
        () => this.#calm || this.#receivers.accepted >= share * deliveries,
        `${100 * share} % of the deliveries`,
        600_000,
      );
    try {
      for (const [share, fault] of this.#size.faults) {
        await arrived(share);
        await this.#during(fault);
      }
      await arrived(1);
    } finally {
      this.#calm = true;
    }
  }

  async #during(what: Fault): Promise<void> {
    const from = performance.now();
    try {
      await faults[what](this.#fleet);
    } finally {
      this.#disruptions.push({ what, from, to: performance.now() });
    }
  }

  async #assertKept(endpoints: readonly Endpoint[]): Promise<void> {
    const observe = (): Observed => ({
      receipts: this.#receivers.received,
      endpoints,
      disruptions: this.#disruptions,
      windowMs,
    });
    const complete = () =>
      endpoints.every(({ endpoint, owed }) => this.#receivers.satisfied(endpoint, owed.length));
    await until(complete, 'every delivery to arrive', 180_000).catch(() => {});
    // Whatever would still come, a duplicate or a delivery after a 410, is written down somewhere.
    await until(
      async () => (await left(this.#fleet)).length === 0,
      'queue and lanes to be empty',
      60_000,
    ).catch(() => {});
    const observed = observe();
    const found = check(observed);
    const owed = endpoints.reduce((sum, endpoint) => sum + endpoint.owed.length, 0);
    this.#test.diagnostic(
      `${owed} owed, ${observed.receipts.length} requests, ${countAgain(observed)} came again; ` +
        this.#disruptions
          .map(({ what, from, to }) => `${what} ${Math.round(from)}–${Math.round(to)}`)
          .join(', '),
    );
    const lines = Object.entries(found).flatMap(([promise, all]) =>
      all.length === 0 ? [] : [`${promise}: ${all.length}`, ...all.slice(0, 10)],
    );
    assert.deepEqual([...lines, ...(await left(this.#fleet))], []);
  }
}

/** What is still to be done, a line for each place where something lies. */
async function left(fleet: Fleet): Promise<string[]> {
  const nc = await connect({ servers: fleet.nats.url.split(',') });
  try {
    const manager = await jetstreamManager(nc);
    const subjects = ['pushfleet_queue_webhook', 'pushfleet_shelf_lanes'].map(
      async (name) => (await manager.streams.info(name, { subjects_filter: '>' })).state.subjects ?? {},
    );
    return (await Promise.all(subjects)).flatMap((one) =>
      Object.entries(one).map(([subject, count]) => `${count} left on ${subject}`),
    );
  } finally {
    await nc.close();
  }
}

interface Published extends Owed {
  readonly topic: Topic;
}

/** The log itself: what it holds is what everybody is owed. */
class Log {
  readonly #backbone: ReturnType<typeof connectJetStream>;

  constructor(fleet: Fleet) {
    const log = { info() {}, warn() {}, error() {}, debug() {} };
    this.#backbone = connectJetStream({ servers: fleet.nats.url, name: 'trial', log: log as never });
  }

  async start(): Promise<void> {
    await this.#backbone.start();
    await until(() => this.#backbone.ready, 'the log to be in reach');
  }

  get #bus() {
    return this.#backbone.bus('default' as Namespace);
  }

  head(): Promise<Cursor> {
    return this.#bus.head();
  }

  /** In each shard's order. */
  async since(from: Cursor): Promise<readonly Published[]> {
    const published: Published[] = [];
    const signal = AbortSignal.timeout(120_000);
    const all = this.#bus.replay(['load/#' as TopicFilter], from, await this.head(), signal);
    for await (const items of all) {
      for (const item of items) {
        if (item.kind !== 'publication') throw new Error('the log has a gap');
        const { topic, shard, payload } = item.value;
        published.push({ topic, shard, body: Buffer.from(payload).toString() });
      }
    }
    return published;
  }

  async close(): Promise<void> {
    await this.#backbone.close();
  }
}
