import type { Dispatcher } from 'undici';
import { CallError, type OutboundAnswer, type OutboundRequest } from './call.ts';
import { explain, tooLate } from './failure.ts';
import type { Connection } from './pool.ts';
import type { Target } from './target.ts';

// Early hints and the like. More of them than this says nothing more.
const informationalMax = 16;

const ended = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

export interface ExchangeOptions {
  readonly target: Target;
  readonly request: OutboundRequest;
  /** The most bytes of the body that are kept. */
  readonly bytes: number;
  /** Called once, before the promise settles. `reusable`: the connection is free for the next request. */
  onEnd(exchange: Exchange, reusable: boolean): void;
  /** Called at most once: the connection had ended when the request was sent, and the request needs a new one. */
  onStale(exchange: Exchange): void;
}

/** One request and what comes back, whatever the other side does: it settles once, and within its time. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly target: Target;
  readonly request: OutboundRequest;
  readonly answer: Promise<OutboundAnswer>;
  /** The connection that it has, or waits for to be made. */
  connection: Connection | undefined;
  readonly #options: ExchangeOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #chunks: Buffer[] = [];
  #resolve!: (answer: OutboundAnswer) => void;
  #reject!: (error: CallError) => void;
  #ended = false;
  #begun = false;
  #again = false;
  #length = 0;
  #informational = 0;
  #status = 0;
  #headers: NodeJS.Dict<string | string[]> = {};

  constructor(options: ExchangeOptions) {
    this.target = options.target;
    this.request = options.request;
    this.#options = options;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = setTimeout(() => this.#late(), this.request.timeoutMs);
  }

  /** Ends it without an answer. */
  fail(error: CallError): void {
    if (!this.#end(false)) return;
    this.#reject(error);
  }

  onRequestStart(): void {}

  onResponseStarted(): void {
    this.#begun = true;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: NodeJS.Dict<string | string[]>,
  ): void {
    if (status >= 200) {
      this.#status = status;
      this.#headers = headers;
    } else if (++this.#informational > informationalMax) {
      this.fail(new CallError('protocol', `${this.target.host} sends informational answers without end.`));
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#ended) return;
    const room = this.#options.bytes - this.#length;
    this.#chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.#length += Math.min(chunk.length, room);
    // What is not kept is not read either: the connection goes with it.
    if (chunk.length > room) this.#succeed(true);
  }

  onResponseEnd(): void {
    this.#succeed(false);
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#ended) return;
    if (this.#stale(error)) this.#options.onStale(this);
    else this.fail(explain(this.target.host, 'answer', error));
  }

  /**
   * Whether a kept connection ended without a byte of an answer: most likely its receiver was closing it as idle while
   * the request was on its way. Receivers know a delivery by its id, so it may be sent again (RFC 9110, 9.2.2), once.
   */
  #stale(error: NodeJS.ErrnoException): boolean {
    const again =
      !this.#again && !this.#begun && this.connection?.kept === true && ended.has(error.code ?? '');
    this.#again ||= again;
    return again;
  }

  #succeed(truncated: boolean): void {
    if (!this.#end(!truncated)) return;
    this.#resolve({
      status: this.#status,
      headers: joined(this.#headers),
      body: Buffer.concat(this.#chunks, this.#length),
      truncated,
    });
  }

  #late(): void {
    const stage = this.connection?.stage ?? 'waiting';
    const answered = stage === 'answer' && this.#status > 0;
    this.fail(tooLate(this.target.host, this.request.timeoutMs, answered ? 'body' : stage));
  }

  #end(reusable: boolean): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#options.onEnd(this, reusable);
    return true;
  }
}

/** RFC 9110, 5.5: white space around a value is no part of it; 5.3: the values of one name are one list. */
function joined(headers: NodeJS.Dict<string | string[]>): Readonly<Record<string, string>> {
  for (const name in headers) {
    const value = headers[name] ?? '';
    headers[name] =
      typeof value === 'string' ? value.trimEnd() : value.map((one) => one.trimEnd()).join(', ');
  }
  return headers as Record<string, string>;
}
