// Clients that hold the server to the standard; what fleet.sim.test.ts is made of. Nothing else imports it.
import type { Random } from '@pushfleet/contract/simulation';
import type { Received } from '../codec/testing-client.ts';
import type { ClientPacket, Connect, Publish, Qos } from '../codec.ts';
import { ack, type Client, publishOf, subscribeOf } from './testing.ts';
import type { Pod } from './testing-fleet.ts';

const longExpiry = 100_000;

/** What became of a will: it comes once, or not at all, or nobody can say. */
export type WillIs = 'due' | 'dropped' | 'open';

interface Outgoing {
  readonly packet: Publish & { readonly packetId: number };
  /** Its PUBREC came. */
  received: boolean;
}

/** A delivery of QoS 1 or 2 that the client has seen, and the server does not know yet that it has. */
interface Delivery {
  readonly text: string;
  readonly packetId: number;
}

/** One connection. */
interface Line {
  readonly client: Client;
  readonly pod: Pod;
  readonly sent: ClientPacket[];
  read: number;
  /** First numbers of QoS 2 that came on it, by topic and publisher. */
  readonly last: Map<string, number>;
  /** Texts whose repeat is over: something came that was not one. */
  connack: boolean;
}

export interface StrictOptions {
  readonly name: string;
  readonly version: 4 | 5;
  /** With their QoS, one for each topic. */
  readonly filters: readonly string[];
  readonly topics: readonly string[];
  /** Topics of which everything of QoS 2 comes once. */
  readonly exact: readonly string[];
  /** Publications of its own that are not acknowledged, and those that it takes at once. */
  readonly window: number;
  readonly receiveMaximum: number;
  /** In seconds. */
  readonly willDelay: number;
  /** Whether what the server had under way for a client may have been lost, so that it is sent or taken again. */
  isBlemished(client: string): boolean;
}

/** Publishes and is subscribed, with a session that is kept, over connections that break. */
export class StrictClient {
  readonly name: string;
  /** `<topic> <qos> <client> <number>`, as they came; QoS 2 when it came first. */
  readonly texts: string[] = [];
  /** What the server took responsibility for. */
  readonly acknowledged: string[] = [];
  /** What is to become of the wills, by their texts. */
  readonly wills = new Map<string, WillIs>();
  subscribed = false;
  readonly #o: StrictOptions;
  #line: Line | undefined;
  #attempts = 0;
  #known = false;
  #number = 0;
  #id = 0;
  readonly #pending = new Map<number, Outgoing>();
  /** QoS 2, between its PUBLISH and its PUBREL. */
  readonly #receiving = new Map<number, string>();
  /** Deliveries that a resume may repeat, in their order. */
  readonly #open = new Map<string, Delivery>();
  /** QoS 2 whose PUBREL came: they never come again. */
  readonly #released = new Set<string>();

  constructor(options: StrictOptions) {
    this.#o = options;
    this.name = options.name;
  }

  get online(): boolean {
    return this.#line?.connack === true && !this.#line.client.ended;
  }

  get exact(): readonly string[] {
    return this.#o.exact;
  }

  /** Nothing but the end of a connection is needed for its will. */
  get willIsAtOnce(): boolean {
    return this.#o.version === 4 || this.#o.willDelay === 0;
  }

  get connecting(): boolean {
    return this.#busy || this.#line?.connack === false;
  }

  get unfinished(): number {
    return this.#pending.size;
  }

  #busy = false;

  /**
   * Opens a connection, whether or not the last one is gone. The server hears of the end of that one at once, later, or
   * by the take-over.
   */
  connect(pod: Pod, random: Random): void {
    const attempt = ++this.#attempts;
    const will = `${this.name} ${attempt}`;
    this.#leave(random);
    this.wills.set(will, 'open');
    this.#busy = true;
    const done = (): boolean => {
      if (attempt !== this.#attempts) return true;
      this.#busy = false;
      return false;
    };
    pod.onKilled.push(() => {
      if (!done()) this.#drop();
    });
    pod.arrive(this.#packet(will)).then(
      (client) => {
        if (!pod.alive) return;
        // Who went on to another connection did not wait for this one.
        if (done()) client.session.gone();
        else this.#line = { client, pod, sent: [], read: 0, last: new Map(), connack: false };
      },
      () => void done(),
    );
  }

  /** The connection breaks, with all that is on its way. */
  lose(): void {
    const line = this.#line;
    this.#drop();
    if (line?.pod.alive) line.client.session.gone();
  }

  /** Says goodbye; `settled` resolves once the pod has told the registry, or is gone: whether nobody can have come between. */
  async goodbye(settled: (pod: Pod) => Promise<boolean>): Promise<void> {
    const line = this.#line;
    if (line === undefined || !this.online || line.client.held) return;
    const will = this.#will;
    line.client.send({ type: 'disconnect', reason: 0, properties: {} });
    this.#drop();
    // What a pod was told may be lost with it, and an earlier CONNECT that was held up may overtake it at another.
    this.wills.set(will, (await settled(line.pod)) ? 'dropped' : 'open');
  }

  publish(random: Random): void {
    const qos = random.below(3) as Qos;
    if (!this.online || !this.subscribed || this.#pending.size >= this.#o.window) return;
    const topic = random.pick(this.#o.topics);
    const text = `${topic} ${qos} ${this.name} ${this.#number++}`;
    if (qos === 0) {
      this.#send(publishOf(topic, text));
      return;
    }
    // A packet identifier is used again as soon as it may be.
    do this.#id = (this.#id % (this.#o.window + 2)) + 1;
    while (this.#pending.has(this.#id));
    const packet = publishOf(topic, text, {
      qos,
      packetId: this.#id,
    } as Partial<Publish>) as Outgoing['packet'];
    this.#pending.set(this.#id, { packet, received: false });
    this.#send(packet);
  }

  /** Has up to so many packets arrive, each way; how many did. */
  carry(most: number): number {
    let count = 0;
    while (count < most && this.#carryOne()) count++;
    return count;
  }

  get #will(): string {
    return `${this.name} ${this.#attempts}`;
  }

  #packet(will: string): Partial<Connect> {
    const { version, willDelay, receiveMaximum, name } = this.#o;
    const v5 = version === 5;
    return {
      ...{ version, clientId: name, cleanStart: false },
      properties: v5 ? { sessionExpiryInterval: longExpiry, receiveMaximum } : {},
      will: {
        ...{ topic: 'will', payload: Buffer.from(will), qos: 2, retain: false },
        properties: v5 && willDelay > 0 ? { willDelayInterval: willDelay } : {},
      },
    };
  }

  #leave(random: Random): void {
    const line = this.#line;
    this.#drop();
    if (line === undefined || !line.pod.alive || line.client.ended) return;
    const when = random.below(3);
    if (when === 0) line.client.session.gone();
    else if (when === 1) line.pod.stage.clock.after(random.below(200), () => line.client.session.gone());
  }

  #drop(): void {
    this.#line = undefined;
    this.#busy = false;
  }

  #send(packet: ClientPacket): void {
    this.#line?.sent.push(packet);
  }

  #carryOne(): boolean {
    const line = this.#line;
    if (line === undefined) return false;
    const { client } = line;
    const packet = line.connack ? line.sent[0] : undefined;
    const goes = packet !== undefined && !client.held && !client.ended;
    if (goes) {
      line.sent.shift();
      client.send(packet);
    }
    const came = client.received[line.read];
    if (came !== undefined) {
      line.read++;
      this.#came(line, came);
    } else if (client.ended) this.#drop();
    return goes || came !== undefined;
  }

  #came(line: Line, packet: Received): void {
    switch (packet.type) {
      case 'connack':
        this.#connected(line, packet.sessionPresent);
        break;
      case 'suback':
        this.subscribed = true;
        break;
      case 'publish':
        this.#delivered(line, packet);
        break;
      case 'pubrel':
        this.#releasedBy(packet.packetId);
        break;
      case 'puback':
      case 'pubrec':
      case 'pubcomp':
        this.#answered(packet.type, packet.packetId);
        break;
      default:
    }
  }

  #connected(line: Line, present: boolean): void {
    line.connack = true;
    // It is connected for certain, so its will is due for certain, unless it says goodbye.
    this.wills.set(this.#will, 'due');
    if (this.#known && !present) this.#forget();
    this.#known = true;
    if (!this.subscribed) this.#send(subscribeOf(65_535, this.#o.filters));
    for (const [id, { packet, received }] of this.#pending) {
      this.#send(received ? ack('pubrel', id) : ({ ...packet, dup: true } as Publish));
    }
  }

  /** [MQTT-3.2.2-5]; where nothing was lost, a session must not be. */
  #forget(): void {
    if (!this.#o.isBlemished(this.name)) throw new Error(`${this.name}: the session is lost`);
    this.#pending.clear();
    this.#receiving.clear();
    this.#open.clear();
  }

  #answered(type: 'puback' | 'pubrec' | 'pubcomp', packetId: number): void {
    const pending = this.#pending.get(packetId);
    const { qos } = pending?.packet ?? {};
    const expected = qos === 1 ? 'puback' : pending?.received ? 'pubcomp' : 'pubrec';
    // PUBREC comes again for a PUBLISH that was sent again on one connection, which this client does not do.
    if (pending === undefined || type !== expected) {
      throw new Error(`${this.name}: ${type} of ${packetId}, and ${expected} of ${qos} was due`);
    }
    if (type === 'pubrec') {
      pending.received = true;
      this.#send(ack('pubrel', packetId));
      return;
    }
    this.#pending.delete(packetId);
    this.acknowledged.push(pending.packet.payload.toString());
  }

  #delivered(line: Line, packet: Publish): void {
    const { qos, payload, dup } = packet;
    const packetId = packet.packetId ?? 0;
    const text = payload.toString();
    if (qos > 0) this.#checkDelivery({ text, packetId }, dup, qos as 1 | 2);
    if (qos === 2) this.#checkOrder(line, text);
    if (qos < 2 || !this.#receiving.has(packetId)) this.texts.push(text);
    if (qos > 0) this.#open.set(text, { text, packetId });
    if (qos === 1) this.#send(ack('puback', packetId));
    if (qos === 2) {
      this.#receiving.set(packetId, text);
      this.#send(ack('pubrec', packetId));
    }
  }

  /** [MQTT-3.3.1-1], [MQTT-4.4.0-1], [MQTT-2.2.1-4], [MQTT-4.3.3-10] */
  #checkDelivery({ text, packetId }: Delivery, dup: boolean, qos: 1 | 2): void {
    if (this.#isDoubtful(text)) return;
    const before = this.#receiving.get(packetId);
    if (before !== undefined && before !== text) {
      throw new Error(`${this.name}: ${text} came under ${packetId}, which is that of ${before}`);
    }
    if (qos === 2 && this.#released.has(text))
      throw new Error(`${this.name}: ${text} came behind its PUBREL`);
    const open = this.#open.get(text);
    if (qos === 2 && before === undefined && open !== undefined) {
      throw new Error(`${this.name}: ${text} came again under another packet identifier`);
    }
    // At QoS 1 its publisher may have sent it twice, which are two publications.
    if (qos === 2 && open !== undefined && !dup)
      throw new Error(`${this.name}: ${text} came again without DUP`);
  }

  /** [MQTT-4.6.0-1], [MQTT-4.6.0-5]: on one connection what comes is in order, whether it is sent again or new. */
  #checkOrder({ last }: Line, text: string): void {
    const [topic, qos, from, number] = text.split(' ');
    if (qos !== '2' || this.#isDoubtful(text)) return;
    const key = `${topic} ${from}`;
    const before = last.get(key) ?? -1;
    if (Number(number) <= before) throw new Error(`${this.name}: ${text} came behind ${before}`);
    last.set(key, Number(number));
  }

  #isDoubtful(text: string): boolean {
    return [this.name, text.split(' ')[2] ?? ''].some((client) => this.#o.isBlemished(client));
  }

  #releasedBy(packetId: number): void {
    const text = this.#receiving.get(packetId);
    if (text !== undefined) this.#released.add(text);
    this.#receiving.delete(packetId);
    this.#send(ack('pubcomp', packetId));
  }
}
