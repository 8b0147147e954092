import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { mostHeaderBytes, ProxyHeaderError, readProxyHeader } from './proxy-header.ts';
import { header1, header2, ipv4 } from './testing-proxy.ts';

// 2001:db8::7 and 2001:db8::1, ports 56324 and 1883.
const ipv6 = Buffer.from('20010db800000000000000000000000720010db8000000000000000000000001dc04075b', 'hex');
/** PP2_TYPE_AUTHORITY of three bytes. */
const extension = Buffer.from('020003612e62', 'hex');
const unknown = 'PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n';

const headers: readonly (readonly [what: string, bytes: Buffer, address: string | undefined])[] = [
  ['version 2, IPv4', header2(), '192.0.2.7'],
  ['version 2, IPv6', header2({ transport: 0x21, addresses: ipv6 }), '2001:db8::7'],
  ['version 2 with extensions', header2({ extensions: extension }), '192.0.2.7'],
  ['version 2, LOCAL', header2({ command: 0x20, transport: 0, addresses: Buffer.alloc(0) }), undefined],
  ['version 2, LOCAL with addresses', header2({ command: 0x20 }), undefined],
  ['version 2, of no family', header2({ transport: 0, addresses: Buffer.alloc(0) }), undefined],
  ['version 2, UDP', header2({ transport: 0x12 }), undefined],
  ['version 2, a socket of Unix', header2({ transport: 0x31, addresses: Buffer.alloc(216) }), undefined],
  [
    'version 2, as long as may be',
    header2({ extensions: Buffer.alloc(mostHeaderBytes - header2().length) }),
    '192.0.2.7',
  ],
  ['version 1, IPv4', header1(), '192.0.2.7'],
  ['version 1, IPv6', header1('2001:DB8:0::7', 'TCP6', '2001:db8::1'), '2001:db8::7'],
  ['version 1, UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), undefined],
  ['version 1, UNKNOWN with addresses', Buffer.from(unknown), undefined],
];

describe('a header is read, and where the client begins', () => {
  for (const [what, bytes, address] of headers) {
    test(what, () => {
      assert.deepEqual(readProxyHeader(bytes), { address, length: bytes.length });
      const followed = Buffer.concat([bytes, Buffer.from('100c00', 'hex')]);
      assert.deepEqual(readProxyHeader(followed), { address, length: bytes.length });
    });

    test(`${what}: at no byte before its last`, () => {
      for (let end = 0; end < bytes.length; end++)
        assert.equal(readProxyHeader(bytes.subarray(0, end)), undefined);
    });
  }
});

describe('what is none is refused', () => {
  const rows: readonly (readonly [string, Buffer])[] = [
    ['MQTT', Buffer.from('100c00044d515454', 'hex')],
    ['TLS', Buffer.from('160301', 'hex')],
    ['one byte of something else', Buffer.from('X')],
    ['HTTP', Buffer.from('POST / HTTP/1.1\r\n')],
    ['a signature that goes wrong at its end', Buffer.from('0d0a0d0a000d0a515549540b', 'hex')],
    ['version 1 in version 2', header2({ command: 0x11 })],
    ['version 3', header2({ command: 0x31 })],
    ['an unknown command', header2({ command: 0x22 })],
    ['an unknown family', header2({ transport: 0x41 })],
    ['an unknown transport', header2({ transport: 0x13 })],
    ['addresses of IPv4 that are cut off', header2({ addresses: ipv4('1.2.3.4').subarray(0, 11) })],
    ['addresses of IPv6 that are cut off', header2({ transport: 0x21, addresses: ipv6.subarray(0, 35) })],
    ['one byte too long', header2({ extensions: Buffer.alloc(mostHeaderBytes - header2().length + 1) })],
    ['a line that does not end', Buffer.from(`PROXY TCP4 ${'1'.repeat(96)}`)],
    ['a line that ends too late', Buffer.from(`PROXY UNKNOWN ${'1'.repeat(92)}\r\n`)],
    ['a line of an unknown family', header1('192.0.2.7', 'TCP5')],
    ['an address of the other family', header1('2001:db8::7', 'TCP4')],
    ['an address that is none', header1('192.0.2.256')],
    ['a destination that is none', header1('192.0.2.7', 'TCP4', '10.0.0')],
    ['a port that is none', Buffer.from('PROXY TCP4 192.0.2.7 10.0.0.1 65536 1883\r\n')],
    ['two spaces', Buffer.from('PROXY TCP4  192.0.2.7 10.0.0.1 1 1883\r\n')],
    ['a line feed alone', Buffer.from('PROXY TCP4 192.0.2.7 10.0.0.1 1 1883\n\r\n')],
    ['lower case', Buffer.from('proxy TCP4')],
  ];
  for (const [what, bytes] of rows) {
    test(what, () => assert.throws(() => readProxyHeader(bytes), ProxyHeaderError));
  }
});

test('a line of 107 bytes is the longest', () => {
  const longest = `PROXY UNKNOWN ${'1'.repeat(91)}\r\n`;
  assert.equal(longest.length, 107);
  assert.equal(readProxyHeader(Buffer.from(longest))?.length, 107);
});

describe('whatever comes', () => {
  // Most texts are no header at the first byte: these begin as one does.
  const near = fc.tuple(
    fc.constantFrom(...headers.map(([, bytes]) => bytes)),
    fc.nat(60),
    fc.uint8Array({ maxLength: 60 }),
  );

  test('it is a header, more has to come, or it is refused', () => {
    fc.assert(
      fc.property(near, ([bytes, at, junk]) => {
        const broken = Buffer.concat([bytes.subarray(0, at), junk, bytes.subarray(at)]);
        try {
          const header = readProxyHeader(broken);
          if (header === undefined) assert.ok(broken.length < mostHeaderBytes);
          else assert.ok(header.length <= broken.length);
        } catch (error) {
          assert.ok(error instanceof ProxyHeaderError);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  test('it is the same in pieces: no piece is refused whose whole is taken', () => {
    fc.assert(
      fc.property(near, fc.nat(), ([bytes, at, junk], cut) => {
        const broken = Buffer.concat([bytes.subarray(0, at), junk, bytes.subarray(at)]);
        const said = (part: Buffer): unknown => {
          try {
            return readProxyHeader(part) ?? 'more';
          } catch {
            return 'refused';
          }
        };
        const whole = said(broken);
        const piece = said(broken.subarray(0, cut % (broken.length + 1)));
        if (piece !== 'more') assert.deepEqual(piece, whole);
      }),
      { numRuns: 5_000 },
    );
  });
});
