import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../until.ts';
import { Receiver } from './receiver.ts';
import { namespaceOf, type Scene } from './scene.ts';
import { type EdgeProtocol, type FleetUnderTest, suiteOutboxBytes } from './under-test.ts';

/** More than the outbox, the buffers of two sockets and those of the client's library hold: grpc-js keeps 16 messages. */
const floodBytes = 16 * 1_024 * 1_024;
/** Of a client that is not cut for it: several answers. */
const pulledBytes = 2 * 1_024 * 1_024;
const publicationBytes = 250_000;

/** A client that does not read is let go and told to come back, or is kept waiting for; it resumes, and nothing is lost. */
export async function slowConsumer(scene: Scene): Promise<void> {
  assert.ok(publicationBytes > suiteOutboxBytes);
  const slow = await scene.open(0, ['slow']);
  const quick = await scene.open(0, ['slow']);
  const sent = await scene.publish(['slow']);
  await slow.has(sent);
  slow.pause();
  // What a connection compresses would never fill it.
  const text = randomBytes((publicationBytes * 3) / 4).toString('base64');
  const flood = scene.protocol.pulls ? pulledBytes : floodBytes;
  for (let bytes = 0; bytes < flood; bytes += publicationBytes) {
    sent.push(await scene.publishOne('slow', { text }));
    // One that reads is not to be slow: the case is about the other.
    await quick.has(sent);
  }
  slow.resume();
  if (!scene.protocol.pulls && scene.protocol.rewinds !== true) {
    const { code, reconnect } = await slow.ended();
    // Where no byte gets through, the last word does not either.
    assert.ok(['slow_consumer', 'cut'].includes(code), code);
    assert.equal(reconnect, true);
    assert.ok(slow.ids.length < sent.length, 'it was let go before it had everything');
    await slow.move(scene.address(0));
  }
  await slow.has(sent);
  assert.deepEqual(slow.ids, sent);
  assert.deepEqual([...slow.gaps, ...quick.gaps], []);
}

/** A client of each protocol at the oldest instances, and a publisher that goes on until it is told to stop. */
export class Disturbance {
  readonly receivers = new Map<EdgeProtocol, Receiver>();
  /** What went wrong with one while the disturbance lasted. */
  readonly troubles = new Map<EdgeProtocol, Error>();
  readonly #fleet: FleetUnderTest;
  readonly #topic: string;
  readonly #sent = new Map<EdgeProtocol, string[]>();
  #publishing = true;
  #published: Promise<unknown> = Promise.resolve();

  private constructor(fleet: FleetUnderTest, topic: string) {
    this.#fleet = fleet;
    this.#topic = topic;
  }

  static async begin(
    fleet: FleetUnderTest,
    protocols: readonly EdgeProtocol[],
    topic: string,
  ): Promise<Disturbance> {
    const disturbance = new Disturbance(fleet, topic);
    const opening = protocols.map((protocol) =>
      disturbance.#open(protocol).catch((error) => disturbance.troubles.set(protocol, error)),
    );
    await Promise.all(opening);
    disturbance.#published = Promise.all(protocols.map((protocol) => disturbance.#publish(protocol)));
    await disturbance.#more();
    return disturbance;
  }

  async #open(protocol: EdgeProtocol): Promise<void> {
    const token = await this.#fleet.token({ namespace: namespaceOf(protocol), subject: this.#topic });
    const ask = { token, filters: [`${this.#topic}/+`] };
    this.#sent.set(protocol, []);
    this.receivers.set(
      protocol,
      await Receiver.open(protocol, this.#fleet.addresses(protocol)[0] as string, ask),
    );
  }

  async #publish(protocol: EdgeProtocol): Promise<void> {
    const namespace = namespaceOf(protocol);
    const sent = this.#sent.get(protocol) as string[];
    while (this.#publishing) {
      const id = `${this.#topic}-${sent.length}`;
      const topic = `${this.#topic}/${sent.length % 3}`;
      // A careful publisher keeps its id until it has an answer.
      const stored = await this.#fleet.publish({ namespace, topic, id, text: id }).catch(() => undefined);
      if (stored === undefined) await sleep(100);
      else sent.push(id);
      await sleep(20);
    }
  }

  /** Some are stored on each that were not yet. */
  async #more(): Promise<void> {
    const marks = [...this.#sent.values()].map((sent) => ({ sent, mark: sent.length + 10 }));
    await until(() => marks.every(({ sent, mark }) => sent.length >= mark), 'publications to be stored');
  }

  /** Ends the publishing once it went on for a while; resolves when the last is stored. */
  async finish(): Promise<void> {
    await this.#more();
    this.#publishing = false;
    await this.#published;
  }

  /** It has all that was acknowledged, in order on each topic. */
  async complete(protocol: EdgeProtocol): Promise<void> {
    const receiver = this.receivers.get(protocol) as Receiver;
    const sent = this.#sent.get(protocol) as string[];
    await receiver.has(sent, 30_000);
    for (const rest of [0, 1, 2]) {
      const of = (ids: readonly string[]) => ids.filter((id) => Number(id.split('-').at(-1)) % 3 === rest);
      assert.deepEqual(of(receiver.ids), of(sent));
    }
    assert.deepEqual(receiver.gaps, []);
  }

  close(): void {
    this.#publishing = false;
    for (const receiver of this.receivers.values()) receiver.close();
  }
}
