import type { IPubackPacket, IPubcompPacket, IPublishPacket, IPubrecPacket, Packet } from 'mqtt-packet';
import type { Arrival, Level } from './mqtt-sessions-check.ts';

/** What came under a packet identifier, and how far its answers are. */
interface Incoming {
  readonly payload: string;
  readonly qos: Level;
  /** Which of the client's connections it came by last, from 1. */
  connection: number;
  /** Counts what came for the first time. */
  readonly place: number;
  /** Acknowledged is what the client has said PUBACK or PUBCOMP of: whether the server heard it is not known. */
  state: 'unanswered' | 'received' | 'acknowledged';
}

interface Outgoing {
  readonly packet: IPublishPacket;
  state: 'published' | 'received';
}

/**
 * The client's half of a session (MQTT 5 sections 4.1, 4.3 and 4.4), which outlives its connections, and holds what a
 * server sends against the standard. It owns no socket: its owner hands it packets and sends what it gives back.
 */
export class ClientSession {
  readonly arrivals: Arrival[] = [];
  /** What no server may send. */
  readonly violations: string[] = [];
  readonly #onAcknowledged: (payload: string) => void;
  readonly #incoming = new Map<number, Incoming>();
  readonly #outgoing = new Map<number, Outgoing>();
  readonly #receiveMaximum: number;
  /** What came on this connection and is not acknowledged to the end. */
  readonly #open = new Set<number>();
  #connection = 0;
  #resumed = false;
  #places = 0;
  /** Of what was sent again on this connection, the last one's place. */
  #again = 0;
  #packetId = 0;

  constructor(o: {
    readonly receiveMaximum: number;
    /** What it published was acknowledged to the end. */
    readonly onAcknowledged: (payload: string) => void;
  }) {
    this.#receiveMaximum = o.receiveMaximum;
    this.#onAcknowledged = o.onAcknowledged;
  }

  /** What was sent and is not acknowledged, or came and is not answered to the end. */
  get unfinished(): string[] {
    const owed = [...this.#incoming].filter(([, { state }]) => state !== 'acknowledged');
    return [
      ...owed.map(([id, { payload, state }]) => `incoming ${id} ${payload} ${state}`),
      ...[...this.#outgoing].map(([id, { packet, state }]) => `outgoing ${id} ${packet.payload} ${state}`),
    ];
  }

  /** How much it published that is not acknowledged. */
  get outstanding(): number {
    return this.#outgoing.size;
  }

  /** What comes from now on comes on another connection. */
  begin(sessionPresent: boolean): void {
    this.#connection++;
    this.#resumed = this.#connection > 1;
    this.#again = 0;
    this.#open.clear();
    if (sessionPresent !== this.#resumed)
      this.violations.push(`session present is ${sessionPresent} on connection ${this.#connection}`);
  }

  /** What is to be sent once more on a connection that was accepted, in the order of the first sending ([MQTT-4.6.0-1]). */
  again(): Packet[] {
    return [...this.#outgoing].map(([messageId, { packet, state }]) =>
      state === 'published' ? { ...packet, dup: true } : { cmd: 'pubrel', messageId, reasonCode: 0 },
    );
  }

  /** @returns what is to be sent, kept until it is acknowledged */
  publish(topic: string, payload: string, qos: Level): IPublishPacket {
    do this.#packetId = (this.#packetId % 65_535) + 1;
    while (this.#outgoing.has(this.#packetId));
    const packet: IPublishPacket = {
      ...{ cmd: 'publish', topic, payload, qos, dup: false, retain: false, messageId: this.#packetId },
    };
    this.#outgoing.set(this.#packetId, { packet, state: 'published' });
    return packet;
  }

  /**
   * A packet of the server's. The answer is one that the client has to give; it counts as given when `given` is called, so
   * that one that was held back for too long is not.
   */
  take(packet: Packet): { readonly answer: Packet; given(): void } | undefined {
    switch (packet.cmd) {
      case 'publish':
        return this.#published(packet);
      case 'pubrel':
        return this.#released(packet.messageId as number);
      case 'puback':
      case 'pubcomp':
        this.#finished(packet);
        return undefined;
      case 'pubrec':
        return this.#received(packet);
      default:
        return undefined;
    }
  }

  #published(packet: IPublishPacket): ReturnType<ClientSession['take']> {
    const { messageId: id, topic, qos, dup } = packet;
    const payload = packet.payload.toString();
    if (id === undefined || qos === 0) {
      this.violations.push(`${payload} came by QoS 0`);
      return undefined;
    }
    const before = this.#incoming.get(id);
    const known = this.#judge(id, payload, packet, before);
    const entry: Incoming = {
      ...{ payload, qos, connection: this.#connection },
      place: known?.place ?? ++this.#places,
      state: known?.state === 'received' ? 'received' : 'unanswered',
    };
    // A packet identifier that is used anew is the latest one.
    if (known === undefined) this.#incoming.delete(id);
    this.#incoming.set(id, entry);
    this.#open.add(id);
    this.#checkOrder(entry, dup, known !== undefined);
    if (qos === 1 || known === undefined) {
      const said = packet.properties?.userProperties?.id;
      this.arrivals.push({ topic, payload, id: typeof said === 'string' ? said : undefined });
    }
    const cmd = qos === 1 ? 'puback' : 'pubrec';
    return {
      answer: { cmd, messageId: id, reasonCode: 0 },
      given: () => {
        entry.state = qos === 1 ? 'acknowledged' : 'received';
        if (qos === 1) this.#open.delete(id);
      },
    };
  }

  /** What came under the packet identifier before, where this is the same again. */
  #judge(
    id: number,
    payload: string,
    { dup, qos }: IPublishPacket,
    before: Incoming | undefined,
  ): Incoming | undefined {
    const told = `${payload}, packet ${id}, DUP ${dup ? 1 : 0} on connection ${this.#connection}`;
    if (dup && !this.#resumed) this.violations.push(`${told}: nothing was sent before`);
    if (before === undefined) return undefined;
    const same = before.payload === payload && before.qos === qos;
    if (before.state === 'acknowledged') {
      // Whether the server heard of it is not known, unless it is on the connection that it was said on.
      if (same && dup && before.connection < this.#connection && qos === 1) return before;
      if (same) this.violations.push(`${told}: it was acknowledged to the end`);
      return undefined;
    }
    if (!same) {
      this.violations.push(`${told}: the packet identifier is that of ${before.payload}, ${before.state}`);
      return undefined;
    }
    if (!dup) this.violations.push(`${told}: it was sent before ([MQTT-3.3.1-1])`);
    if (before.connection === this.#connection)
      this.violations.push(`${told}: sent again on the same connection ([MQTT-4.4.0-1])`);
    return before;
  }

  #checkOrder({ payload, place, connection }: Incoming, dup: boolean, known: boolean): void {
    if (dup && known) {
      if (place < this.#again)
        this.violations.push(`${payload} was sent again behind a later one on connection ${connection}`);
      this.#again = place;
    }
    if (this.#open.size > this.#receiveMaximum)
      this.violations.push(`${this.#open.size} unacknowledged are more than the Receive Maximum`);
  }

  #released(id: number): ReturnType<ClientSession['take']> {
    const entry = this.#incoming.get(id);
    if (entry?.state === 'unanswered' && entry.qos === 2)
      this.violations.push(`PUBREL ${id} on connection ${this.#connection}: ${entry.payload} had no PUBREC`);
    if (entry === undefined && !this.#resumed) this.violations.push(`PUBREL ${id} of nothing`);
    return {
      answer: { cmd: 'pubcomp', messageId: id, reasonCode: 0 },
      given: () => {
        this.#open.delete(id);
        if (entry?.qos !== 2) return;
        entry.state = 'acknowledged';
        entry.connection = this.#connection;
      },
    };
  }

  #received(packet: IPubrecPacket): ReturnType<ClientSession['take']> {
    const messageId = packet.messageId as number;
    if (this.#isRefused(packet)) return undefined;
    const entry = this.#outgoing.get(messageId);
    if (entry !== undefined) entry.state = 'received';
    return { answer: { cmd: 'pubrel', messageId, reasonCode: 0 }, given: () => {} };
  }

  #finished(packet: IPubackPacket | IPubcompPacket): void {
    if (this.#isRefused(packet)) return;
    const entry = this.#outgoing.get(packet.messageId as number);
    if (entry === undefined) return;
    this.#outgoing.delete(packet.messageId as number);
    this.#onAcknowledged(String(entry.packet.payload));
  }

  #isRefused({
    cmd,
    messageId = 0,
    reasonCode = 0,
    properties,
  }: IPubackPacket | IPubrecPacket | IPubcompPacket) {
    if (reasonCode < 0x80) return false;
    const entry = this.#outgoing.get(messageId);
    this.#outgoing.delete(messageId);
    const why = `0x${reasonCode.toString(16)} ${properties?.reasonString ?? ''}`;
    this.violations.push(`${cmd} ${messageId} refuses ${entry?.packet.payload}: ${why}`);
    return true;
  }
}
