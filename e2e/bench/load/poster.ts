import { connect, type Socket } from 'node:net';

/**
 * Publishes over one keep-alive connection with pipelined POSTs (RFC 9112 section 9.3.2): in order, and as
 * fast as the server takes them. A server may close it between two calls: the next one opens another.
 */
export class Poster {
  readonly #host: string;
  readonly #port: number;
  #socket: Socket | undefined;
  readonly #waiting: { resolve: (body: string) => void; reject: (error: Error) => void }[] = [];
  #answer = '';

  constructor(host: string, port: number) {
    this.#host = host;
    this.#port = port;
  }

  #connect(): Socket {
    const socket = connect({ host: this.#host, port: this.#port, noDelay: true });
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', (error) => this.#end(socket, error));
    socket.on('close', () => this.#end(socket, new Error('the server closed the publisher’s connection')));
    return socket;
  }

  /** Resolves with the answers' bodies once every message is answered with a 2xx. */
  async post(messages: readonly { path: string; headers?: string; body: string }[]): Promise<string[]> {
    const text = messages.map(
      ({ path, headers = '', body }) =>
        `POST ${path} HTTP/1.1\r\nHost: ${this.#host}:${this.#port}\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    const answers = messages.map(
      () => new Promise<string>((resolve, reject) => this.#waiting.push({ resolve, reject })),
    );
    this.#socket ??= this.#connect();
    this.#socket.write(text.join(''));
    return await Promise.all(answers);
  }

  #read(text: string): void {
    this.#answer += text;
    for (;;) {
      if (this.#waiting.length === 0) return; // a farewell
      const length = answerLength(this.#answer);
      if (length === undefined || this.#answer.length < length) return;
      const answer = this.#answer.slice(0, length);
      this.#answer = this.#answer.slice(length);
      const waiting = this.#waiting.shift();
      if (answer.startsWith('HTTP/1.1 2')) waiting?.resolve(answer.slice(answer.indexOf('\r\n\r\n') + 4));
      else waiting?.reject(new Error(`a publish was answered: ${answer.slice(0, 400)}`));
    }
  }

  #end(socket: Socket, error: Error): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#answer = '';
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  close(): void {
    this.#socket?.destroy();
  }
}

function answerLength(text: string): number | undefined {
  const border = text.indexOf('\r\n\r\n');
  if (border < 0) return undefined;
  const head = text.slice(0, border);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length === undefined && !head.startsWith('HTTP/1.1 204')) {
    throw new Error(`a publish was answered without a Content-Length: ${head}`);
  }
  return border + 4 + Number(length ?? 0);
}
