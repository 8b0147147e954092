import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import { Authority, withoutOpenssl } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import { CallError } from './call.ts';
import { checkPeer } from './connector.ts';
import { Refusal } from './target.ts';
import { answer, callerWith, ok, startNameServer, startReceiver } from './testing.ts';

const name = 'hooks.example.com';

/** Listens where nothing may ever connect to: on inner addresses, all on one port. */
class Sentinel {
  readonly #servers: Server[] = [];
  readonly addresses: string[] = [];
  port = 0;
  connections = 0;

  async start(): Promise<void> {
    for (const address of ['127.0.0.1', '::1', '127.0.0.2']) {
      const server = createServer((socket) => {
        this.connections++;
        socket.on('error', () => {}).end(answer('inner secret'));
      });
      server.listen(this.port, address);
      // Not every machine has IPv6, or the whole of 127.0.0.0/8.
      if (
        !(await once(server, 'listening').then(
          () => true,
          () => false,
        ))
      )
        continue;
      this.port = (server.address() as { port: number }).port;
      this.#servers.push(server);
      this.addresses.push(address);
    }
  }

  close(): void {
    for (const server of this.#servers) server.close();
  }
}

const sentinel = new Sentinel();
before(() => sentinel.start());
after(() => sentinel.close());

/** A caller that would call the sentinel's port, if it were not for the address. */
const guarded = (t: TestContext, more: Readonly<Record<string, string>> = {}) =>
  callerWith(t, { PORTS: String(sentinel.port), ...more });

async function untouched(what: () => Promise<void>): Promise<void> {
  const seen = sentinel.connections;
  await what();
  assert.equal(sentinel.connections, seen, 'the sentinel was connected to');
}

test('the sentinel is reached where the operator allows it', async (t) => {
  const seen = sentinel.connections;
  const { post } = callerWith(t, { ALLOW: '127.0.0.1' });
  const { body } = await post(`http://127.0.0.1:${sentinel.port}/`);
  assert.equal(Buffer.from(body).toString(), 'inner secret');
  assert.equal(sentinel.connections, seen + 1);
});

describe('literals', () => {
  const hosts = [
    '127.0.0.1',
    '127.1',
    '0x7f.1',
    '2130706433',
    '017700000001',
    '１２７.０.０.１',
    '127.0.0.1.',
    '%31%32%37.0.0.1',
    '0.0.0.0',
    '0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::127.0.0.1]',
    '[64:ff9b::127.0.0.1]',
    'localhost',
    'localhost.',
    'a.localhost',
    'public@127.0.0.1',
  ];
  for (const host of hosts) {
    test(host, async (t) => {
      const { refusal, caller } = guarded(t);
      await untouched(async () => {
        const error = await refusal(`https://${host}:${sentinel.port}/`);
        assert.ok(error instanceof CallError);
        assert.equal(error.failure, 'refused');
        assert.match(error.message, /\w{3,}.*\.$/);
        assert.throws(
          () => caller.check(`https://${host}:${sentinel.port}/`),
          (refused: PushfleetError) =>
            refused instanceof PushfleetError &&
            refused.code === 'target_refused' &&
            refused.detail?.rule !== undefined,
        );
      });
    });
  }

  test('in clear', async (t) => {
    const { refusal } = guarded(t);
    await untouched(async () => {
      assert.equal((await refusal(`http://127.0.0.1:${sentinel.port}/`)).failure, 'refused');
    });
  });
});

describe('names', () => {
  /** What is refused when the name resolves so, and what the owner and the log are told. */
  async function refusedFor(t: TestContext, a: readonly string[], aaaa: readonly string[], words: RegExp) {
    const dns = await startNameServer(t, (_name, type) => (type === 'A' ? a : aaaa));
    const { refusal, lines } = guarded(t, { RESOLVERS: dns.address });
    await untouched(async () => {
      const error = await refusal(`https://${name}:${sentinel.port}/`);
      assert.equal(error.failure, 'refused');
      assert.match(error.message, words);
      for (const address of [...a, ...aaaa]) {
        assert.ok(!error.message.includes(address), 'the owner of the address is told no address');
      }
    });
    const line = lines.find(({ msg }) => msg === 'refused to connect');
    assert.ok([...a, ...aaaa].includes(line?.address as string), 'the log tells the address');
  }

  const inner: readonly (readonly [string, RegExp])[] = [
    ['127.0.0.1', /resolves to a loopback address/],
    ['127.0.0.2', /loopback/],
    ['0.0.0.0', /unspecified/],
    ['10.0.0.5', /resolves to a private address/],
    ['172.16.0.1', /private/],
    ['192.168.1.1', /private/],
    ['100.64.0.1', /carrier/],
    ['169.254.0.1', /link-local/],
    ['169.254.169.254', /metadata/],
    ['168.63.129.16', /metadata/],
    ['198.18.0.1', /benchmark/],
    ['224.0.0.1', /multicast/],
    ['255.255.255.255', /broadcast/],
  ];
  for (const [address, words] of inner) {
    test(`that resolve to ${address}`, (t) => refusedFor(t, [address], [], words));
  }
  const inner6: readonly (readonly [string, RegExp])[] = [
    ['::1', /loopback/],
    ['::', /unspecified/],
    ['fd12::7', /private/],
    ['fe80::1', /link-local/],
    ['fd00:ec2::254', /metadata/],
    ['::ffff:127.0.0.1', /loopback/],
    ['64:ff9b::7f00:1', /loopback/],
    ['2002:7f00:1::', /loopback/],
    ['64:ff9b::808:808', /carries an IPv4 one/],
    ['ff02::1', /multicast/],
  ];
  for (const [address, words] of inner6) {
    test(`that resolve to ${address}`, (t) => refusedFor(t, [], [address], words));
  }

  test('with a public address and an inner one', async (t) => {
    await refusedFor(t, ['192.0.43.8', '127.0.0.1'], [], /loopback/);
    await refusedFor(t, ['192.0.43.8'], ['::1'], /loopback/);
  });

  test('that look like addresses', async (t) => {
    const dns = await startNameServer(t, () => ['127.0.0.1']);
    const { refusal } = guarded(t, { RESOLVERS: dns.address });
    await untouched(async () => {
      for (const host of ['127.0.0.1.example.com', '0x7f000001.example.com', 'localhost.example.com']) {
        assert.equal((await refusal(`https://${host}:${sentinel.port}/`)).failure, 'refused', host);
      }
    });
  });

  test('that stand in the hosts file of the machine are not looked up there', async (t) => {
    const dns = await startNameServer(t, () => undefined);
    const { refusal } = guarded(t, { RESOLVERS: dns.address });
    await untouched(async () => {
      const error = await refusal(`https://ip6-localhost.example.com:${sentinel.port}/`);
      assert.equal(error.failure, 'lookup');
      assert.match(error.message, /does not exist/);
    });
  });
});

// Receivers and sentinels on one port need more than one loopback address.
const oneLoopback = process.platform === 'linux' ? false : 'only Linux has the whole of 127.0.0.0/8';

describe('a name that changes', { skip: withoutOpenssl || oneLoopback }, () => {
  let authority: Authority;
  before(() => {
    authority = new Authority();
  });
  after(() => authority.close());

  /** A receiver on the sentinel's port at an address that is allowed, as if it were public. */
  async function rebinding(t: TestContext, answers: (n: number) => readonly string[], serve = ok) {
    const dns = await startNameServer(t, (_name, type, n) => (type === 'A' ? answers(n) : []));
    const receiver = await startReceiver(t, serve, {
      host: '127.0.0.3',
      tls: authority.issue(`DNS:${name}`),
    });
    const other = await startReceiver(t, ok, { host: '127.0.0.4', port: receiver.port });
    const caller = callerWith(t, {
      ALLOW: '127.0.0.3',
      PORTS: String(receiver.port),
      RESOLVERS: dns.address,
      TLS_CA: authority.cert,
    });
    return { ...caller, dns, receiver, other, url: `https://${name}:${receiver.port}/` };
  }

  test('is looked up once for a connection, and connected to what was looked up', async (t) => {
    const { post, dns, other, url } = await rebinding(t, (n) => (n === 1 ? ['127.0.0.3'] : ['127.0.0.4']));
    assert.equal((await post(url)).status, 200);
    assert.deepEqual(dns.questions.toSorted(), [`A ${name}`, `AAAA ${name}`]);
    assert.equal(other.connections, 0);
  });

  test('keeps to its connection, and the next one is judged anew', async (t) => {
    const { post, refusal, dns, receiver, other, url } = await rebinding(t, (n) =>
      n === 1 ? ['127.0.0.3'] : ['127.0.0.4'],
    );
    await post(url);
    await post(url);
    assert.equal(receiver.connections, 1);
    assert.equal(dns.questions.length, 2);
    for (const socket of receiver.sockets) socket.destroy();
    // Whether undici has seen the end of it by now or sees it as it sends: it connects again, and that is judged.
    const errors = [await refusal(url), await refusal(url)];
    assert.equal(errors.at(-1)?.failure, 'refused');
    assert.match(errors.at(-1)?.message ?? '', /loopback/);
    assert.equal(other.connections, 0);
  });

  test('between a connection that the receiver ends and the next', async (t) => {
    const once = (socket: Parameters<typeof ok>[0]): void =>
      void socket.end(answer('bye', '200 OK', 'connection: close\r\n'));
    const { post, refusal, other, url } = await rebinding(
      t,
      (n) => (n === 1 ? ['127.0.0.3'] : ['127.0.0.3', '127.0.0.4']),
      once,
    );
    await post(url);
    assert.match((await refusal(url)).message, /loopback/);
    assert.equal(other.connections, 0);
  });

  test('after it was checked', async (t) => {
    const { caller, refusal, other, url } = await rebinding(t, () => ['127.0.0.4']);
    caller.check(url);
    assert.equal((await refusal(url)).failure, 'refused');
    assert.equal(other.connections, 0);
  });

  test('does not share the connection of another name', async (t) => {
    const { post, refusal, receiver, url } = await rebinding(t, () => ['127.0.0.3']);
    await post(url);
    const error = await refusal(url.replace(name, 'other.example.com'));
    assert.equal(error.failure, 'tls');
    assert.match(error.message, /certificate of other\.example\.com is for another name/);
    assert.equal(receiver.received.match(/POST/g)?.length, 1);
  });

  test('answers with a redirect to an inner address, and that is the answer', async (t) => {
    const to = `Location: http://127.0.0.1:${sentinel.port}/\r\n`;
    for (const status of ['301 Moved', '302 Found', '303 See Other', '307 Temporary', '308 Permanent']) {
      const serve = (socket: Parameters<typeof ok>[0]): void => void socket.write(answer('', status, to));
      const { post, url } = await rebinding(t, () => ['127.0.0.3'], serve);
      await untouched(async () => {
        const { status: got, headers } = await post(url);
        assert.equal(got, Number(status.slice(0, 3)));
        assert.equal(headers.location, `http://127.0.0.1:${sentinel.port}/`);
      });
    }
  });
});

test('a socket that ended elsewhere than at a judged address is not used', () => {
  checkPeer({ remoteAddress: '192.0.43.8' }, ['192.0.43.7', '192.0.43.8']);
  checkPeer({ remoteAddress: '2606:4700::1' }, ['2606:4700:0:0::1']);
  for (const remoteAddress of ['127.0.0.1', '::1', '::ffff:192.0.43.8']) {
    assert.throws(() => checkPeer({ remoteAddress }, ['192.0.43.8']), Refusal);
  }
  assert.throws(() => checkPeer({ remoteAddress: undefined }, ['192.0.43.8']), CallError);
});

test('no header of a subscription says where a request goes or how long it is', async (t) => {
  const receiver = await startReceiver(t, ok);
  const { refusal, post } = callerWith(t, { ALLOW: '127.0.0.1' });
  const url = `http://127.0.0.1:${receiver.port}/`;
  for (const header of [
    'host',
    'Host',
    'connection',
    'content-length',
    'transfer-encoding',
    'upgrade',
    'proxy-authorization',
  ]) {
    const error = await refusal(url, { headers: { [header]: 'inner.example' } });
    assert.equal(error.failure, 'refused');
    assert.match(error.message, new RegExp(`"${header}"`));
  }
  for (const headers of [{ 'x-a': 'b\r\nhost: c' }, { 'x a': 'b' }, { 'x-a\r\nhost': 'b' }]) {
    assert.equal((await refusal(url, { headers })).failure, 'refused');
  }
  assert.equal(receiver.received, '');
  await post(url, { headers: { 'x-a': 'b' } });
  assert.match(receiver.received, new RegExp(`^POST / HTTP/1.1\r\nhost: 127.0.0.1:${receiver.port}\r\n`));
});
