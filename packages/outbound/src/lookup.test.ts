import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { test } from 'node:test';
import { callerWith, ok, startNameServer, startReceiver } from './testing.ts';

const url = 'https://hooks.example.com/';

test('a name that does not exist', async (t) => {
  const dns = await startNameServer(t, () => undefined);
  const { refusal } = callerWith(t, { RESOLVERS: dns.address });
  const error = await refusal(url);
  assert.equal(error.failure, 'lookup');
  assert.equal(error.message, 'hooks.example.com does not exist.');
});

test('a name without addresses', async (t) => {
  const dns = await startNameServer(t, () => []);
  const { refusal } = callerWith(t, { RESOLVERS: dns.address });
  assert.equal((await refusal(url)).message, 'hooks.example.com has no addresses.');
});

test('name servers that stay silent take no longer than connecting may', async (t) => {
  const dns = await startNameServer(t, () => 'silent');
  const { refusal } = callerWith(t, { RESOLVERS: dns.address, CONNECT_TIMEOUT: '200ms' });
  const error = await refusal(url);
  assert.equal(error.failure, 'timeout');
  assert.match(error.message, /longer than 0\.2 s: its name was not found out/);
});

test('nor than the call may', async (t) => {
  const dns = await startNameServer(t, () => 'silent');
  const { refusal } = callerWith(t, { RESOLVERS: dns.address });
  assert.match(
    (await refusal(url, { timeoutMs: 50 })).message,
    /longer than 0\.05 s: its name was not found out/,
  );
});

test('silent name servers of one name hold back no other', async (t) => {
  const dns = await startNameServer(t, (name) => (name.startsWith('slow') ? 'silent' : undefined));
  const { refusal, caller } = callerWith(t, { RESOLVERS: dns.address });
  const slow = Array.from({ length: 50 }, (_, n) => refusal(`https://slow${n}.example.com/`));
  assert.equal((await refusal(url)).failure, 'lookup');
  await caller.close();
  for (const error of await Promise.all(slow)) assert.equal(error.failure, 'connect');
});

test('a name server that is away', async (t) => {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  const { refusal } = callerWith(t, { RESOLVERS: `127.0.0.1:${port}` });
  assert.equal((await refusal(url)).failure, 'lookup');
});

test('one address family that fails does not hide the other', async (t) => {
  const dns = await startNameServer(t, (_name, type) => (type === 'A' ? ['10.0.0.1'] : undefined));
  const { refusal } = callerWith(t, { RESOLVERS: dns.address });
  assert.equal((await refusal(url)).failure, 'refused');
});

test('more addresses than are looked at', async (t) => {
  const many = (count: number) => Array.from({ length: count }, (_, n) => `10.0.0.${n}`);
  for (const [count, failure] of [
    [32, 'refused'],
    [33, 'lookup'],
  ] as const) {
    const dns = await startNameServer(t, (_name, type) => (type === 'A' ? many(count) : manySix(32)));
    const { refusal } = callerWith(t, { RESOLVERS: dns.address });
    assert.equal((await refusal(url)).failure, failure, String(count));
  }
});

const manySix = (count: number) => Array.from({ length: count }, (_, n) => `fd12::${n}`);

test('a name that the operator allows is looked up as the system does it', async (t) => {
  const dns = await startNameServer(t, () => undefined);
  const receiver = await startReceiver(t, ok);
  const { post } = callerWith(t, { ALLOW: 'localhost', RESOLVERS: dns.address });
  assert.equal((await post(`http://localhost:${receiver.port}/`)).status, 200);
  assert.deepEqual(dns.questions, []);
});
