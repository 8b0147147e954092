import { connect, type Socket } from 'node:net';

/**
 * Publishes over one keep-alive connection with pipelined POSTs (RFC 9112 section 9.3.2): in order, and as
 * fast as the server takes them.
 */
export class Poster {
  readonly #host: string;
  readonly #socket: Socket;
  readonly #waiting: { resolve: (body: string) => void; reject: (error: Error) => void }[] = [];
  #answer = '';
  #failure: Error | undefined;

  constructor(host: string, port: number) {
    this.#host = `${host}:${port}`;
    this.#socket = connect({ host, port, noDelay: true });
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text: string) => this.#read(text));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the server closed the publisher’s connection')));
  }

  /** Resolves with the answers' bodies once every message is answered with a 2xx. */
  async post(messages: readonly { path: string; headers?: string; body: string }[]): Promise<string[]> {
    if (this.#failure !== undefined) throw this.#failure;
    const text = messages.map(
      ({ path, headers = '', body }) =>
        `POST ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    const answers = messages.map(
      () => new Promise<string>((resolve, reject) => this.#waiting.push({ resolve, reject })),
    );
    this.#socket.write(text.join(''));
    return await Promise.all(answers);
  }

  #read(text: string): void {
    this.#answer += text;
    for (;;) {
      const length = answerLength(this.#answer);
      if (length === undefined || this.#answer.length < length) return;
      const answer = this.#answer.slice(0, length);
      this.#answer = this.#answer.slice(length);
      const waiting = this.#waiting.shift();
      if (answer.startsWith('HTTP/1.1 2')) waiting?.resolve(answer.slice(answer.indexOf('\r\n\r\n') + 4));
      else waiting?.reject(new Error(`a publish was answered: ${answer.slice(0, 400)}`));
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  close(): void {
    this.#socket.destroy();
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
