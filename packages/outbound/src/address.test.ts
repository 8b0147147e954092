import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AddressClass, classOf, layersOf, parseIp } from './address.ts';

// Edges of the ranges of the two IANA registries: inside, and where there is a public neighbour, beside.
const classes: readonly (readonly [AddressClass | undefined, readonly string[]])[] = [
  ['unspecified', ['0.0.0.0', '0.255.255.255', '::']],
  ['loopback', ['127.0.0.0', '127.0.0.1', '127.255.255.255', '::1']],
  [
    'private',
    ['10.0.0.0', '10.255.255.255', '172.16.0.0', '172.31.255.255', '192.168.0.0', '192.168.255.255'],
  ],
  ['private', ['fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'fec0::1', 'feff::1']],
  ['shared', ['100.64.0.0', '100.127.255.255']],
  ['link-local', ['169.254.0.0', '169.254.255.255', 'fe80::1', 'febf::1']],
  ['metadata', ['169.254.169.254', '169.254.170.2', 'fd00:ec2::254', 'fd20:ce::254', '168.63.129.16']],
  ['metadata', ['100.100.100.200', '192.0.0.192', 'fd00:0ec2:0:0:0:0:0:0254']],
  ['multicast', ['224.0.0.0', '239.255.255.255', 'ff00::', 'ff02::1', 'ffff::1']],
  ['broadcast', ['255.255.255.255']],
  ['documentation', ['192.0.2.1', '198.51.100.255', '203.0.113.0', '2001:db8::1', '3fff:fff::1']],
  ['benchmarking', ['198.18.0.0', '198.19.255.255', '2001:2::1']],
  [
    'translated',
    ['::ffff:8.8.8.8', '::8.8.8.8', '::ffff:0:8.8.8.8', '64:ff9b::8.8.8.8', '64:ff9b:1:ffff::1'],
  ],
  ['translated', ['2002:808:808::1', '2001:0:808:808::f7f7:f7f7']],
  ['reserved', ['192.0.0.0', '192.0.0.255', '192.31.196.1', '192.52.193.1', '192.88.99.1', '192.175.48.1']],
  ['reserved', ['240.0.0.0', '255.255.255.254', '2001:1::1', '2001:3::1', '2001:4:112::1', '2001:10::1']],
  [
    'reserved',
    ['2001:20::1', '2001:30::1', '2620:4f:8000::1', '100::1', '100:0:0:1::1', '5f00::1', '4000::1'],
  ],
  ['reserved', ['1fff::1', 'fbff::1', '64:ff9b:2::1', '200::1']],
  [undefined, ['1.0.0.0', '8.8.8.8', '9.255.255.255', '11.0.0.0', '126.255.255.255', '128.0.0.0']],
  [
    undefined,
    ['100.63.255.255', '100.128.0.0', '169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0'],
  ],
  [undefined, ['192.0.1.0', '192.0.3.0', '192.167.255.255', '192.169.0.0', '198.17.255.255', '198.20.0.0']],
  [undefined, ['203.0.112.255', '203.0.114.0', '223.255.255.255', '168.63.129.15', '168.63.129.17']],
  [
    undefined,
    ['2000::1', '2001:200::1', '2001:4860:4860::8888', '2003::1', '2606:4700::1111', '3ffe:ffff::1'],
  ],
];

test('every range has its class, to its edges', () => {
  for (const [expected, addresses] of classes) {
    for (const address of addresses) assert.equal(classOf(parseIp(address)), expected, address);
  }
});

describe('an address that carries an IPv4 one is judged by both', () => {
  const carriers: Readonly<Record<string, string>> = {
    'IPv4-mapped': '::ffff:10.1.2.3',
    'IPv4-compatible': '::10.1.2.3',
    'IPv4-translated': '::ffff:0:10.1.2.3',
    NAT64: '64:ff9b::10.1.2.3',
    'NAT64 of a network of its own': '64:ff9b:1::10.1.2.3',
    '6to4': '2002:a01:203:5::1',
    'Teredo client': '2001:0:808:808:8000:1:f5fe:fdfc',
    'Teredo server': '2001:0:a01:203:8000:1:f7f7:f7f7',
    ISATAP: '2606:4700::5efe:10.1.2.3',
    'ISATAP with the universal bit': '2606:4700::200:5efe:10.1.2.3',
  };
  for (const [name, address] of Object.entries(carriers)) {
    test(name, () => {
      const layers = layersOf(parseIp(address));
      assert.ok(layers.some((layer) => layer.ip.toString() === '10.1.2.3' && layer.class === 'private'));
    });
  }

  test('and others by themselves alone', () => {
    for (const address of ['10.1.2.3', '::1', '2606:4700::a01:203', 'fe80::a01:203']) {
      assert.equal(layersOf(parseIp(address)).length, 1, address);
    }
  });
});

test('only the notation of sockets is read', () => {
  for (const text of ['127.1', '0x7f000001', '017700000001', '2130706433', '1.2.3.4.', '[::1]', '', 'a.b']) {
    assert.throws(() => parseIp(text), text);
  }
});
