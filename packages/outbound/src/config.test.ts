import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, readConfig } from '@pushfleet/runtime';
import { outboundFields } from './config.ts';

const read = (name: string, value: string) =>
  readConfig(outboundFields, { [`PUSHFLEET_OUTBOUND_${name}`]: value });

test('nothing is allowed by default, on two ports', () => {
  const config = readConfig(outboundFields, {});
  assert.equal(config.outboundAllow.host('localhost', 443), false);
  assert.deepEqual(config.outboundPorts, [443, 8443]);
  assert.equal(config.outboundProxy, undefined);
});

test('what is right is read', () => {
  assert.deepEqual(read('PORTS', '443, 10443').outboundPorts, [443, 10_443]);
  assert.deepEqual(
    read('RESOLVERS', '192.0.2.53,[2001:db8::53]:5353,2001:db8::1,192.0.2.1:54').outboundResolvers,
    ['192.0.2.53', '[2001:db8::53]:5353', '2001:db8::1', '192.0.2.1:54'],
  );
  assert.equal(read('PROXY', 'http://a:b@proxy:3128').outboundProxy?.host, 'proxy:3128');
});

test('what is wrong is refused, and a proxy with its password is not shown', () => {
  const wrong: readonly (readonly [string, string])[] = [
    ['PORTS', ','],
    ['PORTS', '0'],
    ['PORTS', '65536'],
    ['PORTS', 'https'],
    ['ALLOW', '10.0.0.0/33'],
    ['RESOLVERS', 'dns.example.com'],
    ['RESOLVERS', '192.0.2.1:0'],
    ['PROXY', 'socks5://fleet:hunter2@proxy'],
    ['PROXY', 'http://fleet:hunter2@proxy/path'],
    ['PROXY', 'fleet:hunter2@:'],
    ['CONNECT_TIMEOUT', '0'],
    ['CONNECTIONS_PER_ORIGIN', '0'],
  ];
  for (const [name, value] of wrong) {
    assert.throws(
      () => read(name, value),
      (error: Error) => error instanceof ConfigError && !error.message.includes('hunter2'),
      `${name}=${value}`,
    );
  }
});
