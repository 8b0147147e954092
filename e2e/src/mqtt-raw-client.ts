import type { Packet } from 'mqtt-packet';
import { ClientSession } from './mqtt-client-session.ts';
import { connectPacket, RawConnection } from './mqtt-raw.ts';
import type { Arrival, Wanted } from './mqtt-sessions-check.ts';

const receiveMaximum = 32;
/** The longest that an answer is held back; then what is in flight is more than one publication. */
const holdMs = 40;
const returnMs = 100;

export interface RawClientOptions {
  readonly name: string;
  readonly address: string;
  readonly token: string;
  readonly filters: readonly Wanted[];
}

/** A subscriber that holds the server against the standard, answers late, and loses its connection whenever it is told to. */
export class RawClient {
  readonly name: string;
  readonly filters: readonly Wanted[];
  readonly #o: RawClientOptions;
  readonly #session = new ClientSession({ receiveMaximum, onAcknowledged: () => {} });
  readonly #answers: NonNullable<ReturnType<ClientSession['take']>>[] = [];
  #connection: RawConnection | undefined;
  #accepted = false;
  #subscribed = false;
  #awake = true;
  #flush: NodeJS.Timeout | undefined;

  constructor(o: RawClientOptions) {
    this.name = o.name;
    this.filters = o.filters;
    this.#o = o;
    this.#connect();
  }

  get arrivals(): readonly Arrival[] {
    return this.#session.arrivals;
  }

  get connected(): boolean {
    return this.#accepted && this.#subscribed;
  }

  get troubles(): readonly string[] {
    return this.#session.violations.map((violation) => `${this.name}: ${violation}`);
  }

  /** What is not answered to the end. */
  get unfinished(): readonly string[] {
    return this.#session.unfinished;
  }

  /** Loses its connection, and comes back. */
  cut(): void {
    this.#connection?.cut();
  }

  /** Loses its connection, and stays away until it wakes. */
  sleep(): void {
    this.#awake = false;
    this.cut();
  }

  wake(): void {
    if (this.#awake) return;
    this.#awake = true;
    if (this.#connection === undefined) this.#connect();
  }

  close(): void {
    this.#awake = false;
    this.cut();
  }

  #connect(): void {
    const { address, token, name } = this.#o;
    const connection = new RawConnection(address);
    this.#connection = connection;
    connection.onPacket = (packet) => this.#take(connection, packet);
    connection.onClose = () => {
      clearTimeout(this.#flush);
      this.#flush = undefined;
      this.#answers.length = 0;
      this.#accepted = false;
      this.#connection = undefined;
      if (this.#awake) setTimeout(() => this.#connection ?? this.#connect(), returnMs);
    };
    connection.send(connectPacket({ clientId: name, token, receiveMaximum }));
  }

  #take(connection: RawConnection, packet: Packet): void {
    if (packet.cmd === 'connack') {
      // Refused for now: it comes back.
      if ((packet.reasonCode ?? 0) >= 0x80) return;
      this.#accepted = true;
      this.#session.begin(packet.sessionPresent);
      if (!this.#subscribed) connection.send(subscribePacket(this.filters));
      return;
    }
    if (packet.cmd === 'suback') this.#subscribed = true;
    const answer = this.#session.take(packet);
    if (answer === undefined) return;
    this.#answers.push(answer);
    this.#flush ??= setTimeout(() => this.#answer(connection), Math.random() * holdMs);
  }

  #answer(connection: RawConnection): void {
    this.#flush = undefined;
    const answers = this.#answers.splice(0);
    connection.send(...answers.map(({ answer }) => answer));
    for (const { given } of answers) given();
  }
}

export function subscribePacket(filters: readonly Wanted[]): Packet {
  const subscriptions = filters.map(({ filter, qos }) => ({
    topic: filter,
    qos,
    nl: false,
    rap: false,
    rh: 0,
  }));
  return { cmd: 'subscribe', messageId: 65_535, subscriptions };
}
