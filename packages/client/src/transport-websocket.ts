import type { Clock } from './clock.ts';
import { errorOf, type PushfleetError, unreachable } from './errors.ts';
import { type CloudEvent, ReceivedMessage } from './message.ts';
import { type Ask, broken, type End, type Link, type LinkEvents, type Transport } from './transport.ts';

// The client's side of pushfleet.v1: services/edge-websocket/PROTOCOL.md.

type Said = Readonly<Record<string, unknown>>;

/** How long the server may be silent where it does not say, and how long it may take to answer a ping. */
const silenceMs = 30_000;
const pongMs = 10_000;

interface Waiting {
  resolve(answer: Said): void;
  reject(error: PushfleetError): void;
}

/** @param url of the fleet's front, `http:` or `https:`, without a slash at its end */
export const webSocketTransport = (
  url: string,
  socket: new (url: string, protocols: string[]) => WebSocket,
  clock: Clock,
): Transport => ({
  open: (ask, events) =>
    new WebSocketLink(new socket(`${url.replace(/^http/, 'ws')}/ws`, ['pushfleet.v1']), clock, ask, events),
});

class WebSocketLink implements Link {
  readonly #socket: WebSocket;
  readonly #clock: Clock;
  readonly #ask: Ask;
  readonly #events: LinkEvents;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #closing: End | undefined;
  #silenceMs = silenceMs;
  #heardAt = 0;
  #cancel: () => void = () => {};
  #ended = false;

  constructor(socket: WebSocket, clock: Clock, ask: Ask, events: LinkEvents) {
    this.#socket = socket;
    this.#clock = clock;
    this.#ask = ask;
    this.#events = events;
    socket.binaryType = 'arraybuffer';
    // The first message, since a page cannot set a header on the handshake, and a URL would end up in logs.
    socket.onopen = () => this.#send({ type: 'auth', token: ask.token });
    socket.onmessage = ({ data }) => this.#receive(data as string | ArrayBuffer);
    // The fleet says why before it closes; a close without that is the network's.
    socket.onclose = ({ code }) => this.#end(this.#closing ?? broken(`The WebSocket closed (${code}).`));
    socket.onerror = () => {}; // a close follows
  }

  #receive(data: string | ArrayBuffer): void {
    if (this.#ended) return;
    this.#heardAt = this.#clock.now();
    try {
      if (typeof data === 'string') this.#hear(JSON.parse(data) as Said);
      else this.#hear(...unpack(data));
    } catch (cause) {
      this.#end(broken('What came is not pushfleet.v1.', cause));
    }
  }

  #hear(said: Said, bytes?: Uint8Array): void {
    switch (said.type) {
      case 'publication':
        this.#events.message(new ReceivedMessage(said.event as CloudEvent, said.retained === true, bytes));
        break;
      case 'cursor':
        this.#events.moved(said.cursor as string);
        break;
      case 'gap':
        this.#events.gap({ from: said.from as string, to: said.to as string });
        break;
      case 'welcome':
        this.#welcome(said);
        break;
      case 'closing': {
        const error = errorOf(said);
        this.#closing = { error, broken: false, retryMs: error.retryAfterMs };
        break;
      }
      default:
        this.#answer(said);
    }
  }

  #answer(said: Said): void {
    const waiting = this.#waiting.get(said.id as number);
    if (waiting === undefined) return;
    this.#waiting.delete(said.id as number);
    if (said.type === 'error') waiting.reject(errorOf(said));
    else waiting.resolve(said);
  }

  #welcome({ ping }: Said): void {
    if (typeof ping === 'number') this.#silenceMs = ping;
    this.#watch(this.#silenceMs);
    this.#events.alive();
    const { filters, after, retained } = this.#ask;
    if (filters.length === 0) this.#events.live(undefined);
    else this.#subscribe(filters, after, retained).catch((error) => this.#end({ error, broken: false }));
  }

  async #subscribe(filters: readonly string[], after: string | undefined, retained: boolean): Promise<void> {
    const { cursor } = await this.request({ type: 'subscribe', filters, after, retained });
    if (!this.#ended) this.#events.live(cursor as string);
  }

  async add(filters: readonly string[], after: string | undefined): Promise<void> {
    await this.request({ type: 'subscribe', filters, after });
  }

  remove(filters: readonly string[]): void {
    this.#send({ type: 'unsubscribe', id: this.#nextId++, filters });
  }

  renew(token: string): void {
    this.request({ type: 'auth', token }).catch((error: PushfleetError) =>
      this.#end({ error, broken: false }),
    );
  }

  request(message: object, json?: string, bytes?: Uint8Array): Promise<Said> {
    if (this.#ended) return Promise.reject(unreachable('The connection has ended.'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#send({ ...message, id }, json, bytes);
    });
  }

  #send(message: object, json?: string, bytes?: Uint8Array): void {
    if (this.#socket.readyState !== 1) return; // OPEN; a close is on its way
    const text = JSON.stringify(message);
    if (bytes !== undefined) this.#socket.send(pack(text, bytes));
    else this.#socket.send(json === undefined ? text : `${text.slice(0, -1)},"data":${json}}`);
  }

  // Pages see no ping frames: after a silence they ask.
  #watch(ms: number): void {
    this.#cancel();
    this.#cancel = this.#clock.after(ms, () => {
      const left = this.#heardAt + this.#silenceMs - this.#clock.now();
      if (left > 0) this.#watch(left);
      else this.check();
    });
  }

  check(): void {
    if (this.#ended || this.#socket.readyState !== 1) return;
    const asked = this.#clock.now();
    this.#send({ type: 'ping' });
    this.#cancel();
    this.#cancel = this.#clock.after(pongMs, () => {
      if (this.#heardAt >= asked) this.#watch(this.#silenceMs);
      else this.#end(broken('The fleet does not answer.'));
    });
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancel();
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // Closing while it connects is an error that the platform prints; it is one we mean.
    socket.close(1000);
    const error = unreachable('The connection has ended.');
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #end(end: End): void {
    if (this.#ended) return;
    this.close();
    this.#events.end(end);
  }
}

/** A binary frame: length of the header (uint32, big endian), header, payload. */
function pack(header: string, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new TextEncoder().encode(header);
  const frame = new Uint8Array(4 + head.length + payload.length);
  new DataView(frame.buffer).setUint32(0, head.length);
  frame.set(head, 4);
  frame.set(payload, 4 + head.length);
  return frame;
}

/** @throws RangeError, SyntaxError */
function unpack(frame: ArrayBuffer): [header: Said, payload: Uint8Array] {
  const end = 4 + new DataView(frame).getUint32(0);
  const header = new TextDecoder().decode(new Uint8Array(frame, 4, end - 4));
  return [JSON.parse(header) as Said, new Uint8Array(frame, end)];
}
