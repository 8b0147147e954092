import { isIP, SocketAddress } from 'node:net';

/** What stands in front of a connection that a proxy brings: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt */
export interface ProxyHeader {
  /** Of the client; undefined: the connection is the proxy's own, or the proxy does not say (section 2). */
  readonly address: string | undefined;
  /** In bytes; the client's own begin behind it. */
  readonly length: number;
}

/** What came is no header, and never will be. */
export class ProxyHeaderError extends Error {
  override readonly name = 'ProxyHeaderError';
}

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const textSignature = Buffer.from('PROXY ', 'latin1');
/** Section 2.1: the longest line, CRLF included. */
const lineBytes = 107;
/** Bytes in front of what the length in a header of version 2 counts. */
const fixedBytes = 16;
/** Longest header: extensions (section 2.2) can be long, and none is used here. */
export const mostHeaderBytes = 4_096;

/**
 * Reads the header at the beginning of what came so far, of version 1 or 2; undefined where more has to come.
 *
 * @throws ProxyHeaderError
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (begins(bytes, signature)) return bytes.length < fixedBytes ? undefined : readBinary(bytes);
  if (begins(bytes, textSignature)) return readLine(bytes);
  throw new ProxyHeaderError('There is no PROXY header.');
}

/** As far as it has come. */
function begins(bytes: Buffer, with_: Buffer): boolean {
  const length = Math.min(bytes.length, with_.length);
  return bytes.compare(with_, 0, length, 0, length) === 0;
}

/** Section 2.2: family and transport, and bytes of the addresses. */
const families: Readonly<Record<number, { readonly family: 4 | 6; readonly bytes: number }>> = {
  17: { family: 4, bytes: 12 },
  33: { family: 6, bytes: 36 },
};

function readBinary(bytes: Buffer): ProxyHeader | undefined {
  const [command, transport] = [bytes[12] as number, bytes[13] as number];
  // Section 2.2: receivers must reject what is not assigned.
  if (command >> 4 !== 2 || (command & 0xf) > 1) throw new ProxyHeaderError('Version or command is unknown.');
  if (transport >> 4 > 3 || (transport & 0xf) > 2)
    throw new ProxyHeaderError('Family or transport is unknown.');
  const rest = bytes.readUInt16BE(14);
  const length = fixedBytes + rest;
  if (length > mostHeaderBytes) throw new ProxyHeaderError(`The header has ${length} bytes.`);
  if (bytes.length < length) return undefined;
  const isLocal = (command & 0xf) === 0;
  const addresses = families[transport];
  // Of other families nothing can be said here: the connection counts as the proxy's own, as for LOCAL.
  if (isLocal || addresses === undefined) return { address: undefined, length };
  if (rest < addresses.bytes) throw new ProxyHeaderError('The addresses are cut off.');
  const source = bytes.subarray(fixedBytes, fixedBytes + (addresses.family === 4 ? 4 : 16));
  return { address: textOf(source), length };
}

function textOf(source: Buffer): string {
  if (source.length === 4) return source.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => source.readUInt16BE(i * 2).toString(16));
  return canonical(groups.join(':'));
}

// TCP4 192.0.2.1 192.0.2.2 56324 1883
const line = /^PROXY (TCP4|TCP6) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (\d{1,5}) (\d{1,5})\r\n$/;

/** Section 2.1. */
function readLine(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, lineBytes).indexOf('\r\n');
  if (end < 0) {
    if (bytes.length < lineBytes) return undefined;
    throw new ProxyHeaderError('The line does not end.');
  }
  const length = end + 2;
  const text = bytes.toString('latin1', 0, length);
  if (/^PROXY UNKNOWN[ \r]/.test(text)) return { address: undefined, length };
  const [, family, source = '', destination = '', ...ports] = line.exec(text) ?? [];
  const version = family === 'TCP4' ? 4 : 6;
  const isWhole = isIP(source) === version && isIP(destination) === version;
  if (!isWhole || ports.some((port) => Number(port) > 65_535))
    throw new ProxyHeaderError('The line is malformed.');
  return { address: version === 4 ? source : canonical(source), length };
}

const canonical = (address: string): string => new SocketAddress({ address, family: 'ipv6' }).address;
