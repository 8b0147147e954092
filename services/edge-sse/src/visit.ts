import { type IncomingHttpHeaders, type IncomingMessage, STATUS_CODES, validateHeaderValue } from 'node:http';
import type { Socket } from 'node:net';
import { PushfleetError } from '@pushfleet/core';
import { problem } from '@pushfleet/runtime';
import { refusal } from './close-code.ts';
import { closing, type Framing, lastFrame } from './codec.ts';

/** Headers of an event stream. */
export const streamHeaders = {
  'content-type': 'text/event-stream',
  // A proxy that compressed or stored the stream would hold events back.
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  // No page of another origin may load the stream as a script, an image or anything else.
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  // For pages that CORS lets read the answer.
  'access-control-expose-headers': 'Pushfleet-Connection',
} as const;

/**
 * A request for a stream, on a socket that node:http writes to no more. Its answers are written by hand and end
 * the connection, except for the stream itself.
 */
export class Visit {
  readonly socket: Socket;
  readonly headers: IncomingHttpHeaders;
  readonly framing: Framing;
  /** When it began, by `performance.now()`. */
  readonly since = performance.now();
  /** Sent with whatever the answer is: CORS headers, and the cookie of a ticket that is spent now. */
  readonly answerHeaders: Record<string, string>;
  readonly #lastConnection: boolean;

  constructor(request: IncomingMessage, answerHeaders: Record<string, string>) {
    this.socket = request.socket;
    this.headers = request.headers;
    this.answerHeaders = answerHeaders;
    // HTTP/1.0 knows no chunks: the body ends with the connection.
    this.framing = request.httpVersion === '1.0' ? 'plain' : 'chunked';
    this.#lastConnection = this.framing === 'plain' || /\bclose\b/i.test(request.headers.connection ?? '');
  }

  /** Whether the client left while it was being identified: nothing would tell a stream of it afterwards. */
  get gone(): boolean {
    return this.socket.destroyed || this.socket.readableEnded;
  }

  /** Answers with a refusal in the form that makes this client do the right thing. */
  refuse(thrown: unknown): void {
    if (this.socket.destroyed) return;
    const error = PushfleetError.from(thrown);
    const form = refusal(error, {
      eventStream: this.headers.accept?.includes('text/event-stream') ?? false,
      reconnecting: this.headers['last-event-id'] !== undefined && this.headers.authorization === undefined,
    });
    if (form.kind === 'come_back') {
      this.#finish(
        this.streamHead(),
        lastFrame(this.framing, closing(error.code, error.message, form.retryMs)),
      );
    } else if (form.kind === 'stop') {
      const headers = { ...this.answerHeaders, 'cache-control': 'no-store', connection: 'close' };
      this.#finish(Buffer.from(head(204, headers)));
    } else {
      const { status, headers, body } = problem(error, '/sse');
      const length = String(Buffer.byteLength(body));
      const all = { ...headers, ...this.answerHeaders, 'content-length': length, connection: 'close' };
      this.#finish(Buffer.from(head(status, all)), Buffer.from(body));
    }
  }

  /** The head of the stream; the session writes it before its body. */
  streamHead(): Buffer {
    const text = head(200, {
      ...streamHeaders,
      ...this.answerHeaders,
      ...(this.framing === 'chunked' && { 'transfer-encoding': 'chunked' }),
      ...(this.#lastConnection && { connection: 'close' }),
    });
    return Buffer.from(text);
  }

  #finish(head: Buffer, body: Buffer = Buffer.alloc(0)): void {
    this.socket.end(Buffer.concat([head, body]));
    // A client that neither reads nor closes is cut; the timer goes with the socket.
    this.socket.setTimeout(5_000, () => this.socket.destroy());
  }
}

/** The head of an HTTP/1.1 response. @throws where a value would break out of its line */
function head(status: number, headers: Readonly<Record<string, string>>): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ndate: ${new Date().toUTCString()}\r\n`;
  for (const [name, value] of Object.entries(headers)) {
    validateHeaderValue(name, value);
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}

/** What a client is answered whose request node:http could not read. */
export function answerToBadHead(code: string | undefined, headerBytes: number): string {
  const [status, detail] = badHead(code, headerBytes);
  const body = JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail });
  return (
    head(status, {
      'content-type': 'application/problem+json',
      'content-length': String(Buffer.byteLength(body)),
      connection: 'close',
    }) + body
  );
}

function badHead(code: string | undefined, headerBytes: number): [number, string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return [
        431,
        `The request's head is larger than ${headerBytes} bytes. Send topics in the body of a POST.`,
      ];
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'The request took too long to arrive.'];
    default:
      return [400, 'This is not an HTTP/1.1 request.'];
  }
}
