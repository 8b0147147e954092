// What session.sim.test.ts is made of; nothing else imports it.
import type { Random, SimulatedClock } from '@pushfleet/contract/simulation';
import { PushfleetError } from '@pushfleet/core';
import type { Received } from '../codec/testing-client.ts';
import type { ClientPacket, Publish, Qos } from '../codec.ts';
import type { MemoryStore } from './memory-store.ts';
import type { Claim, HeldSession, SessionStore } from './store.ts';
import { ack, type Client, publishOf, type Stage, subscribeOf } from './testing.ts';

/** A store whose writes take their time, and are refused when the session has another holder by then. */
export class SlowStore implements SessionStore {
  readonly #store: MemoryStore;
  readonly #clock: SimulatedClock;
  readonly #random: Random;

  constructor(store: MemoryStore, clock: SimulatedClock, random: Random) {
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
  }

  get size(): number {
    return this.#store.size;
  }

  drain(): Promise<void> {
    return this.#store.drain();
  }

  async take(claim: Claim): Promise<HeldSession> {
    const held = await this.#store.take(claim);
    // Writes of one holder come in their order.
    let turn: Promise<unknown> = Promise.resolve();
    const slow = <T>(write: () => T | Promise<T>): Promise<T> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#clock.after(this.#random.below(10), resolve);
      const done = Promise.all([turn, promise]).then(write);
      turn = done.catch(() => {});
      return done;
    };
    return {
      kept: held.kept,
      incoming: (packetId) => held.incoming(packetId),
      finished: (packetId) => void slow(() => held.finished(packetId)).catch(() => {}),
      subscribed: (all, cursor) => slow(async () => (await held.subscribed(all, cursor)) ?? []),
      sending: (...args) => slow(() => held.sending(...args)),
      received: (packetId) => slow(() => held.received(packetId)),
      stored: (packetId) => slow(() => held.stored(packetId)),
      released: (packetId) => slow(() => held.released(packetId)),
      renewed: (grant) => slow(() => held.renewed(grant)),
      leave: (leaving) =>
        slow(() => held.leave(leaving)).catch((error: unknown) => {
          // Somebody else has it by now.
          if (PushfleetError.from(error).code !== 'conflict') throw error;
        }),
    };
  }
}

/** A client with a session that is kept, and a connection whose packets may be lost on their way. */
export abstract class SimulatedClient {
  protected readonly stage: Stage;
  readonly #over: Parameters<Stage['connect']>[0];
  #client: Client | undefined;
  #sent: ClientPacket[] = [];
  #read = 0;
  #connected = 0;

  constructor(stage: Stage, over: Parameters<Stage['connect']>[0]) {
    this.stage = stage;
    this.#over = over;
  }

  /** Opens a connection, whether or not the last one is gone. */
  async connect(): Promise<void> {
    const client = await this.#open(this.#over);
    const [connack] = client.of('connack');
    const present = connack?.sessionPresent === true;
    if (this.#connected++ > 0 && !present) throw new Error('the session is lost');
    this.onConnected();
  }

  /** Ends the session, and begins another. */
  protected async restart(): Promise<void> {
    await this.#open({ ...this.#over, cleanStart: true });
    this.#connected = 0;
    await this.connect();
  }

  async #open(over: Parameters<Stage['connect']>[0]): Promise<Client> {
    const before = this.#client;
    this.#sent = [];
    this.#client = await this.stage.connect(over);
    this.#read = 0;
    // What the old one says of its end comes too late.
    before?.session.gone();
    return this.#client;
  }

  /** The connection breaks, with all that is on its way. */
  lose(): void {
    const client = this.#client;
    this.#client = undefined;
    this.#sent = [];
    client?.session.gone();
  }

  get online(): boolean {
    return this.#client !== undefined && !this.#client.ended;
  }

  /** Has up to so many packets arrive, each way; how many did. */
  carry(most: number): number {
    let count = 0;
    for (; count < most && this.#carryOne(); count++);
    return count;
  }

  protected send(packet: ClientPacket): void {
    if (this.#client !== undefined) this.#sent.push(packet);
  }

  protected abstract onConnected(): void;
  protected abstract onPacket(packet: Received): void;

  #carryOne(): boolean {
    const client = this.#client;
    if (client === undefined) return false;
    const packet = this.#sent[0];
    const goes = packet !== undefined && !client.held && !client.ended;
    if (goes) {
      this.#sent.shift();
      client.send(packet);
    }
    const came = client.received[this.#read];
    if (came !== undefined) {
      this.#read++;
      this.onPacket(came);
    }
    return goes || came !== undefined;
  }
}

/** Publishes `<topic> <qos> <number>`, and sends again what is not acknowledged when it is back. */
export class Publisher extends SimulatedClient {
  /** What the server took responsibility for. */
  readonly acknowledged: string[] = [];
  readonly #most: number;
  readonly #pending = new Map<number, { readonly packet: Publish; released: boolean }>();
  #number = 0;
  #id = 0;

  constructor(stage: Stage, version: 4 | 5, receiveMaximum: number) {
    const properties = version === 5 ? { sessionExpiryInterval: 100_000 } : {};
    super(stage, { version, clientId: 'publisher', cleanStart: false, properties });
    this.#most = receiveMaximum;
  }

  get unfinished(): number {
    return this.#pending.size;
  }

  publish(random: Random): void {
    const qos = random.below(3) as Qos;
    if (!this.online || this.#pending.size >= this.#most) return;
    const topic = random.pick(['one', 'two']);
    const text = `${topic} ${qos} ${this.#number++}`;
    if (qos === 0) this.send(publishOf(topic, text));
    else {
      // A packet identifier is used again as soon as it may be.
      do this.#id = (this.#id % 16) + 1;
      while (this.#pending.has(this.#id));
      const packet = publishOf(topic, text, { qos, packetId: this.#id });
      this.#pending.set(this.#id, { packet, released: false });
      this.send(packet);
    }
  }

  protected onConnected(): void {
    for (const [id, { packet, released }] of this.#pending) {
      this.send(released ? ack('pubrel', id) : ({ ...packet, dup: true } as Publish));
    }
  }

  protected onPacket(packet: Received): void {
    if (packet.type !== 'puback' && packet.type !== 'pubrec' && packet.type !== 'pubcomp') return;
    const pending = this.#pending.get(packet.packetId);
    if (pending === undefined) throw new Error(`${packet.type} of nothing`);
    if (packet.type === 'pubrec') {
      pending.released = true;
      this.send(ack('pubrel', packet.packetId));
      return;
    }
    this.#pending.delete(packet.packetId);
    this.acknowledged.push(pending.packet.payload.toString());
  }
}

/** Notes what it is given, as an application would be: QoS 2 when it comes first (section 4.3.3, method A). */
export class Subscriber extends SimulatedClient {
  readonly texts: string[] = [];
  readonly #received = new Set<number>();
  #subscribed = false;

  constructor(stage: Stage, version: 4 | 5, receiveMaximum: number, clientId = 'subscriber') {
    const properties = version === 5 ? { sessionExpiryInterval: 100_000, receiveMaximum } : {};
    super(stage, { version, clientId, cleanStart: false, properties });
  }

  /** In a session of its own, whatever there was before. */
  async subscribe(filters: readonly string[]): Promise<void> {
    await this.restart();
    this.#received.clear();
    this.#subscribed = false;
    this.send(subscribeOf(65_535, filters));
    for (; !this.#subscribed; this.carry(10)) await this.stage.settle();
  }

  protected onConnected(): void {}

  protected onPacket(packet: Received): void {
    if (packet.type === 'pubrel') {
      this.#received.delete(packet.packetId);
      this.send(ack('pubcomp', packet.packetId));
      return;
    }
    if (packet.type === 'suback') this.#subscribed = true;
    if (packet.type !== 'publish') return;
    const { packetId, qos, payload } = packet;
    if (qos < 2 || !this.#received.has(packetId as number)) this.texts.push(payload.toString());
    if (qos === 1) this.send(ack('puback', packetId));
    if (qos === 2) {
      this.#received.add(packetId);
      this.send(ack('pubrec', packetId));
    }
  }
}
