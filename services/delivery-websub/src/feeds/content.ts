import { hash } from 'node:crypto';
import type { OutboundAnswer } from '@pushfleet/outbound';

/** What an answer is known by. */
interface Marks {
  /** Of content and its type. */
  readonly digest: string;
  /** `ETag` and `Last-Modified` of the answer, for conditional requests; empty: it had none. */
  readonly etag: string;
  readonly modified: string;
}

/** What was published last of a feed, as the ledger `feeds` holds it. */
export interface Known extends Marks {
  /** It is about to be published, or was a moment ago: nobody knows. */
  readonly pending: boolean;
}

export interface Content extends Marks {
  readonly type: string;
  readonly body: Uint8Array;
}

const headerLength = 256;

export const encodeKnown = ({ digest, etag, modified, pending }: Known): Uint8Array =>
  Buffer.from(JSON.stringify({ digest, etag, modified, pending } satisfies Known));
export const decodeKnown = (value: Uint8Array): Known => JSON.parse(Buffer.from(value).toString()) as Known;

/** Asks for what there is, unless it is still what was published last (RFC 9110 section 13.1). */
export function fetchHeaders(known: Marks | undefined): Record<string, string> {
  return {
    accept: '*/*',
    // Subscribers are sent the bytes as they are.
    'accept-encoding': 'identity',
    ...(known?.etag && { 'if-none-match': known.etag }),
    ...(known?.modified && { 'if-modified-since': known.modified }),
  };
}

/** The content of an answer of 200; a text says why there is none. */
export function contentOf({ headers, body, truncated }: OutboundAnswer, mostBytes: number): Content | string {
  const { etag = '', 'last-modified': modified = '', 'content-encoding': coding = 'identity' } = headers;
  if (truncated || body.length > mostBytes) {
    return `It has more than ${mostBytes} bytes (PUSHFLEET_WEBSUB_FETCH_BYTES).`;
  }
  if (coding.toLowerCase() !== 'identity') return 'It came compressed, which was not asked for.';
  // Headers come as Latin-1, a character for each byte; the texts of a publication are UTF-8.
  const type = Buffer.from(headers['content-type'] ?? '', 'latin1').toString() || 'application/octet-stream';
  return {
    digest: hash('sha256', Buffer.concat([Buffer.from(`${type}\0`), body]), 'base64url'),
    // A longer one is not worth its room: the next request is not conditional.
    etag: etag.length <= headerLength ? etag : '',
    modified: modified.length <= headerLength ? modified : '',
    ...{ type, body },
  };
}
