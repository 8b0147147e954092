import type { IncomingMessage, ServerResponse } from 'node:http';
import { PushfleetError, quote } from '@pushfleet/core';
import type { Budget } from '@pushfleet/intake';

export interface BodyLimits {
  /** Most bytes of one body. */
  readonly bytes: number;
  /** Longest time from the first look at the body to its end, in milliseconds. */
  readonly timeoutMs: number;
  /** What all bodies of this process share; held until the response is closed. */
  readonly budget: Budget;
}

/** The request ended before its body did: nobody is left to answer. */
export class BodyAborted extends Error {
  override readonly name = 'BodyAborted';
}

/**
 * Reads the body whole, and refuses one that is too large as soon as that is known.
 *
 * @throws PushfleetError `payload_too_large`, `unsupported_media_type`, `unavailable` or `request_invalid`
 * @throws BodyAborted also where the client left before this was called
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
): Promise<Buffer> {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    throw new PushfleetError(
      'unsupported_media_type',
      `Content-Encoding ${quote(encoding)} is not accepted; send the body as it is.`,
    );
  }
  // Whoever left while the token was checked closed the response already: nothing would give back what it holds.
  if (response.destroyed) throw new BodyAborted();
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limits.bytes) throw tooLarge(limits.bytes, `has ${announced} bytes`);
  // RFC 9110 section 10.1.1: the client holds its body back until it is asked for.
  if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue();
  return collect(request, response, limits, announced);
}

/** One buffer that doubles: a body in crumbs must not cost an object per crumb. */
class Growing {
  readonly #limits: BodyLimits;
  #buffer = Buffer.alloc(0);
  #length = 0;

  constructor(limits: BodyLimits, expected: number) {
    this.#limits = limits;
    this.#grow(expected);
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#limits.bytes) throw tooLarge(this.#limits.bytes, 'has more');
    if (length > this.#buffer.length)
      this.#grow(Math.min(Math.max(length, 2 * this.#length), this.#limits.bytes));
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
  }

  release(): void {
    this.#limits.budget.release(this.#buffer.length);
  }

  #grow(capacity: number): void {
    this.#limits.budget.hold(capacity - this.#buffer.length);
    const grown = Buffer.allocUnsafeSlow(capacity);
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

function collect(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
  announced: number,
): Promise<Buffer> {
  const body = new Growing(limits, announced);
  response.once('close', () => body.release());
  return new Promise((resolve, reject) => {
    const settle = (error?: Error) => {
      clearTimeout(timer);
      request.off('data', onData).off('end', settle).off('error', onAbort).off('close', onAbort);
      if (error === undefined) resolve(body.bytes);
      else reject(error);
    };
    const onAbort = () => settle(new BodyAborted());
    const onData = (chunk: Buffer) => {
      try {
        body.append(chunk);
      } catch (error) {
        settle(error as PushfleetError);
      }
    };
    const timer = setTimeout(() => settle(tooSlow(limits.timeoutMs)), limits.timeoutMs);
    request.on('data', onData).on('end', settle).on('error', onAbort).on('close', onAbort);
  });
}

function tooLarge(limit: number, has: string): PushfleetError {
  return new PushfleetError('payload_too_large', `The body ${has}; at most ${limit} bytes are allowed.`, {
    detail: { limit },
  });
}

function tooSlow(timeoutMs: number): PushfleetError {
  return new PushfleetError(
    'request_invalid',
    `The body did not arrive within ${timeoutMs / 1_000} s; send it faster, or in smaller parts.`,
  );
}
