import type { Qos } from './packet.ts';
import { type Properties, writeProperties } from './properties.ts';
import type { Version } from './violation.ts';
import { largestVarint, putVarint, varintBytes, Writer } from './writer.ts';

/** What is the same for all who get a message. */
export interface Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly properties: Omit<
    Properties<'publish'>,
    'messageExpiryInterval' | 'subscriptionIdentifiers' | 'topicAlias'
  >;
}

/**
 * What differs from one PUBLISH of a message to another. Its members may be changed and the object used again: it is
 * read while bytes are written, and not kept.
 */
export interface Sending {
  readonly qos: Qos;
  readonly dup: boolean;
  readonly retain: boolean;
  /** 0 for QoS 0, and for no other. */
  readonly packetId: number;
  /** In seconds, what is left of it ([MQTT-3.3.2-6]); undefined: it does not expire. Not sent before MQTT 5. */
  readonly expiry: number | undefined;
  /** Not sent before MQTT 5. */
  readonly subscriptionIds: readonly number[];
  /** Not sent before MQTT 5. 0: none. */
  readonly topicAlias: number;
  /** The receiver knows the alias, and the topic is left out (section 3.3.2.3.4). */
  readonly aliasKnown: boolean;
}

/** A packet, and what it was asked for with. */
interface Shared {
  readonly packetId: number;
  readonly retain: boolean;
  readonly expiry: number | undefined;
  readonly bytes: Buffer;
}

const id = { expiry: 0x02, subscription: 0x0b, alias: 0x23 } as const;

// One for all messages: writing one is never interrupted by another.
const writer = new Writer();

/**
 * A message as PUBLISH packets of one version; those of 3.1 are those of 3.1.1. Topic and properties are encoded once, and
 * copied into each packet that differs; packets that do not differ are one piece of memory.
 */
export class OutgoingPublish {
  readonly #payload: Uint8Array;
  readonly #version: Version;
  /** The topic with its length. */
  readonly #topic: Buffer;
  /** The properties that all packets have, without their length. */
  readonly #properties: Buffer;
  /** The packet that was asked for last, of each QoS. */
  readonly #shared: (Shared | undefined)[] = [undefined, undefined, undefined];
  /** The packet identifier that it should have for all who get it with QoS 1 or 2; 0: none was chosen yet. */
  packetId = 0;

  /** @throws RangeError where the topic, a property or the whole is longer than MQTT can say */
  constructor(version: Version, { topic, payload, properties }: Message) {
    this.#payload = payload;
    this.#version = version;
    writer.begin();
    writer.text(topic);
    this.#topic = writer.body();
    writer.begin();
    if (version === 5) writeProperties(writer, 'publish', properties);
    this.#properties = writer.body();
    if (this.#topic.length + this.#properties.length + payload.length > largestVarint - roomForOwn) {
      throw new RangeError(`a message of ${payload.length} bytes is too large for MQTT`);
    }
  }

  /** Bytes of the whole packet, to be compared with the receiver's Maximum Packet Size ([MQTT-3.1.2-24]). */
  size(sending: Sending): number {
    const remaining = this.#remaining(sending, this.#propertyBytes(sending));
    return 1 + varintBytes(remaining) + remaining;
  }

  /** The whole packet in memory of its own. */
  packet(sending: Sending): Buffer {
    const bytes = Buffer.allocUnsafe(this.size(sending));
    const { qos, dup, retain, packetId } = sending;
    const propertyBytes = this.#propertyBytes(sending);
    bytes[0] = 0x30 | (dup ? 0x08 : 0) | (qos << 1) | (retain ? 0x01 : 0);
    let end = putVarint(bytes, 1, this.#remaining(sending, propertyBytes));
    end = this.#writeTopic(sending, bytes, end);
    if (qos > 0) {
      bytes[end++] = packetId >> 8;
      bytes[end++] = packetId & 0xff;
    }
    if (this.#version === 5) end = this.#writeProperties(sending, propertyBytes, bytes, end);
    bytes.set(this.#payload, end);
    return bytes;
  }

  /**
   * The whole packet, in memory that all share who ask for the same QoS, packet identifier, retain flag and expiry.
   *
   * @param sending a first sending, without alias and subscription identifiers
   */
  shared(sending: Sending): Buffer {
    const { qos, packetId, retain, expiry } = sending;
    const last = this.#shared[qos];
    const same = last !== undefined && last.packetId === packetId && last.retain === retain;
    if (same && last.expiry === expiry) return last.bytes;
    const bytes = this.packet(sending);
    this.#shared[qos] = { packetId, retain, expiry, bytes };
    return bytes;
  }

  #remaining({ qos, aliasKnown }: Sending, propertyBytes: number): number {
    const topic = this.#leavesTopicOut(aliasKnown) ? 2 : this.#topic.length;
    const properties = this.#version === 5 ? varintBytes(propertyBytes) + propertyBytes : 0;
    return topic + (qos > 0 ? 2 : 0) + properties + this.#payload.length;
  }

  #leavesTopicOut(aliasKnown: boolean): boolean {
    return aliasKnown && this.#version === 5;
  }

  #propertyBytes({ expiry, topicAlias, subscriptionIds }: Sending): number {
    let bytes = this.#properties.length;
    if (expiry !== undefined) bytes += 5;
    if (topicAlias > 0) bytes += 3;
    for (let i = 0; i < subscriptionIds.length; i++) bytes += 1 + varintBytes(subscriptionIds[i] as number);
    return bytes;
  }

  #writeTopic({ aliasKnown }: Sending, target: Buffer, at: number): number {
    if (!this.#leavesTopicOut(aliasKnown)) {
      target.set(this.#topic, at);
      return at + this.#topic.length;
    }
    target[at] = 0;
    target[at + 1] = 0;
    return at + 2;
  }

  #writeProperties(sending: Sending, propertyBytes: number, target: Buffer, at: number): number {
    const { expiry, topicAlias, subscriptionIds } = sending;
    let end = putVarint(target, at, propertyBytes);
    if (expiry !== undefined) {
      target[end] = id.expiry;
      end = target.writeUInt32BE(expiry, end + 1);
    }
    if (topicAlias > 0) {
      target[end] = id.alias;
      end = target.writeUInt16BE(topicAlias, end + 1);
    }
    for (let i = 0; i < subscriptionIds.length; i++) {
      target[end] = id.subscription;
      end = putVarint(target, end + 1, subscriptionIds[i] as number);
    }
    target.set(this.#properties, end);
    return end + this.#properties.length;
  }
}

// Packet identifier, lengths, expiry, alias, and as many subscription identifiers as a session can sensibly have.
const roomForOwn = 65_536;
