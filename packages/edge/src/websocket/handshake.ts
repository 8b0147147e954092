import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { PushfleetError, quote } from '@pushfleet/core';
import { extension, PerMessageDeflate, subprotocol } from './ws-parts.ts';

/** What was agreed on. */
export interface Agreement {
  readonly protocol: string;
  /** Undefined where the connection is not compressed. */
  readonly deflate: Deflate | undefined;
  /** Headers of the answer. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Deflate {
  readonly inflater: PerMessageDeflate;
  /** The largest window the client inflates with, as a power of 2. */
  readonly windowBits: number;
}

/** Why a request is no handshake of ours: an error, the status, and the headers that the status asks for. */
export class Refusal extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  override readonly cause: PushfleetError;

  constructor(message: string, status = 400, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
    this.cause = new PushfleetError('request_invalid', message);
  }
}

export interface HandshakeOptions {
  /** The subprotocols served; of several offered the first counts. */
  readonly protocols: readonly string[];
  readonly deflate: boolean;
  /** Largest message, inflated, in bytes. */
  readonly messageBytes: number;
}

/**
 * Agrees on an opening handshake, RFC 6455 section 4.2.1 and RFC 7692.
 *
 * @throws Refusal
 */
export function agree({ headers }: Pick<IncomingMessage, 'headers'>, o: HandshakeOptions): Agreement {
  checkVersion(headers);
  const accept = acceptOf(headers);
  const protocol = protocolOf(headers, o.protocols);
  const deflate = o.deflate ? deflateOf(headers, o.messageBytes) : undefined;
  return {
    protocol,
    deflate,
    headers: {
      upgrade: 'websocket',
      connection: 'Upgrade',
      'sec-websocket-accept': accept,
      'sec-websocket-protocol': protocol,
      ...(deflate !== undefined && { 'sec-websocket-extensions': deflate.answer }),
    },
  };
}

/** Section 4.4: an other version is told the one that is spoken here. */
function checkVersion(headers: IncomingHttpHeaders): void {
  const version = headers['sec-websocket-version'];
  if (version === '13') return;
  throw new Refusal(
    `Sec-WebSocket-Version is ${version === undefined ? 'missing' : quote(version)}; this server speaks 13.`,
    426,
    { 'sec-websocket-version': '13', upgrade: 'websocket' },
  );
}

// Section 4.2.2 step 5.4: 16 bytes of base64 from the client, and its digest with this text from the server.
const key = /^[+/0-9A-Za-z]{22}==$/;
const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

function acceptOf(headers: IncomingHttpHeaders): string {
  const given = headers['sec-websocket-key'];
  if (given === undefined || !key.test(given)) {
    throw new Refusal('Sec-WebSocket-Key is not 16 bytes in base64.');
  }
  return createHash('sha1')
    .update(given + guid)
    .digest('base64');
}

function protocolOf(headers: IncomingHttpHeaders, served: readonly string[]): string {
  const header = headers['sec-websocket-protocol'];
  // An answer may name only what was offered (section 4.2.2), and without a name nobody knows what to speak.
  if (header === undefined)
    throw new Refusal(`No subprotocol is offered. Offer ${quote(served[0] as string)}.`);
  const offered = read('Sec-WebSocket-Protocol', () => subprotocol.parse(header));
  for (const protocol of offered) if (served.includes(protocol)) return protocol;
  throw new Refusal(
    `None of the subprotocols offered is served here: ${[...offered].map(quote).join(', ')}. Offer ${quote(served[0] as string)}.`,
  );
}

function deflateOf(
  headers: IncomingHttpHeaders,
  messageBytes: number,
): (Deflate & { readonly answer: string }) | undefined {
  const header = headers['sec-websocket-extensions'];
  if (header === undefined) return undefined;
  const name = PerMessageDeflate.extensionName;
  const offers = read('Sec-WebSocket-Extensions', () => extension.parse(header))[name] ?? [];
  // zlib deflates with a window of 2^9 at least.
  const able = offers.filter(({ server_max_window_bits: bits }) => bits?.[0] !== '8');
  const inflater = new PerMessageDeflate({
    isServer: true,
    maxPayload: messageBytes,
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
  });
  try {
    const { server_max_window_bits: bits = 15, ...others } = inflater.accept(able);
    const params = bits === 15 ? others : { ...others, server_max_window_bits: bits };
    return { inflater, windowBits: Number(bits), answer: extension.format({ [name]: [params] }) };
  } catch {
    // An offer that cannot be taken is declined (RFC 7692 section 7.1), and the connection is not compressed.
    return undefined;
  }
}

function read<T>(header: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new Refusal(`The header ${header} is malformed: ${(error as Error).message}.`);
  }
}
