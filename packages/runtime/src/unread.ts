import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { PushfleetError } from '@pushfleet/core';
import { problem } from './problem.ts';

/** What node:http gives with a request that it could not read. */
type Unread = NodeJS.ErrnoException & { readonly rawPacket?: Buffer };

/**
 * Answers what node:http could not read as a request, for which it has no response object.
 *
 * @param headerBytes most bytes of a request's line and headers together
 */
export function refuseUnread(error: Unread, socket: Duplex, headerBytes: number): void {
  // The answer that is under way would have this in its midst. node:http's own handler looks at the same.
  const { _httpMessage: answer } = socket as { readonly _httpMessage?: ServerResponse | null };
  if (!socket.writable || error.code === 'ECONNRESET' || answer?.headersSent) {
    socket.destroy();
    return;
  }
  const polled = isPoll(error);
  const refusal = polled ? noPoll() : unreadable(error, headerBytes);
  const { status, headers, body } = problem(refusal);
  const lines = Object.entries({
    ...headers,
    ...(polled && { allow: 'GET, HEAD, POST, DELETE, SUBSCRIBE, UNSUBSCRIBE, OPTIONS' }),
    connection: 'close',
    'content-length': Buffer.byteLength(body),
  });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head}\r\n${body}`);
}

/** The parser knows every method that topics have, and not this one of Exchange's WebDAV. */
const isPoll = ({ code, rawPacket }: Unread): boolean =>
  code === 'HPE_INVALID_METHOD' &&
  /^POLL (?:http:\/\/[^/ ]+)?\/v1\/topics[/? ]/.test(rawPacket?.subarray(0, 256).toString('latin1') ?? '');

const noPoll = (): PushfleetError =>
  new PushfleetError(
    'method_not_allowed',
    'POLL is not offered: SUBSCRIBE with a Call-Back, ask /poll or /v1/history with a cursor, or hold /sse open.',
  );

function unreadable({ code = 'unknown' }: Unread, headerBytes: number): PushfleetError {
  const answers: Readonly<Record<string, string>> = {
    HPE_HEADER_OVERFLOW: `The request's headers are larger than ${headerBytes} bytes.`,
    ERR_HTTP_REQUEST_TIMEOUT: 'The request did not arrive in time.',
  };
  return new PushfleetError('request_invalid', answers[code] ?? `The request is not HTTP/1.1 (${code}).`);
}
