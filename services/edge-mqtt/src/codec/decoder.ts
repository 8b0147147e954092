import { readConnect } from './connect.ts';
import { type Admission, type Frame, Framer } from './framer.ts';
import type { Ack, AckType, Auth, ClientPacket, Disconnect, Publish, Qos } from './packet.ts';
import { noProperties, readProperties } from './properties.ts';
import { type DecoderLimits, Reader } from './reader.ts';
import { clientReasons, type Reason, reasons } from './reason.ts';
import { readSubscribe, readUnsubscribe } from './subscribe.ts';
import type { Rule, Version } from './violation.ts';

/** Table 2-1; what is not here is a server's or reserved. */
const type = {
  connect: 1,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  unsubscribe: 10,
  pingreq: 12,
  disconnect: 14,
  auth: 15,
} as const;
const serverTypes: readonly number[] = [2, 9, 11, 13];
/** The types whose flags are 0010 and not 0000 (Table 2-2). */
const flagged: readonly number[] = [type.pubrel, type.subscribe, type.unsubscribe];

/**
 * Reads what one client sends. It knows nothing of the session: whether a packet is allowed at its time is for others
 * to say, but that the first packet and no other is a CONNECT, without which none can be read.
 *
 * Payloads and other binary data are views of the chunk that they came in: who keeps them for longer keeps all of it.
 */
export class Decoder implements Admission {
  readonly #limits: DecoderLimits;
  readonly #reader = new Reader();
  readonly #framer = new Framer(this);
  #connected = false;

  constructor(limits: DecoderLimits) {
    this.#limits = limits;
  }

  /** In which version's words the client can be told anything; undefined: in none, it has not said. */
  get version(): Version | undefined {
    return this.#reader.version;
  }

  /** Memory that a packet whose end has not come takes, in bytes. */
  get keptBytes(): number {
    return this.#framer.keptBytes;
  }

  /**
   * Takes the next bytes of the connection, once `next` has returned undefined. They must not change afterwards. After
   * a violation they are ignored.
   */
  push(chunk: Buffer): void {
    if (this.#reader.broken === undefined) this.#framer.push(chunk);
  }

  /**
   * The next packet; undefined: it takes more bytes.
   *
   * @throws Violation what is wrong with it, and the same again from then on: what follows cannot be read
   */
  next(): ClientPacket | undefined {
    const reader = this.#reader;
    if (reader.broken !== undefined) throw reader.broken;
    const frame = this.#framer.next();
    if (frame === undefined) return undefined;
    reader.begin(frame.bytes, frame.start, frame.end);
    const packet = this.#read(frame);
    if (reader.left > 0) reader.refuse('trailing');
    reader.release();
    return packet;
  }

  /** For the framer. */
  first(first: number): void {
    const reader = this.#reader;
    const kind = first >> 4;
    if (kind === 0 || (kind === type.auth && this.#connected && reader.version !== 5)) {
      reader.refuse('type_reserved');
    }
    if (kind !== type.connect && !this.#connected) reader.refuse('packet_first');
    if (kind === type.connect && this.#connected) reader.refuse('packet_second');
    const fault = this.#flagFault(kind, first & 0x0f);
    if (fault !== undefined) reader.refuse(fault);
    if (serverTypes.includes(kind)) reader.refuse('type_direction');
  }

  /** Section 2.1.3, and 3.3.1 for PUBLISH. */
  #flagFault(kind: number, flags: number): Rule | undefined {
    // What the flags of a CONNECT have to be is known when its version is.
    if (kind === type.connect) return undefined;
    if (kind === type.publish) {
      if ((flags & 0x06) === 0x06) return 'qos_3';
      return (flags & 0x0e) === 0x08 ? 'dup_qos_0' : undefined;
    }
    // MQTT 3.1 section 2.1 uses the flags of other packets for DUP and QoS, or not at all.
    if (this.#reader.version === 3) return undefined;
    return flags === (flagged.includes(kind) ? 0x02 : 0x00) ? undefined : 'flags';
  }

  /** For the framer. */
  size(bytes: number | undefined, padded: boolean): void {
    const reader = this.#reader;
    if (bytes === undefined) reader.refuse('integer_long');
    else if (bytes > this.#limits.packetBytes) reader.refuse('packet_large');
    // Only MQTT 5 forbids it, and some clients of 3.1.1 reserve all four bytes before they know the length.
    if (padded && reader.version === 5) reader.refuse('integer_padded');
  }

  #read(frame: Frame): ClientPacket {
    const reader = this.#reader;
    const { first } = frame;
    switch (first >> 4) {
      case type.connect:
        return this.#connect(frame);
      case type.publish:
        return this.#publish(first);
      case type.puback:
        return this.#ack('puback', 'reason_puback');
      case type.pubrec:
        return this.#ack('pubrec', 'reason_pubrec');
      case type.pubrel:
        return this.#ack('pubrel', 'reason_pubrel');
      case type.pubcomp:
        return this.#ack('pubcomp', 'reason_pubcomp');
      case type.subscribe:
        return readSubscribe(reader, this.#limits);
      case type.unsubscribe:
        return readUnsubscribe(reader, this.#limits);
      case type.pingreq:
        return { type: 'pingreq' };
      case type.disconnect:
        return this.#disconnect();
      case type.auth:
        return this.#auth();
      default:
        return reader.refuse('type_reserved');
    }
  }

  #connect({ first, padded }: Frame): ClientPacket {
    const reader = this.#reader;
    const packet = readConnect(reader, first, this.#limits.userProperties);
    if (packet.version === 5 && padded) reader.refuse('integer_padded');
    this.#connected = true;
    return packet;
  }

  #publish(first: number): Publish {
    const reader = this.#reader;
    const qos = ((first >> 1) & 3) as Qos;
    const topic = reader.topicOrNone();
    const packetId = qos === 0 ? undefined : reader.packetId();
    const properties =
      reader.version === 5
        ? readProperties(reader, 'publish', this.#limits.userProperties)
        : (noProperties as Publish['properties']);
    if (properties.subscriptionIdentifiers !== undefined) reader.refuse('subscription_id_sent');
    if (topic === '' && properties.topicAlias === undefined) reader.refuse('topic_absent');
    return {
      type: 'publish',
      dup: (first & 0x08) !== 0,
      qos,
      retain: (first & 0x01) !== 0,
      topic: topic === '' ? undefined : topic,
      packetId,
      payload: reader.rest(),
      properties,
    } as Publish;
  }

  #ack(name: AckType, broken: Rule): Ack {
    const reader = this.#reader;
    const packetId = reader.packetId();
    const reason = this.#reason(clientReasons[name], broken);
    return { type: name, packetId, reason, properties: this.#lastProperties('outcome') };
  }

  /** A reason code that may be left out with all that follows it, and is not there before MQTT 5. */
  #reason(allowed: ReadonlySet<number>, broken: Rule): Reason {
    const reader = this.#reader;
    const given = reader.version === 5 && reader.left > 0;
    const reason = given ? reader.u8() : reasons.success;
    if (reader.version === 5 && !allowed.has(reason)) reader.refuse(broken);
    return reason as Reason;
  }

  /** Properties that may be left out with their length: sections 3.4.2.2.1, 3.14.2.2.1 and 3.15.2.2.1. */
  #lastProperties<P extends 'outcome' | 'disconnect' | 'auth'>(place: P) {
    const reader = this.#reader;
    const given = reader.version === 5 && reader.left > 0;
    return given ? readProperties(reader, place, this.#limits.userProperties) : noProperties;
  }

  #disconnect(): Disconnect {
    const reason = this.#reason(clientReasons.disconnect, 'reason_disconnect');
    return { type: 'disconnect', reason, properties: this.#lastProperties('disconnect') };
  }

  #auth(): Auth {
    const reason = this.#reason(clientReasons.auth, 'reason_auth');
    const properties = this.#lastProperties('auth') as Auth['properties'];
    if (properties.authenticationMethod === undefined) this.#reader.refuse('auth_method_absent');
    return { type: 'auth', reason, properties };
  }
}
