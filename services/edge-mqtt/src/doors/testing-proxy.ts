// PROXY headers as proxies send them, for tests; nothing else imports it.

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

export interface Header2 {
  /** Version and command: 0x21 PROXY, 0x20 LOCAL. */
  readonly command?: number;
  /** Family and transport: 0x11 TCP over IPv4, 0x21 over IPv6. */
  readonly transport?: number;
  readonly addresses?: Buffer;
  /** Extensions behind the addresses, as bytes. */
  readonly extensions?: Buffer;
}

/** Addresses of TCP over IPv4: where it came from, where it goes. */
export const ipv4 = (source: string): Buffer =>
  Buffer.from([...source.split('.'), 10, 0, 0, 1, 0xdc, 0x04, 0x07, 0x5b].map(Number));

/** Version 2. */
export function header2(o: Header2 = {}): Buffer {
  const { command = 0x21, transport = 0x11, addresses = ipv4('192.0.2.7'), extensions = Buffer.alloc(0) } = o;
  const head = Buffer.of(command, transport, 0, 0);
  head.writeUInt16BE(addresses.length + extensions.length, 2);
  return Buffer.concat([signature, head, addresses, extensions]);
}

/** Version 1. */
export const header1 = (source = '192.0.2.7', family = 'TCP4', destination = '10.0.0.1'): Buffer =>
  Buffer.from(`PROXY ${family} ${source} ${destination} 56324 1883\r\n`);
