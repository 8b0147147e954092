import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, type TestContext, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { Fleet, token } from './fleet.ts';
import { ClientSession } from './mqtt-client-session.ts';
import { Racer } from './mqtt-racer.ts';
import { connectPacket, RawConnection } from './mqtt-raw.ts';
import type { Where } from './mqtt-session-client.ts';
import { JsSubscriber } from './mqtt-session-subscribers.ts';
import { check, type Made, payloadOf } from './mqtt-sessions-check.ts';

const receiveMaximum = 32;
const burst = 3;
const patienceMs = 30_000;

/** One client identifier at the same moment on two pods, or twice on one, `rounds` times. */
export function takeOverRaces(rounds: number, pods: 1 | 2 = 2): void {
  describe(`${rounds} races of one client identifier on ${pods} pods`, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start({
        ...{ edges: pods, publishers: 0, protocols: ['edge-mqtt'] },
        env: { PUSHFLEET_EDGE_MQTT_RATE: '1000000', PUSHFLEET_EDGE_MQTT_BURST: '1000000' },
      });
    });
    after(() => fleet?.stop());
    test('have one owner each, and neither lose nor double what goes both ways by QoS 2', async (t) => {
      await race(fleet, rounds, t).catch((error) => {
        t.diagnostic(fleet.logs().slice(-20_000));
        throw error;
      });
    });
  });
}

async function race(fleet: Fleet, rounds: number, t: TestContext): Promise<void> {
  const run = randomBytes(4).toString('hex');
  const bearer = await token({ publish: ['#'], subscribe: ['#'] });
  const where: Where = { address: fleet.door('edge-mqtt').address, token: bearer };
  const all = fleet.edgesOf('edge-mqtt').map(({ addresses }) => addresses.mqtt as string);
  const two = [all[0], all.at(-1)] as [string, string];
  const from = `${run}/from`;
  const racer = new Racer({ name: `racer ${run}`, token: bearer, to: `${run}/to`, from });
  const witness = new JsSubscriber(where, `witness of ${run}`, [{ filter: from, qos: 2 }], 5);
  const feeder = new Feeder(where, `feeder of ${run}`, racer.to);
  try {
    await until(() => witness.connected, 'the witness to be subscribed');
    await feeder.open();
    await racer.open(two[0]);
    for (let round = 1; round <= rounds; round++) {
      await racer.hasRoom();
      feeder.feed();
      racer.publish();
      await racer.race(two);
      racer.publish();
    }
    await ended({ racer, feeder, witness });
    t.diagnostic(
      `${racer.made.length} from the client and ${feeder.made.length} to it; ` +
        `${racer.displaced} connections heard that they were displaced, ${racer.silent} did not`,
    );
    assertKept({ racer, feeder, witness });
  } finally {
    witness.close();
    feeder.close();
    racer.close();
  }
}

interface Race {
  readonly racer: Racer;
  readonly feeder: Feeder;
  readonly witness: JsSubscriber;
}

/** Resolves when all arrived, or does not come any more: what is missing is told later. */
async function ended({ racer, feeder, witness }: Race): Promise<void> {
  const over = () =>
    feeder.session.outstanding + racer.session.unfinished.length === 0 &&
    racer.session.arrivals.length >= feeder.made.length &&
    witness.arrivals.length >= racer.made.length;
  await until(over, 'all that was published to arrive', patienceMs).catch(() => {});
}

function assertKept({ racer, feeder, witness }: Race): void {
  const given = {
    ...{ name: 'the client', filters: [{ filter: racer.to, qos: 2 as const }] },
    arrivals: racer.session.arrivals,
  };
  const found = check({ made: [...racer.made, ...feeder.made], witnesses: [witness, given] });
  const violations = [...racer.session.violations, ...feeder.session.violations, ...witness.troubles];
  const told = Object.entries({ ...found, violations, unfinished: racer.session.unfinished });
  assert.deepEqual(
    Object.fromEntries(told.map(([name, lines]) => [name, lines.slice(0, 10)])),
    Object.fromEntries(told.map(([name]) => [name, []])),
  );
}

/** Publishes to the client, on one connection that nobody contests. */
class Feeder {
  readonly made: Made[] = [];
  readonly session = new ClientSession({ receiveMaximum, onAcknowledged: () => {} });
  readonly #where: Where;
  readonly #name: string;
  readonly #topic: string;
  #connection!: RawConnection;

  constructor(where: Where, name: string, topic: string) {
    this.#where = where;
    this.#name = name;
    this.#topic = topic;
  }

  async open(): Promise<void> {
    this.#connection = new RawConnection(this.#where.address);
    this.#connection.send(connectPacket({ clientId: this.#name, token: this.#where.token, receiveMaximum }));
    this.session.begin((await this.#connection.first('connack')).sessionPresent);
    this.#connection.onPacket = (packet) => {
      const answer = this.session.take(packet);
      if (answer !== undefined) this.#connection.send(answer.answer);
    };
  }

  feed(): void {
    for (let i = 0; i < burst; i++) {
      const number = this.made.length + 1;
      const made: Made = { publisher: this.#name, number, topic: this.#topic, qos: 2, fate: 'owed' };
      this.made.push(made);
      this.#connection.send(this.session.publish(made.topic, payloadOf(made), 2));
    }
  }

  close(): void {
    this.#connection?.cut();
  }
}
