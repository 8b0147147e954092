import { readdirSync, readFileSync } from 'node:fs';
import { connect as open, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { handedOverMs } from './mqtt-edge.ts';

// Plays Mosquitto's byte sequences: test/broker/data, each file a list of groups of tests, each test what a client sends and
// what it is to be answered, byte for byte.

/** A test as the files have it; what it leaves out its group says. */
interface Test {
  readonly name: string;
  readonly ver?: number;
  readonly connect?: boolean;
  readonly expect_disconnect?: boolean;
  readonly msgs: readonly Message[];
}

type Message =
  | { readonly type: 'send'; readonly payload: string }
  | { readonly type: 'recv'; readonly payload: string }
  | {
      readonly type: 'external_publish';
      readonly topic: string;
      readonly qos: 0 | 1 | 2;
      readonly payload: string;
      readonly retain?: boolean;
    };

interface Group extends Omit<Test, 'name' | 'msgs'> {
  readonly group: string;
  readonly disable?: boolean;
  readonly tests: readonly Test[];
}

export interface Played {
  /** File, group and name; the second of a name ends in " (2)". */
  readonly name: string;
  /** What was not as it is to be; undefined: it passed. */
  readonly failure: string | undefined;
}

/** How long an answer may take. None is waited for where nothing is expected but the end. */
const waitMs = 2_000;

/** Plays all of them, one after the other. */
export async function playSequences(folder: string, port: number): Promise<readonly Played[]> {
  const played: Played[] = [];
  const names = new Map<string, number>();
  for (const file of readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()) {
    const groups = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Group[];
    for (const group of groups.filter(({ disable }) => disable !== true)) {
      for (const test of group.tests) {
        const plain = `${file} ${group.group} ${test.name}`.replace(/\s+/g, ' ');
        const count = (names.get(plain) ?? 0) + 1;
        names.set(plain, count);
        const name = count === 1 ? plain : `${plain} (${count})`;
        played.push({ name, failure: await play({ ...defaults, ...group, ...test }, port) });
      }
    }
  }
  return played;
}

const defaults = { ver: 4, connect: true, expect_disconnect: true };

async function play(test: typeof defaults & Test, port: number): Promise<string | undefined> {
  const client = await Client.open(port);
  try {
    if (test.connect) {
      client.send(connectOf(test.name, test.ver));
      await client.expect(connackOf(test.ver));
    }
    for (const message of test.msgs) await step(client, message, port);
    await (test.expect_disconnect ? client.expectEnd() : client.expectLife());
    return undefined;
  } catch (error) {
    if (!(error instanceof Different)) throw error;
    await forget(test, port);
    return error.message;
  } finally {
    client.close();
    // What nobody acknowledges is not to come to a subscriber of the next test.
    if (test.msgs.some(isUnacknowledged)) await delay(handedOverMs);
  }
}

const isUnacknowledged = (message: Message): boolean =>
  message.type === 'send' && ((bytesOf(message.payload)[0] as number) & 0xf6) === 0x30;

/** Deletes what a test retained that did not get to its end, and would do so there. */
async function forget({ msgs }: Test, port: number): Promise<void> {
  for (const message of msgs) {
    const bytes = message.type === 'send' ? bytesOf(message.payload) : pingreq;
    if (((bytes[0] as number) & 0xf1) !== 0x31) continue;
    const body = bodyOf(bytes);
    const topic = body.toString('utf8', 2, 2 + body.readUInt16BE(0));
    await publishBeside({ type: 'external_publish', topic, payload: '', qos: 1, retain: true }, port);
  }
}

async function step(client: Client, message: Message, port: number): Promise<void> {
  if (message.type === 'send') client.send(bytesOf(message.payload));
  else if (message.type === 'external_publish') await publishBeside(message, port);
  else for (const packet of packetsOf(bytesOf(message.payload))) await client.expect(packet);
}

class Different extends Error {}

const disconnect = 0xe0;
const pingreq = Buffer.from([0xc0, 0]);
const pingresp = Buffer.from([0xd0, 0]);
const hex = (bytes: Buffer): string => bytes.toString('hex');

/** A client that knows nothing but where a packet ends. */
class Client {
  readonly #socket: Socket;
  #came = Buffer.alloc(0);
  #ended = false;
  #news: () => void = () => {};
  /** The DISCONNECT that is expected is not said; closing is as good. */
  #closedInstead = false;
  /** The server's packet identifiers, by those of the files: which of those that are free it takes is its own affair. */
  readonly #ids = new Map<number, number>();

  static async open(port: number): Promise<Client> {
    const socket = open(port, '127.0.0.1');
    socket.setNoDelay(true);
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Client(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.#came = Buffer.concat([this.#came, bytes]);
      this.#news();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#ended = true;
      this.#news();
    });
    socket.on('end', () => socket.destroy());
  }

  send(bytes: Buffer): void {
    if (this.#ended) return;
    this.#socket.write(answers.has((bytes[0] as number) >> 4) ? this.#renamed(bytes, bodyAt(bytes)) : bytes);
  }

  /** @throws Different */
  async expect(wanted: Buffer): Promise<void> {
    const packet = await this.next();
    if (packet === 'closed' && wanted[0] === disconnect) this.#closedInstead = true;
    else if (packet === 'closed' || packet === 'silent')
      throw new Different(`${packet}, expected ${hex(wanted)}`);
    else if (!isAs(this.#meant(wanted, packet), packet))
      throw new Different(`got ${hex(packet)}, expected ${hex(wanted)}`);
  }

  /** What is wanted, under the packet identifier that the server gave it, or gives it with this packet. */
  #meant(wanted: Buffer, got: Buffer): Buffer {
    const [at, gotAt] = [serverIdAt(wanted), serverIdAt(got)];
    if (at === undefined) return wanted;
    const id = wanted.readUInt16BE(at);
    const given = gotAt === undefined ? 0 : got.readUInt16BE(gotAt);
    if (given > 0 && !this.#ids.has(id) && isPublish(got)) this.#ids.set(id, given);
    return this.#renamed(wanted, at);
  }

  #renamed(packet: Buffer, at: number): Buffer {
    const id = at + 2 <= packet.length ? this.#ids.get(packet.readUInt16BE(at)) : undefined;
    if (id === undefined) return packet;
    const renamed = Buffer.from(packet);
    renamed.writeUInt16BE(id, at);
    return renamed;
  }

  /** A DISCONNECT before the end is not told from the end. @throws Different */
  async expectEnd(): Promise<void> {
    if (this.#closedInstead) return;
    const packet = await this.next();
    if (packet === 'closed' || (packet !== 'silent' && packet[0] === disconnect)) return;
    throw new Different(`still connected, got ${packet === 'silent' ? 'nothing' : hex(packet)}`);
  }

  /** @throws Different */
  async expectLife(): Promise<void> {
    this.send(pingreq);
    await this.expect(pingresp);
  }

  /** The next packet, the end, or silence. */
  async next(): Promise<Buffer | 'closed' | 'silent'> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#news();
    }, waitMs);
    try {
      for (;;) {
        const [packet] = packetsOf(this.#came, true);
        if (packet !== undefined) {
          this.#came = this.#came.subarray(packet.length);
          return packet;
        }
        if (this.#ended) return 'closed';
        if (late) return 'silent';
        await new Promise<void>((resolve) => {
          this.#news = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

// The types of packets, as the first byte of each has them in its upper half.
const types = {
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  disconnect: 14,
} as const;
/** What a client says of publications that the server gave their packet identifiers. */
const answers: ReadonlySet<number> = new Set([types.puback, types.pubrec, types.pubcomp]);

/**
 * Whether a packet is as it is to be. A CONNACK is compared by its flags and its reason, an acknowledgement by its packet
 * identifier and its reason: properties differ from server to server. The reason of a DISCONNECT does not count.
 */
function isAs(wanted: Buffer, got: Buffer): boolean {
  if (wanted.equals(got)) return true;
  if (wanted[0] !== got[0]) return false;
  const type = (got[0] as number) >> 4;
  if (type === types.disconnect) return true;
  const [ours, theirs] = [bodyOf(got), bodyOf(wanted)];
  const same = (at: number): boolean => (ours[at] ?? 0) === (theirs[at] ?? 0);
  if (type === types.connack) return same(0) && same(1);
  return type >= types.puback && type <= types.pubcomp && same(0) && same(1) && same(2);
}

const bodyOf = (packet: Buffer): Buffer => packet.subarray(bodyAt(packet));

function bodyAt(packet: Buffer): number {
  let at = 1;
  while ((packet[at] as number) >= 0x80) at++;
  return at + 1;
}

const isPublish = (packet: Buffer): boolean => (packet[0] as number) >> 4 === types.publish;

/** Where a packet of the server has a packet identifier that the server chose; undefined: nowhere. */
function serverIdAt(packet: Buffer): number | undefined {
  const body = bodyAt(packet);
  if ((packet[0] as number) >> 4 === types.pubrel) return body;
  if (!isPublish(packet) || ((packet[0] as number) & 0x06) === 0) return undefined;
  return body + 2 + packet.readUInt16BE(body);
}

/** The packets that stand there one after the other. @param whole leaves out what is not there to its end */
function packetsOf(bytes: Buffer, whole = false): Buffer[] {
  const packets: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = endOf(bytes, start);
    if (end === undefined || end > bytes.length) return whole ? packets : [...packets, bytes.subarray(start)];
    packets.push(bytes.subarray(start, end));
    start = end;
  }
  return packets;
}

/** Where the packet at `start` ends; undefined where its length is not there yet. */
function endOf(bytes: Buffer, start: number): number | undefined {
  let length = 0;
  for (let at = start + 1, shift = 0; at < bytes.length; at++, shift += 7) {
    const byte = bytes[at] as number;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) return at + 1 + length;
  }
  return undefined;
}

/**
 * The notation of the files: hexadecimal digits, 'text', and decimal numbers by the letter before them: `i` has one byte,
 * `H`, `k`, `m`, `s` have two, `L` four, `v` and `r` as many as a variable byte integer of theirs takes.
 */
function bytesOf(notation: string): Buffer {
  const parts = notation.match(/'[^']*'|\S+/g) ?? [];
  return Buffer.concat(parts.map(partOf));
}

function partOf(part: string): Buffer {
  if (part.startsWith("'")) return Buffer.from(part.slice(1, -1));
  const value = Number(part.slice(1));
  if (/^i\d+$/.test(part)) return Buffer.from([value]);
  if (/^[Hkms]\d+$/.test(part)) return Buffer.from([value >> 8, value & 0xff]);
  if (/^L\d+$/.test(part))
    return Buffer.from([value >>> 24, value >> 16, value >> 8, value].map((byte) => byte & 0xff));
  if (/^[vr]\d+$/.test(part)) return varint(value);
  if (!/^([0-9a-f]{2})+$/i.test(part)) throw new Error(`${part} is none of the notation`);
  return Buffer.from(part, 'hex');
}

/** Of any size, also of more than MQTT allows. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; ) {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? byte | 0x80 : byte);
    if (rest === 0) return Buffer.from(bytes);
  }
}

const textOf = (text: string): Buffer => {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
};

const packetOf = (first: number, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([first]), varint(body.length), body]);
};

/** The CONNECT that most tests begin with: a clean session, and in MQTT 5 a Receive Maximum of 20. */
const connectOf = (clientId: string, version: number): Buffer =>
  packetOf(
    0x10,
    textOf(version === 3 ? 'MQIsdp' : 'MQTT'),
    Buffer.from([version, 0x02, 0, 60]),
    Buffer.from(version === 5 ? [3, 0x21, 0, 20] : []),
    textOf(clientId),
  );

const connackOf = (version: number): Buffer =>
  packetOf(0x20, Buffer.from(version === 5 ? [0, 0, 0] : [0, 0]));

/** Another client publishes. */
async function publishBeside(
  { topic, payload, qos, retain }: Extract<Message, { type: 'external_publish' }>,
  port: number,
): Promise<void> {
  const client = await Client.open(port);
  const id = Buffer.from([0, 1]);
  client.send(connectOf('helper', 4));
  await client.expect(connackOf(4));
  const flags = 0x30 | (qos << 1) | (retain === true ? 1 : 0);
  client.send(packetOf(flags, textOf(topic), qos === 0 ? Buffer.alloc(0) : id, Buffer.from(payload)));
  if (qos === 1) await client.expect(packetOf(0x40, id));
  if (qos === 2) {
    await client.expect(packetOf(0x50, id));
    client.send(packetOf(0x62, id));
    await client.expect(packetOf(0x70, id));
  }
  client.send(packetOf(0xe0));
  await client.next();
  client.close();
}
