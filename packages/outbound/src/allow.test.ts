import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseIp } from './address.ts';
import { AllowList } from './allow.ts';

describe('hosts', () => {
  const list = new AllowList(
    'hooks.corp.example, *.Test.example:8080,10.0.0.0/8:9000,[fd12::7]:9000,fd13::/16,192.0.2.1',
  );
  const rows: readonly (readonly [host: string, port: number, allowed: boolean])[] = [
    ['hooks.corp.example', 443, true],
    ['hooks.corp.example', 22, true],
    ['a.hooks.corp.example', 443, false],
    ['ahooks.corp.example', 443, false],
    ['a.test.example', 8080, true],
    ['a.b.test.example', 8080, true],
    ['a.test.example', 443, false],
    ['test.example', 8080, false],
    ['atest.example', 8080, false],
    ['10.1.2.3', 9000, true],
    ['10.1.2.3', 9001, false],
    ['11.1.2.3', 9000, false],
    ['fd12::7', 9000, true],
    ['fd12::8', 9000, false],
    ['fd13::8', 1, true],
    ['192.0.2.1', 1, true],
    ['192.0.2.2', 1, false],
  ];
  for (const [host, port, allowed] of rows) {
    test(`${host} on ${port} is ${allowed ? 'allowed' : 'not allowed'}`, () =>
      assert.equal(list.host(host, port), allowed));
  }
});

describe('addresses that are not public', () => {
  const list = new AllowList('10.0.0.0/8:443,169.254.0.0/16,100.100.100.200');

  test('are allowed by a range that they lie in, on its port', () => {
    assert.equal(list.address(parseIp('10.1.1.1'), 'private', 443, false), true);
    assert.equal(list.address(parseIp('10.1.1.1'), 'private', 8443, false), false);
    assert.equal(list.address(parseIp('172.16.0.1'), 'private', 443, false), false);
  });

  test('are allowed by an allowed name where services with names live', () => {
    const none = new AllowList();
    for (const kind of ['private', 'loopback', 'shared'] as const) {
      assert.equal(none.address(parseIp('10.1.1.1'), kind, 443, true), true, kind);
    }
    for (const kind of [
      'link-local',
      'metadata',
      'unspecified',
      'multicast',
      'translated',
      'reserved',
    ] as const) {
      assert.equal(none.address(parseIp('10.1.1.1'), kind, 443, true), false, kind);
    }
  });

  test('are allowed as the metadata service only by the address itself', () => {
    assert.equal(list.address(parseIp('169.254.1.1'), 'link-local', 80, false), true);
    assert.equal(list.address(parseIp('169.254.169.254'), 'metadata', 80, false), false);
    assert.equal(list.address(parseIp('100.100.100.200'), 'metadata', 80, false), true);
  });
});

test('a wrong entry is named', () => {
  const wrong = [
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0/8',
    'a b',
    '*',
    '*.',
    'a.*.b',
    'x:0',
    'x:65536',
    'x:http',
  ];
  wrong.push(
    'https://a.example',
    'a/b',
    '127.1',
    '0x7f.1',
    '[::1',
    '[a.example]:80',
    'fe80::1%eth0',
    '10.0.0.1/8/8',
  );
  for (const entry of wrong) {
    assert.throws(
      () => new AllowList(`a.example,${entry}`),
      (error: Error) => error.message.includes(entry),
      entry,
    );
  }
});
