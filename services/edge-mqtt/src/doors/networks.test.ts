import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostOf, parseNetworks, plainAddress } from './networks.ts';

test('addresses and ranges, of both families', () => {
  const networks = parseNetworks('10.0.0.0/8, 192.0.2.7 ,2001:db8::/32,::1,');
  for (const address of ['10.0.0.0', '10.255.255.255', '192.0.2.7', '2001:db8:ffff::1', '::1']) {
    assert.ok(networks.has(address), address);
  }
  for (const address of [
    '9.255.255.255',
    '11.0.0.0',
    '192.0.2.8',
    '2001:db9::1',
    '::2',
    'x',
    '',
    undefined,
  ]) {
    assert.ok(!networks.has(address), address);
  }
});

test('none is nobody', () => {
  for (const text of ['', ' , ']) assert.ok(!parseNetworks(text).has('127.0.0.1'));
});

test('what is neither is named', () => {
  for (const text of ['x', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0/8', '10.0.0.0/8/8', '[::1]', '-1']) {
    assert.throws(() => parseNetworks(`127.0.0.1,${text}`), {
      message: `${JSON.stringify(text)} is neither`,
    });
  }
});

test('an IPv4 address is the same in an IPv6 one', () => {
  assert.equal(plainAddress('::ffff:192.0.2.7'), '192.0.2.7');
  assert.equal(plainAddress('2001:db8::7'), '2001:db8::7');
});

test('of IPv6 a /64 is one host', () => {
  for (const [address, host] of [
    ['192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::7', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
  ] as const) {
    assert.equal(hostOf(address), host);
  }
});
