import assert from 'node:assert/strict';
import type { Random } from '@pushfleet/contract/simulation';
import { Decoder } from './decoder.ts';
import type { ClientPacket } from './packet.ts';
import { decode } from './testing.ts';
import { encodeFromClient } from './testing-client.ts';
import { rules, type Version, Violation } from './violation.ts';

// Connections from the grammar of MQTT in which every production may go wrong.

const limits = { packetBytes: 4_096, filters: 8, userProperties: 8 };

/** Identifiers of properties that may stand there whatever else does. */
const ids = {
  connect: [0x11, 0x15, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27],
  will: [0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26],
  publish: [0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26],
  outcome: [0x1f, 0x26],
  subscribe: [0x0b, 0x26],
  unsubscribe: [0x26],
  disconnect: [0x11, 0x1c, 0x1f, 0x26],
  auth: [0x16, 0x1f, 0x26],
} as const;
const oneByte = [0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a];
const twoBytes = [0x13, 0x21, 0x22, 0x23];
const fourBytes = [0x02, 0x11, 0x18, 0x27];
const anyBytes = [0x09, 0x16];

const words = ['', 'a', 'a/b', '/', 'é', '😀', '\ufeff', '$share/g/a', '$SYS/x', 'x'.repeat(130)];
const names = words.filter((word) => word !== '');
const filters = ['#', '+', 'a/#', '+/+', '/', '$share/g/+/#', 'a'];
const wrongWords = [
  'a\0',
  '\x01',
  '\x9f',
  '\uffff',
  '+',
  '#',
  'a#',
  '+a',
  '$share/',
  '$share/g',
  '$share//a',
  '#/',
];
const wrongBytes = ['80', 'c080', 'eda080', 'f4908080', 'e282', 'ff', 'fe'].map((hex) =>
  Buffer.from(hex, 'hex'),
);

/** Writes one connection. */
class Grammar {
  readonly #random: Random;
  /** How often a production goes wrong. */
  #wrong: number;
  readonly version: Version;

  constructor(random: Random) {
    this.#random = random;
    this.#wrong = random.pick([0, 0.003, 0.03, 0.3]);
    this.version = random.pick([3, 4, 5, 5, 5]);
  }

  connection(): Buffer {
    const wrong = this.#wrong;
    // A wrong CONNECT ends it, so that mostly it is right.
    if (this.#random.chance(0.6)) this.#wrong = 0;
    const packets = [this.#connect()];
    this.#wrong = wrong;
    while (this.#random.chance(0.8)) packets.push(this.#packet());
    if (this.#isWrong()) packets.push(this.#noise(8));
    return Buffer.concat(packets);
  }

  /** The bytes in chunks of any size. */
  split(bytes: Buffer): Buffer[] {
    const chunks: Buffer[] = [];
    const size = this.#random.pick([1, 3, 20, 400]);
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + this.#random.below(size);
      chunks.push(bytes.subarray(at, end));
      at = end;
    }
    return chunks;
  }

  #isWrong(): boolean {
    return this.#random.chance(this.#wrong);
  }

  #noise(most: number): Buffer {
    return Buffer.from(Array.from({ length: this.#random.below(most) }, () => this.#random.below(256)));
  }

  #varint(value: number): Buffer {
    if (this.#isWrong()) {
      const near = Math.max(0, value + this.#random.below(5) - 2);
      return this.#random.pick([
        this.#digits(near),
        Buffer.from([(value & 0x7f) | 0x80, 0]),
        Buffer.from('ffffff7f', 'hex'),
        Buffer.from('8080808001', 'hex'),
      ]);
    }
    return this.#digits(value);
  }

  #digits(value: number): Buffer {
    const digits: number[] = [];
    let left = value;
    do {
      digits.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
      left >>= 7;
    } while (left > 0);
    return Buffer.from(digits);
  }

  #number(bytes: number): Buffer {
    if (this.#isWrong()) return this.#random.pick([this.#noise(2 * bytes), Buffer.alloc(bytes)]);
    const number = Buffer.alloc(bytes);
    number[bytes - 1] = this.#random.pick([1, 2, 255]);
    if (this.#random.chance(0.3)) number[0] = this.#random.below(256);
    return number;
  }

  #prefixed(content: Buffer): Buffer {
    const length = this.#isWrong() ? this.#random.pick([0, content.length + 1, 65_535]) : content.length;
    return Buffer.concat([Buffer.from([length >> 8, length & 0xff]), content]);
  }

  #text(from: readonly string[] = words): Buffer {
    if (!this.#isWrong()) return this.#prefixed(Buffer.from(this.#random.pick(from)));
    return this.#prefixed(
      this.#random.chance(0.5) ? Buffer.from(this.#random.pick(wrongWords)) : this.#random.pick(wrongBytes),
    );
  }

  #property(known: readonly number[]): Buffer {
    const id = this.#isWrong() ? this.#random.below(256) : this.#random.pick(known);
    return Buffer.concat([this.#digits(id), this.#value(id)]);
  }

  #value(id: number): Buffer {
    if (oneByte.includes(id)) return this.#isWrong() ? this.#noise(3) : Buffer.of(this.#random.below(2));
    if (twoBytes.includes(id)) return this.#number(2);
    if (fourBytes.includes(id)) return this.#number(4);
    if (anyBytes.includes(id)) return this.#prefixed(this.#noise(6));
    if (id === 0x0b) return this.#varint(this.#isWrong() ? 0 : this.#random.pick([1, 127, 128, 300_000]));
    if (id === 0x08) return this.#text(names);
    if (id === 0x26) return Buffer.concat([this.#text(), this.#text()]);
    return this.#text();
  }

  #properties(place: keyof typeof ids): Buffer {
    if (this.version !== 5) return Buffer.alloc(0);
    const left: number[] = [...ids[place], ...(this.#random.chance(0.02) ? [0x0b, 0x16] : [])];
    const properties = place === 'auth' && !this.#isWrong() ? [this.#property([0x15])] : [];
    while (left.length > 0 && this.#random.chance(0.4)) {
      const id = left[this.#random.below(left.length)] as number;
      properties.push(this.#property([id]));
      // Most stand once.
      if (id !== 0x26 && !this.#isWrong()) left.splice(left.indexOf(id), 1);
    }
    const all = Buffer.concat(properties);
    return Buffer.concat([this.#varint(all.length), all]);
  }

  #framed(first: number, ...fields: readonly Buffer[]): Buffer {
    const body = Buffer.concat(fields);
    const bytes = Buffer.concat([
      Buffer.of(this.#isWrong() ? first ^ (1 << this.#random.below(8)) : first),
      this.#varint(body.length),
      body,
    ]);
    return this.#isWrong() ? bytes.subarray(0, this.#random.below(bytes.length)) : bytes;
  }

  #connect(): Buffer {
    const { version } = this;
    const hasWill = this.#random.chance(0.4);
    const hasUser = this.#random.chance(0.5);
    const hasPassword = this.#random.chance(0.5) && (version === 5 || hasUser);
    const willBits = hasWill ? 0x04 | (this.#random.below(3) << 3) | (this.#random.below(2) << 5) : 0;
    const flags = 0x02 | willBits | (hasUser ? 0x80 : 0) | (hasPassword ? 0x40 : 0);
    const level = this.#isWrong() ? this.#random.below(256) : version;
    return this.#framed(
      0x10,
      this.#text([version === 3 ? 'MQIsdp' : 'MQTT']),
      Buffer.from([level, this.#isWrong() ? this.#random.below(256) : flags]),
      this.#number(2),
      this.#properties('connect'),
      this.#text(names),
      ...(hasWill
        ? [this.#properties('will'), this.#text(['a', 'a/b']), this.#prefixed(this.#noise(9))]
        : []),
      ...(hasUser ? [this.#text()] : []),
      ...(hasPassword ? [this.#prefixed(this.#noise(9))] : []),
    );
  }

  #packetId(): Buffer {
    return this.#isWrong() ? this.#number(2) : Buffer.from([this.#random.below(256), 1]);
  }

  #packet(): Buffer {
    const pick = this.#random.below(10);
    if (pick < 4) return this.#publish();
    if (pick === 4) return this.#outcome(this.#random.pick([0x40, 0x50, 0x62, 0x70]));
    if (pick === 5) return this.#subscribe();
    if (pick === 6) return this.#unsubscribe();
    if (pick === 7) return this.#framed(0xc0);
    if (pick === 8 && this.version === 5) return this.#last(0xf0, 'auth', [0x18, 0x19]);
    return this.#last(0xe0, 'disconnect', [0x00, 0x04, 0x82]);
  }

  #publish(): Buffer {
    const qos = this.#isWrong() ? 3 : this.#random.below(3);
    const dup = qos > 0 || this.#isWrong() ? this.#random.below(2) << 3 : 0;
    return this.#framed(
      0x30 | dup | (qos << 1) | this.#random.below(2),
      this.#text(this.#random.chance(0.9) ? names : words),
      ...(qos > 0 ? [this.#packetId()] : []),
      this.#properties('publish'),
      this.#random.chance(0.1) ? Buffer.alloc(this.#random.below(6_000)) : this.#noise(20),
    );
  }

  #outcome(first: number): Buffer {
    if (this.version < 5 || this.#random.chance(0.4)) return this.#framed(first, this.#packetId());
    const codes = first < 0x60 ? [0x00, 0x10, 0x80, 0x97] : [0x00, 0x92];
    const reason = Buffer.of(this.#isWrong() ? this.#random.below(256) : this.#random.pick(codes));
    const rest = this.#random.chance(0.6) ? [this.#properties('outcome')] : [];
    return this.#framed(first, this.#packetId(), reason, ...rest);
  }

  #subscribe(): Buffer {
    const list: Buffer[] = [];
    while (list.length === 0 ? !this.#isWrong() : this.#random.chance(0.6)) {
      const options =
        this.#random.below(3) | (this.version === 5 ? this.#random.pick([0, 0, 4, 8, 16, 40]) : 0);
      list.push(
        this.#text(filters),
        Buffer.of(this.#isWrong() ? options ^ (1 << this.#random.below(8)) : options),
      );
    }
    return this.#framed(0x82, this.#packetId(), this.#properties('subscribe'), ...list);
  }

  #unsubscribe(): Buffer {
    const list: Buffer[] = [];
    while (list.length === 0 ? !this.#isWrong() : this.#random.chance(0.6)) list.push(this.#text(filters));
    return this.#framed(0xa2, this.#packetId(), this.#properties('unsubscribe'), ...list);
  }

  #last(first: number, place: 'disconnect' | 'auth', codes: readonly number[]): Buffer {
    if (this.version < 5) return this.#framed(first);
    const reason = Buffer.of(this.#isWrong() ? this.#random.below(256) : this.#random.pick(codes));
    return this.#framed(first, reason, this.#properties(place));
  }
}

/** What the connections of a run came to: how many packets were read, and how many broke which rule. */
export class Seen {
  packets = 0;
  readonly violations = new Map<string, number>(rules.map((rule) => [rule, 0]));

  /** Rules that nothing broke. */
  get unbroken(): readonly string[] {
    return [...this.violations].filter(([, count]) => count === 0).map(([rule]) => rule);
  }
}

/**
 * Decodes one connection, whole and in chunks. It throws where anything but a Violation comes of it, where chunks make a
 * difference, where more is kept than was sent or may be, or where what was read is not what it says when written again.
 */
export function fuzzOne(random: Random, seen: Seen): void {
  const grammar = new Grammar(random);
  const bytes = grammar.connection();
  const whole = decode([bytes], limits);
  const pieces = decodeWatched(grammar.split(bytes));
  assert.deepEqual(pieces.packets, whole.packets);
  assert.equal(pieces.violation?.rule, whole.violation?.rule);
  const { version } = whole.decoder;
  if (version !== undefined) for (const packet of whole.packets) checkMeaning(packet, version);
  seen.packets += whole.packets.length;
  const rule = whole.violation?.rule;
  if (rule !== undefined) seen.violations.set(rule, (seen.violations.get(rule) ?? 0) + 1);
}

function decodeWatched(chunks: readonly Buffer[]) {
  const decoder = new Decoder(limits);
  const packets: ClientPacket[] = [];
  let sent = 0;
  try {
    for (const chunk of chunks) {
      sent += chunk.length;
      decoder.push(chunk);
      for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) packets.push(packet);
      assert.ok(decoder.keptBytes <= Math.min(limits.packetBytes, Math.max(256, 2 * sent)));
    }
  } catch (thrown) {
    if (thrown instanceof Violation) return { packets, violation: thrown };
    throw thrown;
  }
  return { packets, violation: undefined };
}

/** Whether a packet that was read says the same when it is written again, in its one full form. */
function checkMeaning(packet: ClientPacket, version: Version): void {
  const written = encodeFromClient(packet, version);
  const start = packet.type === 'connect' ? [] : [encodeFromClient(plainConnect(version), version)];
  // Written in full it may be longer than what was read.
  const again = decode([...start, written], { ...limits, packetBytes: 2 * limits.packetBytes });
  assert.equal(again.violation, undefined);
  assert.deepEqual(again.packets.at(-1), packet);
}

const plainConnect = (version: Version): ClientPacket => ({
  ...{ type: 'connect', version, cleanStart: true, keepAlive: 0, clientId: 'a', will: undefined },
  ...{ userName: undefined, password: undefined, properties: {} },
});
