import type { IncomingMessage } from 'node:http';
import { PushfleetError } from '@pushfleet/core';

/**
 * The whole body of a request. What comes beyond the limit is read and thrown away, so that a client that is
 * still sending gets the answer.
 *
 * @throws PushfleetError `payload_too_large`, or `request_invalid` where the client goes before the end
 */
export function readBody(request: IncomingMessage, mostBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= mostBytes) chunks.push(chunk);
      else reject(tooLarge(mostBytes));
    });
    request.once('end', () => resolve(Buffer.concat(chunks)));
    request.once('error', () => reject(new PushfleetError('request_invalid', 'The body ended early.')));
  });
}

function tooLarge(mostBytes: number): PushfleetError {
  return new PushfleetError(
    'payload_too_large',
    `The body is larger than ${mostBytes} bytes. Name fewer topics, or use wildcards.`,
    { detail: { limit: mostBytes } },
  );
}
