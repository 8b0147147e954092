import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { filler, type HttpSpec, publishTopics, type Source, topicsFrom } from './spec.ts';

/** Publishes over keep-alive connections, one request at a time on each. */
export async function openHttp(spec: HttpSpec, firstTopic: number): Promise<Source> {
  const requests = requestsOf(spec, topicsFrom(firstTopic));
  const lanes = await Promise.all(Array.from({ length: spec.connections }, () => Lane.open(spec)));
  return {
    window: spec.connections,
    async send() {
      const lane = lanes.pop() ?? (await Lane.open(spec));
      const acknowledged = await lane.request(requests.next().value);
      if (spec.closes === true) lane.close();
      else lanes.push(lane);
      return acknowledged;
    },
  };
}

const fill = (template: string, topic: number) =>
  template.replace('{topic}', String(topic)).replace('{payload}', filler);

interface Request {
  readonly text: string;
  readonly count: number;
}

function* requestsOf(spec: HttpSpec, topics: Generator<number, never>): Generator<Request, never> {
  const { host, port, headers, batch } = spec;
  const count = batch?.size ?? 1;
  const ofTopic = Array.from({ length: publishTopics }, (_, topic) => ({
    line: `POST ${fill(spec.path, topic)} HTTP/1.1\r\nHost: ${host}:${port}\r\n${headers}`,
    item: fill(spec.item, topic),
  }));
  for (;;) {
    const parts = Array.from({ length: count }, () => ofTopic[topics.next().value] as (typeof ofTopic)[0]);
    const items = parts.map(({ item }) => item).join(',');
    const body = batch === undefined ? items : batch.begin + items + batch.end;
    yield { text: `${parts[0]?.line}Content-Length: ${body.length}\r\n\r\n${body}`, count };
  }
}

class Lane {
  readonly #socket: Socket;
  readonly #taken: string | undefined;
  #text = '';
  #count = 0;
  #settle: { resolve(acknowledged: number): void; reject(error: Error): void } | undefined;

  static async open(spec: HttpSpec): Promise<Lane> {
    const socket = connect({ host: spec.host, port: spec.port, noDelay: true });
    await once(socket, 'connect');
    return new Lane(socket, spec.taken);
  }

  constructor(socket: Socket, taken: string | undefined) {
    this.#socket = socket;
    this.#taken = taken;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.on('close', () => this.#settle?.reject(new Error('the server closed a publisher’s connection')));
  }

  request({ text, count }: Request): Promise<number> {
    this.#text = '';
    this.#count = count;
    this.#socket.write(text, 'latin1');
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #read(text: string): void {
    this.#text += text;
    if (!isWhole(this.#text)) return;
    const taken = this.#takenOf(this.#text);
    if (taken === this.#count) this.#settle?.resolve(taken);
    else this.#settle?.reject(new Error(`a publish was answered: ${this.#text.slice(0, 600)}`));
  }

  #takenOf(answer: string): number {
    if (!answer.startsWith('HTTP/1.1 2')) return 0;
    return this.#taken === undefined ? this.#count : answer.split(this.#taken).length - 1;
  }
}

/** Whether the text is a whole response: by its Content-Length, its last chunk, or a status without a body. */
function isWhole(text: string): boolean {
  const border = text.indexOf('\r\n\r\n');
  if (border < 0) return false;
  const head = text.slice(0, border);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) return text.length >= border + 4 + Number(length);
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) return text.endsWith('0\r\n\r\n');
  return true;
}
