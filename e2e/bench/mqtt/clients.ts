// A child process full of MQTT clients: raw sockets that count and acknowledge publications and do as little else as
// possible.
import { connect, type Socket } from 'node:net';
import { now } from '../load/payload.ts';
import { madeAt, numberOf } from './message.ts';
import { disconnect, Inbox, putPuback, readPublish, types } from './packets.ts';
import type { Command, Entrance, Reply } from './protocol.ts';

const handshakesAtOnce = 50;
const progressMs = 2;

type Open = Extract<Command, { kind: 'open' }>;
type Visit = Extract<Command, { kind: 'visit' }>;

// One receive buffer for all sockets: a chunk is read to its end before the next one comes.
const buffer = Buffer.allocUnsafe(64 * 1024);
const acks = Buffer.allocUnsafe(buffer.length);
let order: Open;
let clients: Client[] = [];
let latencies: number[] = [];
let reads = 0;
let reported = 0;

const reply = (message: Reply): void => void process.send?.(message);

class Client {
  readonly opened: Promise<void>;
  /** Publications since the last mark, and the number of the last one. */
  count = 0;
  #last = 0;
  readonly #index: number;
  readonly #inbox = new Inbox();
  readonly #socket: Socket;
  readonly #subscribe: Buffer;
  readonly #sampled: boolean;
  #ackBytes = 0;
  #onOpened: () => void = () => {};

  constructor(index: number, entrance: Entrance) {
    this.#index = index;
    this.#sampled = index % order.sampleEvery === 0;
    this.#subscribe = Buffer.from(entrance.subscribe, 'base64');
    this.opened = new Promise((resolve) => {
      this.#onOpened = resolve;
    });
    this.#socket = openSocket(order, index, (chunk) => this.#take(chunk));
    this.#socket.on('error', (error) => this.#failed(error.message));
    this.#socket.on('close', () => this.#failed('was closed by the broker'));
    this.#socket.write(Buffer.from(entrance.connect, 'base64'));
  }

  mark(): void {
    this.count = 0;
    this.#last = 0;
  }

  #take(chunk: Buffer): void {
    reads++;
    this.#inbox.take(chunk, this.#onPacket);
    if (this.#ackBytes === 0) return;
    this.#socket.write(Buffer.from(acks.subarray(0, this.#ackBytes)));
    this.#ackBytes = 0;
  }

  readonly #onPacket = (bytes: Buffer, at: number, start: number, end: number): void => {
    const type = (bytes[at] as number) >> 4;
    if (type === types.publish) this.#publish(bytes, at, start);
    else if (type === types.connack && bytes[start + 1] === 0) this.#socket.write(this.#subscribe);
    else if (type === types.suback && (bytes[end - 1] as number) <= order.qos) this.#onOpened();
    else this.#failed(`was sent ${bytes.toString('hex', at, end)}`);
  };

  #publish(bytes: Buffer, at: number, start: number): void {
    const { packetId, payload } = readPublish(order.version, bytes, at, start);
    const number = numberOf(bytes, payload);
    if (number !== this.#last + 1) this.#failed(`got number ${number} after number ${this.#last}`);
    this.#last = number;
    this.count++;
    if (packetId > 0) this.#ackBytes = putPuback(acks, this.#ackBytes, packetId);
    if (this.#sampled) latencies.push(now() - madeAt(bytes, payload));
  }

  #failed(reason: string): void {
    reply({ kind: 'failed', reason: `client ${this.#index} ${reason}` });
  }
}

function openSocket(o: Open | Visit, index: number, on: (chunk: Buffer) => void): Socket {
  const callback = (bytes: number): boolean => {
    on(buffer.subarray(0, bytes));
    return true;
  };
  const localAddress = o.sources[index % o.sources.length] as string;
  const socket = connect({ host: o.host, port: o.port, localAddress, onread: { buffer, callback } });
  return socket.setNoDelay();
}

async function inLanes(count: number, atOnce: number, one: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

async function open(): Promise<void> {
  clients = new Array(order.entrances.length);
  await inLanes(order.entrances.length, handshakesAtOnce, (index) => {
    const client = new Client(index, order.entrances[index] as Entrance);
    clients[index] = client;
    return client.opened;
  });
  setInterval(reportProgress, progressMs);
  reply({ kind: 'opened' });
}

async function visit(o: Visit): Promise<void> {
  await inLanes(o.connects.length, o.atOnce, (index) => visitOnce(o, index));
  reply({ kind: 'visited' });
}

function visitOnce(o: Visit, index: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const inbox = new Inbox();
  const socket = openSocket(o, index, (chunk) =>
    inbox.take(chunk, (bytes, at, start, end) => {
      const accepted = (bytes[at] as number) >> 4 === types.connack && bytes[start + 1] === 0;
      if (accepted) socket.end(disconnect);
      else reject(new Error(`a client was answered ${bytes.toString('hex', at, end)}`));
    }),
  );
  socket.on('error', reject).on('close', () => resolve());
  socket.write(Buffer.from(o.connects[index] as string, 'base64'));
  return promise;
}

function smallest(): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { count } of clients) if (count < least) least = count;
  return least;
}

function reportProgress(): void {
  const min = smallest();
  if (min === reported) return;
  reported = min;
  reply({ kind: 'progress', min });
}

function mark(): void {
  for (const client of clients) client.mark();
  latencies = [];
  reads = 0;
  reported = 0;
  reply({ kind: 'marked' });
}

function answerCount(): void {
  const max = clients.reduce((most, { count }) => Math.max(most, count), 0);
  const total = clients.reduce((sum, { count }) => sum + count, 0);
  reply({ kind: 'counted', min: smallest(), max, total, latencies, reads });
}

const failed = (error: Error): void => reply({ kind: 'failed', reason: error.message });

process.on('message', (command: Command) => {
  if (command.kind === 'open') {
    order = command;
    open().catch(failed);
  } else if (command.kind === 'visit') visit(command).catch(failed);
  else if (command.kind === 'mark') mark();
  else answerCount();
});
// The benchmark is gone: so is the reason to be here.
process.on('disconnect', () => process.exit());
