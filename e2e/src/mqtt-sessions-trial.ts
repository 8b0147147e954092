import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, type TestContext, test } from 'node:test';
import { findMosquittoClients, findPahoPython, until } from '@pushfleet/contract';
import { connectAsync } from 'mqtt';
import { type Fault, faults } from './faults.ts';
import { Fleet, token } from './fleet.ts';
import { MqttPrograms } from './mqtt-programs.ts';
import { RawClient } from './mqtt-raw-client.ts';
import type { Where } from './mqtt-session-client.ts';
import {
  JsPublisher,
  PahoPublisher,
  type Publisher,
  type PublisherOptions,
} from './mqtt-session-publishers.ts';
import { readyTopic, type Subscriber, subscriber } from './mqtt-session-subscribers.ts';
import {
  check,
  countAgain,
  grantedOn,
  type Made,
  payloadOf,
  type Wanted,
  type Witness,
} from './mqtt-sessions-check.ts';
import { Mortals } from './mqtt-sessions-wills.ts';

export interface SessionsTrialOptions {
  readonly pods: number;
  /** At least so many; publishing goes on for as long as things go wrong. */
  readonly publications: number;
  readonly publishers: number;
  readonly subscribers: number;
  /** Publications a second of all publishers together. */
  readonly rate: number;
  /** What goes wrong, one after the other, while the publications come. */
  readonly faults: readonly Fault[];
}

/** What ends offline sessions' hot state: nobody may be away then. */
const forgetting: readonly Fault[] = ['Redis restarted and emptied'];
/** Every so often somebody loses a connection. */
const cutMs = 400;
const patienceMs = 90_000;

/** A fleet of pods behind one address, and the trial as a test. */
export function sessionsUnderFaults(o: SessionsTrialOptions): void {
  describe(`${o.publications} publications to sessions on ${o.pods} pods`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({
        ...{ natsServers: 3, shards: 2, edges: o.pods, publishers: 0, protocols: ['edge-mqtt'] },
        env: {
          PUSHFLEET_DRAIN_SECONDS: '3',
          PUSHFLEET_EDGE_MQTT_RATE: '1000000',
          PUSHFLEET_EDGE_MQTT_BURST: '1000000',
        },
      });
    });
    after(() => fleet?.stop());
    test('lose nothing, double nothing of QoS 2, keep the order, and publish each will once', async (t) => {
      await new Trial(fleet, o, t).run().catch((error) => {
        t.diagnostic(fleet.logs().slice(-20_000));
        throw error;
      });
    });
  });
}

class Trial {
  readonly #fleet: Fleet;
  readonly #o: SessionsTrialOptions;
  readonly #test: TestContext;
  readonly #run = randomBytes(4).toString('hex');
  readonly #publishers: Publisher[] = [];
  readonly #subscribers: (Subscriber | RawClient)[] = [];
  #mortals!: Mortals;
  #where!: Where;
  #programs!: MqttPrograms;
  #calm = false;

  constructor(fleet: Fleet, o: SessionsTrialOptions, context: TestContext) {
    this.#fleet = fleet;
    this.#o = o;
    this.#test = context;
  }

  async run(): Promise<void> {
    const [clients, python] = await Promise.all([findMosquittoClients(), findPahoPython()]);
    const { address } = this.#fleet.door('edge-mqtt');
    this.#where = { address, token: await token({ publish: ['#'], subscribe: ['#'] }) };
    this.#programs = new MqttPrograms(clients, python, address);
    this.#mortals = new Mortals(this.#where, this.#run);
    const cutting = setInterval(() => this.#cutOne(), cutMs);
    try {
      await this.#retain('0');
      this.#subscribe();
      await this.#connected();
      await this.#load();
      await this.#arrived();
      clearInterval(cutting);
      await this.#comeAgain();
      this.#assertKept();
    } finally {
      clearInterval(cutting);
      for (const client of [...this.#subscribers, ...this.#publishers]) client.close();
      this.#mortals.close();
      await this.#programs.stop();
    }
  }

  get #topics() {
    const of = (qos: number) => [0, 1, 2, 3, 4].map((item) => `${this.#run}/q${qos}/${item}`);
    return { 1: of(1), 2: of(2) };
  }

  /** Whoever is connected, or comes, is given this. */
  async #retain(ready: string): Promise<void> {
    for (const client of this.#subscribers) if ('await' in client) client.await?.(ready);
    const { address, token: password } = this.#where;
    const client = await connectAsync(`mqtt://${address}`, { username: 'token', password });
    await client.publishAsync(readyTopic(this.#run), ready, { qos: 1, retain: true });
    await client.endAsync();
  }

  #subscribe(): void {
    const run = this.#run;
    const sets: readonly (readonly Wanted[])[] = [
      [{ filter: `${run}/#`, qos: 2 }],
      [
        { filter: `${run}/q2/#`, qos: 2 },
        { filter: `${run}/wills/+`, qos: 2 },
      ],
      [
        { filter: `${run}/+/0`, qos: 2 },
        { filter: `${run}/q2/0`, qos: 1 },
      ],
      [
        { filter: `${run}/q2/+`, qos: 1 },
        { filter: `${run}/q1/+`, qos: 2 },
      ],
      [{ filter: `${run}/q1/#`, qos: 1 }],
    ];
    for (let i = 0; i < this.#o.subscribers; i++) {
      const filters = sets[i % sets.length] as readonly Wanted[];
      this.#subscribers.push(subscriber(this.#where, this.#programs, i, run, filters));
    }
  }

  async #connected(): Promise<void> {
    const away = () => this.#subscribers.filter(({ connected }) => !connected).map(({ name }) => name);
    await until(() => away().length === 0, 'every client to be connected', patienceMs).catch((cause) => {
      throw new Error(`not connected: ${away().join(', ')}; ${this.#troubles().join('; ')}`, { cause });
    });
  }

  /** Publishes while one thing after the other goes wrong. */
  async #load(): Promise<void> {
    const { publishers, publications, rate } = this.#o;
    const options = { topics: this.#topics, count: publications / publishers, rate: rate / publishers };
    for (let i = 0; i < publishers; i++) this.#publishers.push(this.#publisher(i, options));
    for (const publisher of this.#publishers) publisher.start();
    for (const [index, fault] of this.#o.faults.entries()) {
      const share = (publications * (index + 1)) / (this.#o.faults.length + 2);
      await this.#acknowledged(share);
      await this.#suffer(fault);
      await this.#retain(String(index + 1));
      await this.#connected();
    }
    let finished = false;
    const finishing = Promise.all(this.#publishers.map((publisher) => publisher.finish()));
    void finishing.then(() => (finished = true));
    const over = () => finished || this.#troubles().length > 0;
    await until(over, 'all publications to be acknowledged', patienceMs + (publications / rate) * 2_000);
    assert.deepEqual(this.#troubles().slice(0, 20), []);
  }

  #publisher(index: number, options: Omit<PublisherOptions, 'name'>): Publisher {
    const name = `publisher ${index} of ${this.#run}`;
    const o = { ...options, name };
    if (index % 4 === 3) return new PahoPublisher(this.#programs.pahoSession(this.#where.token, name), o);
    return new JsPublisher(this.#where, o, index % 4 === 2 ? 4 : 5);
  }

  async #suffer(fault: Fault): Promise<void> {
    const forgets = forgetting.includes(fault);
    this.#calm = forgets;
    const sleepers = forgets
      ? []
      : this.#subscribers.filter((client) => client instanceof RawClient).slice(0, 1);
    for (const sleeper of sleepers) sleeper.sleep();
    if (forgets) await this.#connected();
    await this.#mortals.come();
    const started = performance.now();
    await faults[fault](this.#fleet);
    await this.#mortals.die();
    for (const sleeper of sleepers) sleeper.wake();
    const before = this.#count();
    await this.#connected();
    await this.#acknowledged(before + 20);
    this.#calm = false;
    this.#test.diagnostic(`${fault}: ${Math.round(performance.now() - started)} ms`);
  }

  #count = (): number => this.#publishers.reduce((sum, { acknowledged }) => sum + acknowledged, 0);

  async #acknowledged(count: number): Promise<void> {
    let now = 0;
    const enough = async (): Promise<boolean> => {
      now = this.#count();
      return now >= count || this.#troubles().length > 0;
    };
    await until(enough, `${count} acknowledgements`, patienceMs + (count / this.#o.rate) * 2_000).catch(
      (cause) => {
        throw new Error(`${now} of ${count} publications are acknowledged`, { cause });
      },
    );
    assert.deepEqual(this.#troubles().slice(0, 20), []);
  }

  /** Somebody loses a connection, unless nobody may. */
  #cutOne(): void {
    if (this.#calm) return;
    const any = this.#subscribers[Math.floor(Math.random() * this.#subscribers.length)];
    if (any?.connected) any.cut?.();
  }

  #made(): Made[] {
    return [...this.#publishers.flatMap(({ made }) => made), ...this.#mortals.made];
  }

  #troubles(): string[] {
    return [...this.#publishers, ...this.#subscribers].flatMap(({ troubles }) => troubles);
  }

  async #arrived(): Promise<void> {
    const made = this.#made();
    const debts = this.#subscribers.map((client) => new Debt(client, made));
    const paid = () => debts.filter((debt) => debt.isPaid()).length === debts.length;
    await until(paid, 'all that is owed to arrive', patienceMs).catch(() => {});
    const quiet = () => this.#unfinished().length === 0;
    await until(quiet, 'all that is in flight to end', 30_000).catch(() => {});
  }

  #unfinished(): string[] {
    return this.#subscribers.flatMap((client) =>
      client instanceof RawClient ? client.unfinished.map((what) => `${client.name}: ${what}`) : [],
    );
  }

  /** Everybody loses the connection once more, and is given what is new and nothing that was before. */
  async #comeAgain(): Promise<void> {
    for (const client of this.#subscribers) client.cut?.();
    await until(() => this.#subscribers.some(({ connected }) => !connected), 'a connection to end');
    await this.#connected();
    const count = 30;
    const last = new JsPublisher(
      this.#where,
      { name: `the last of ${this.#run}`, topics: this.#topics, count, rate: 1_000 },
      5,
    );
    this.#publishers.push(last);
    last.start();
    await until(() => last.made.length >= count, 'the last publications', patienceMs);
    await last.finish();
    await this.#arrived();
  }

  #assertKept(): void {
    const observed = { made: this.#made(), witnesses: this.#subscribers as readonly Witness[] };
    const arrivals = observed.witnesses.reduce((sum, witness) => sum + witness.arrivals.length, 0);
    const again = countAgain(observed);
    this.#test.diagnostic(`${observed.made.length} made, ${arrivals} arrivals, ${again} of them again`);
    const few = (lines: readonly string[]) => [
      ...lines.slice(0, 10),
      ...lines.slice(10, 11).map(() => `of ${lines.length}`),
    ];
    const found = Object.entries(check(observed)).map(([name, lines]) => [name, few(lines)] as const);
    const all = Object.fromEntries([
      ...found,
      ['troubles', few(this.#troubles())],
      ['unfinished', few(this.#unfinished())],
    ]);
    const kept = Object.fromEntries(Object.keys(all).map((name) => [name, []]));
    assert.deepEqual(all, kept);
  }
}

/** What a session is owed; counted on from where it was. */
class Debt {
  readonly #witness: Witness;
  readonly #owed: Set<string>;
  #heard = 0;

  constructor(witness: Witness, made: readonly Made[]) {
    this.#witness = witness;
    const owed = made.filter(({ fate, topic }) => fate === 'owed' && grantedOn(witness, topic) > 0);
    this.#owed = new Set(owed.map(payloadOf));
  }

  isPaid(): boolean {
    const { arrivals } = this.#witness;
    for (; this.#heard < arrivals.length; this.#heard++)
      this.#owed.delete((arrivals[this.#heard] as { payload: string }).payload);
    return this.#owed.size === 0;
  }
}
