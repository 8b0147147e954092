import { once } from 'node:events';
import { connect as openSocket, type Socket } from 'node:net';
import type { RunningBroker } from './broker.ts';
import { makeMessage } from './message.ts';
import { connect, Inbox, publish, type Qos, types, type Version } from './packets.ts';

export interface PublisherOptions {
  readonly version: Version;
  readonly qos: Qos;
  readonly topics: number;
  readonly payloadBytes: number;
  topicOf(number: number): string;
}

/** Publishes to topics in turn, numbering the messages of each, on one connection. */
export class Publisher {
  readonly #o: PublisherOptions;
  readonly #socket: Socket;
  readonly #inbox = new Inbox();
  #sent = 0;
  #packetId = 0;
  #unacknowledged = 0;
  #failure: Error | undefined;
  #waiting: (() => void)[] = [];

  /** @throws Error where the broker does not accept it */
  static async open(broker: RunningBroker, o: PublisherOptions): Promise<Publisher> {
    const publisher = new Publisher(broker, o);
    await publisher.#settled();
    return publisher;
  }

  private constructor({ host, port, password }: RunningBroker, o: PublisherOptions) {
    this.#o = o;
    this.#socket = openSocket({ host, port, noDelay: true });
    this.#socket.on('data', (chunk) => this.#take(chunk));
    this.#socket.on('error', (error) => this.#failed(error.message));
    this.#socket.on('close', () => this.#failed('the broker closed the connection'));
    this.#unacknowledged = 1;
    this.#socket.write(connect(o.version, 'publisher', password('publisher')));
  }

  /** From now on the messages of each topic are counted from 1 again. */
  mark(): void {
    this.#sent = 0;
  }

  /** Publishes so many; resolves once the socket took them, and for QoS 1 once all are acknowledged. */
  async publish(count: number): Promise<void> {
    const { version, qos, topics, payloadBytes, topicOf } = this.#o;
    const packets = Array.from({ length: count }, () => {
      const number = this.#sent++;
      this.#packetId = (this.#packetId % 65_535) + 1;
      const payload = makeMessage(Math.floor(number / topics) + 1, payloadBytes);
      return publish(version, qos, topicOf(number % topics), payload, this.#packetId);
    });
    if (qos > 0) this.#unacknowledged += count;
    if (!this.#socket.write(Buffer.concat(packets))) await once(this.#socket, 'drain');
    await this.#settled();
  }

  close(): void {
    this.#socket.removeAllListeners('close').destroy();
  }

  async #settled(): Promise<void> {
    while (this.#unacknowledged > 0 && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #take(chunk: Buffer): void {
    this.#inbox.take(chunk, (bytes, at, start, end) => {
      const type = (bytes[at] as number) >> 4;
      const code = type === types.connack ? bytes[start + 1] : end - start > 2 ? bytes[start + 2] : 0;
      // 0x10: acknowledged, and nobody is subscribed.
      if ((type === types.connack || type === types.puback) && (code === 0 || code === 0x10))
        this.#unacknowledged--;
      else this.#failed(`it was sent ${bytes.toString('hex', at, end)}`);
    });
    if (this.#unacknowledged === 0) this.#wake();
  }

  #failed(reason: string): void {
    this.#failure ??= new Error(`the publisher: ${reason}`);
    this.#wake();
  }

  #wake(): void {
    for (const go of this.#waiting.splice(0)) go();
  }
}
