// A child process full of MQTT 5 clients with sessions: raw sockets that come, count, acknowledge and go.
import { connect, type Socket } from 'node:net';
import { disconnect, Inbox, putPuback, readPublish, types } from './packets.ts';
import type { SessionCommand, SessionEntrance, SessionReply } from './session-protocol.ts';

type Come = Extract<SessionCommand, { kind: 'come' }>;

const buffer = Buffer.allocUnsafe(64 * 1024);
const acks = Buffer.allocUnsafe(buffer.length);
let clients: Client[] = [];
let answers = true;
let wanted = Number.POSITIVE_INFINITY;
/** How many have what they wait for. */
let satisfied = 0;

const reply = (message: SessionReply): void => void process.send?.(message);
const failed = (error: Error): void => reply({ kind: 'failed', reason: error.message });

class Client {
  readonly opened: Promise<void>;
  readonly closed: Promise<void>;
  present = false;
  given = 0;
  again = 0;
  readonly #inbox = new Inbox();
  readonly #socket: Socket;
  readonly #subscribe: string;
  readonly #onOpened: () => void;
  #ackBytes = 0;
  #left = false;

  constructor(index: number, { connect: hello, subscribe }: SessionEntrance, { host, port, sources }: Come) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.opened = promise;
    this.#onOpened = resolve;
    this.#subscribe = subscribe;
    const callback = (bytes: number): boolean => {
      this.#take(buffer.subarray(0, bytes));
      return true;
    };
    const localAddress = sources[index % sources.length] as string;
    this.#socket = connect({ host, port, localAddress, noDelay: true, onread: { buffer, callback } });
    this.#socket.on('error', () => {});
    this.closed = new Promise((done) => {
      this.#socket.on('close', () => {
        done();
        // A pod that dies takes its clients' connections with it; whoever waits for something is told otherwise.
        if (!this.#left && !this.accepted) failed(new Error(`client ${index} was not accepted`));
      });
    });
    this.#socket.write(Buffer.from(hello, 'base64'));
  }

  accepted = false;

  leave(): void {
    this.#left = true;
    this.#socket.end(disconnect);
  }

  #take(chunk: Buffer): void {
    this.#inbox.take(chunk, this.#onPacket);
    if (this.#ackBytes === 0) return;
    this.#socket.write(Buffer.from(acks.subarray(0, this.#ackBytes)));
    this.#ackBytes = 0;
  }

  readonly #onPacket = (bytes: Buffer, at: number, start: number, end: number): void => {
    const type = (bytes[at] as number) >> 4;
    if (type === types.publish) this.#published(bytes, at, start);
    else if (type === types.connack && bytes[start + 1] === 0) this.#accept((bytes[start] as number) === 1);
    else if (type === types.suback && (bytes[end - 1] as number) < 0x80) this.#onOpened();
    else failed(new Error(`a client was sent ${bytes.toString('hex', at, end)}`));
  };

  #accept(present: boolean): void {
    this.accepted = true;
    this.present = present;
    if (this.#subscribe === '') this.#onOpened();
    else this.#socket.write(Buffer.from(this.#subscribe, 'base64'));
  }

  #published(bytes: Buffer, at: number, start: number): void {
    if (((bytes[at] as number) & 8) !== 0) this.again++;
    if (++this.given === wanted) tellWhenGiven(1);
    const { packetId } = readPublish(5, bytes, at, start);
    if (answers && packetId > 0) this.#ackBytes = putPuback(acks, this.#ackBytes, packetId);
  }
}

function tellWhenGiven(more: number): void {
  satisfied += more;
  if (satisfied < clients.length) return;
  const sum = (of: (client: Client) => number): number => clients.reduce((all, one) => all + of(one), 0);
  reply({ kind: 'given', publications: sum(({ given }) => given), again: sum(({ again }) => again) });
}

async function come(order: Come): Promise<void> {
  answers = order.answers;
  wanted = Number.POSITIVE_INFINITY;
  clients = new Array(order.entrances.length);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < order.entrances.length) {
      const index = next++;
      const client = new Client(index, order.entrances[index] as SessionEntrance, order);
      clients[index] = client;
      await client.opened;
    }
  };
  await Promise.all(Array.from({ length: order.atOnce }, lane));
  reply({ kind: 'came', present: clients.filter(({ present }) => present).length });
}

async function leave(): Promise<void> {
  for (const client of clients) client.leave();
  await Promise.all(clients.map(({ closed }) => closed));
  reply({ kind: 'left' });
}

process.on('message', (command: SessionCommand) => {
  if (command.kind === 'come') void come(command).catch(failed);
  else if (command.kind === 'leave') void leave().catch(failed);
  else if (command.kind === 'mute') {
    answers = false;
    reply({ kind: 'muted' });
  } else {
    wanted = command.publications;
    satisfied = 0;
    tellWhenGiven(clients.filter(({ given }) => given >= wanted).length);
  }
});
// The benchmark is gone: so is the reason to be here.
process.on('disconnect', () => process.exit());
