import { type IncomingHttpHeaders, type IncomingMessage, STATUS_CODES, validateHeaderValue } from 'node:http';
import type { Socket } from 'node:net';
import { problem } from '@pushfleet/runtime';

type Headers = Readonly<Record<string, string>>;

/** How a body's end is marked: chunks of HTTP/1.1, or the end of the connection for HTTP/1.0, which knows no chunks. */
export type Framing = 'chunked' | 'plain';

/**
 * Text as bytes that are ready for the socket. The chunk's header and trailer are part of them, so that one
 * buffer serves every connection with a single write.
 */
export function frame(framing: Framing, text: string): Buffer {
  if (framing === 'plain') return Buffer.from(text);
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
}

/** As `frame`, and the end of the body (RFC 9112 section 7.1). */
export function lastFrame(framing: Framing, text: string): Buffer {
  const bytes = frame(framing, text);
  return framing === 'plain' ? bytes : Buffer.concat([bytes, Buffer.from('0\r\n\r\n')]);
}

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

  constructor(request: IncomingMessage, answerHeaders: Record<string, string>) {
    this.socket = request.socket;
    this.headers = request.headers;
    this.answerHeaders = answerHeaders;
    this.framing = request.httpVersion === '1.0' ? 'plain' : 'chunked';
  }

  /** Whether the client left while it was being identified: nothing would tell a stream of it afterwards. */
  get gone(): boolean {
    return this.socket.destroyed || this.socket.readableEnded;
  }

  /** The head of a stream; whoever writes its body writes it first. */
  streamHead(headers: Headers): Buffer {
    const text = head(200, {
      ...headers,
      ...this.answerHeaders,
      ...(this.framing === 'chunked' && { 'transfer-encoding': 'chunked' }),
      // The end of a stream ends its connection (RFC 9112 section 9.6).
      connection: 'close',
    });
    return Buffer.from(text);
  }

  /** Answers with a stream that ends at once: one last text behind its head. */
  finish(streamHead: Buffer, text: string): void {
    this.#end(streamHead, lastFrame(this.framing, text));
  }

  /** Answers with a status and no body. */
  finishEmpty(status: number, headers: Headers): void {
    this.#end(Buffer.from(head(status, { ...headers, ...this.answerHeaders, connection: 'close' })));
  }

  /** Answers with a problem document. */
  refuse(thrown: unknown, instance: string): void {
    const { headers, body } = problem(thrown, instance);
    this.refuseWith(thrown, headers, body);
  }

  /** Answers with the status of a problem, and what may help with it in the head, but a document of another form. */
  refuseWith(thrown: unknown, ownHeaders: Headers, body: string): void {
    const { status, headers } = problem(thrown);
    const length = String(Buffer.byteLength(body));
    const all = {
      ...{ ...headers, ...ownHeaders, ...this.answerHeaders },
      ...{ 'content-length': length, connection: 'close' },
    };
    this.#end(Buffer.from(head(status, all)), Buffer.from(body));
  }

  #end(...parts: readonly Buffer[]): void {
    if (this.socket.destroyed) return;
    this.socket.end(Buffer.concat(parts));
    // A client that neither reads nor closes is cut; the timer goes with the socket.
    this.socket.setTimeout(5_000, () => this.socket.destroy());
  }
}

/** The head of an HTTP/1.1 response. @throws where a value would break out of its line */
export function head(status: number, headers: Headers): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ndate: ${new Date().toUTCString()}\r\n`;
  for (const [name, value] of Object.entries(headers)) {
    validateHeaderValue(name, value);
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}
