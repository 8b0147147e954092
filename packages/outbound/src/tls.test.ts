import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { TlsOptions } from 'node:tls';
import { Authority, withoutOpenssl } from '@pushfleet/contract';
import { callerWith, ok, startNameServer, startReceiver } from './testing.ts';

const name = 'hooks.example.com';

describe('TLS', { skip: withoutOpenssl }, () => {
  let trusted: Authority;
  let other: Authority;
  before(() => {
    trusted = new Authority();
    other = new Authority();
  });
  after(() => {
    trusted.close();
    other.close();
  });

  /** A receiver with this certificate, and a caller that trusts one authority. */
  async function receiving(
    t: TestContext,
    tls: TlsOptions,
    variables: Readonly<Record<string, string>> = {},
  ) {
    const receiver = await startReceiver(t, ok, { tls });
    const dns = await startNameServer(t, (_name, type) => (type === 'A' ? ['127.0.0.1'] : []));
    const under = callerWith(t, {
      ALLOW: '127.0.0.1',
      PORTS: String(receiver.port),
      RESOLVERS: dns.address,
      TLS_CA: trusted.cert,
      ...variables,
    });
    return { ...under, receiver, url: `https://${name}:${receiver.port}/` };
  }

  test('is verified against the public authorities and those of the operator', async (t) => {
    const { post, url, receiver } = await receiving(t, trusted.issue(`DNS:${name}`));
    assert.equal((await post(url)).status, 200);
    assert.match(receiver.received, new RegExp(`host: ${name}:`));
  });

  test('may have a name with a wildcard, or the address where the URL has it', async (t) => {
    const { post, url, receiver } = await receiving(t, trusted.issue('DNS:*.example.com,IP:127.0.0.1'));
    await post(url);
    await post(`https://127.0.0.1:${receiver.port}/`);
  });

  test('asks for the name in the URL', async (t) => {
    const asked: string[] = [];
    const certificate = trusted.issue(`DNS:${name}`);
    const { post, url } = await receiving(t, {
      ...certificate,
      SNICallback: (servername, done) => {
        asked.push(servername);
        done(null);
      },
    });
    await post(url);
    assert.deepEqual(asked, [name]);
  });

  const wrong: Readonly<Record<string, readonly [() => TlsOptions, RegExp]>> = {
    'for another name': [
      () => trusted.issue('DNS:other.example.com'),
      /certificate of hooks\.example\.com is for another name/,
    ],
    'for an address alone': [() => trusted.issue('IP:127.0.0.1'), /is for another name/],
    expired: [
      () => trusted.issue(`DNS:${name}`, { days: -1 }),
      /certificate of hooks\.example\.com has expired/,
    ],
    'of an authority that is not known': [() => other.issue(`DNS:${name}`), /authority that is not known/],
    'self-signed': [() => other.selfSigned(`DNS:${name}`), /is self-signed/],
    'beside a session of TLS 1.2': [
      () => ({ ...trusted.issue('DNS:other.example.com'), maxVersion: 'TLSv1.2' }),
      /is for another name/,
    ],
    'with TLS 1.1 alone': [
      () => ({
        ...trusted.issue(`DNS:${name}`),
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'ALL:@SECLEVEL=0',
      }),
      /TLS with hooks\.example\.com failed \(.*version/,
    ],
  };
  for (const [what, [tls, words]] of Object.entries(wrong)) {
    test(`is refused ${what}, at each attempt, and nothing was sent`, async (t) => {
      const { refusal, url, receiver } = await receiving(t, tls());
      for (let i = 0; i < 2; i++) {
        const error = await refusal(url);
        assert.equal(error.failure, 'tls', error.message);
        assert.match(error.message, words);
      }
      assert.equal(receiver.received, '');
    });
  }

  test('is refused without the authority', async (t) => {
    const { refusal, url } = await receiving(t, trusted.issue(`DNS:${name}`), { TLS_CA: '' });
    assert.match((await refusal(url)).message, /authority that is not known/);
  });

  test('is verified for allowed hosts as well', async (t) => {
    const { refusal, receiver } = await receiving(t, other.issue('IP:127.0.0.1'));
    assert.equal((await refusal(`https://127.0.0.1:${receiver.port}/`)).failure, 'tls');
  });

  test('is not spoken: a server in clear, and one that stays silent', async (t) => {
    const { refusal, receiver } = await receiving(t, trusted.issue(`DNS:${name}`));
    const clear = await startReceiver(t, (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const silent = await startReceiver(t, () => {});
    const under = callerWith(t, { ALLOW: '127.0.0.1', CONNECT_TIMEOUT: '100ms' });
    assert.equal((await refusal(`https://127.0.0.1:${receiver.port}/`)).failure, 'tls');
    const first = await under.refusal(`https://127.0.0.1:${clear.port}/`);
    assert.deepEqual([first.failure, /^TLS with 127\.0\.0\.1 failed/.test(first.message)], ['tls', true]);
    const second = await under.refusal(`https://127.0.0.1:${silent.port}/`);
    assert.equal(second.failure, 'timeout');
    assert.match(second.message, /longer than 0\.1 s: the TLS handshake did not end/);
  });

  describe('through a proxy', () => {
    /** A proxy that knows one CONNECT, and leads to the receiver whatever name was asked for. */
    async function proxying(t: TestContext, port: () => number, reply = 'HTTP/1.1 200 OK\r\n\r\n') {
      const heads: string[] = [];
      const sockets = new Set<Socket>();
      const server: Server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.once('data', (head) => {
          heads.push(head.toString());
          socket.write(reply);
          if (!reply.includes(' 200 ')) return;
          const far = connect(port(), '127.0.0.1');
          sockets.add(far);
          far.on('error', () => {});
          socket.pipe(far).pipe(socket);
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      t.after(() => {
        server.close();
        for (const socket of sockets) socket.destroy();
      });
      return { heads, port: (server.address() as { port: number }).port };
    }

    test('the name goes to the proxy, which looks it up; TLS is with the receiver', async (t) => {
      const receiver = await startReceiver(t, ok, { tls: trusted.issue(`DNS:${name}`) });
      const dns = await startNameServer(t, () => undefined);
      const proxy = await proxying(t, () => receiver.port);
      const { post } = callerWith(t, {
        PROXY: `http://fleet:p%40ss@127.0.0.1:${proxy.port}`,
        RESOLVERS: dns.address,
        TLS_CA: trusted.cert,
      });
      await post(`https://${name}/hook`);
      await post(`https://${name}/hook`);
      assert.equal(proxy.heads.length, 1);
      assert.match(proxy.heads[0] ?? '', /^CONNECT hooks\.example\.com:443 HTTP\/1\.1\r\n/);
      assert.match(
        proxy.heads[0] ?? '',
        new RegExp(`proxy-authorization: Basic ${Buffer.from('fleet:p@ss').toString('base64')}\r\n`),
      );
      assert.match(receiver.received, /^POST \/hook HTTP\/1\.1\r\nhost: hooks\.example\.com\r\n/);
      assert.ok(!receiver.received.includes('proxy-authorization'));
      assert.deepEqual(dns.questions, []);
    });

    test('a certificate for another name is refused', async (t) => {
      const receiver = await startReceiver(t, ok, { tls: trusted.issue('DNS:other.example.com') });
      const proxy = await proxying(t, () => receiver.port);
      const { refusal } = callerWith(t, { PROXY: `http://127.0.0.1:${proxy.port}`, TLS_CA: trusted.cert });
      const error = await refusal(`https://${name}/`);
      assert.equal(error.failure, 'tls');
      assert.equal(receiver.received, '');
    });

    test('literals, inner names and ports are refused before the proxy is asked', async (t) => {
      const proxy = await proxying(t, () => 1);
      const { refusal } = callerWith(t, { PROXY: `http://127.0.0.1:${proxy.port}` });
      for (const host of [
        '127.0.0.1',
        '0x7f.1',
        '[::1]',
        '169.254.169.254',
        'localhost',
        'a.internal',
        'a.example:22',
      ]) {
        assert.equal((await refusal(`https://${host}/`)).failure, 'refused', host);
      }
      assert.equal((await refusal('http://a.example/')).failure, 'refused');
      assert.deepEqual(proxy.heads, []);
    });

    for (const [what, reply] of [
      ['refuses', 'HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n'],
      ['wants credentials', 'HTTP/1.1 407 Auth\r\ncontent-length: 0\r\n\r\n'],
      ['is none', 'SSH-2.0-x\r\n\r\n'],
    ] as const) {
      test(`a proxy that ${what} is the failure of a connection`, async (t) => {
        const proxy = await proxying(t, () => 1, reply);
        const { refusal, lines } = callerWith(t, { PROXY: `http://fleet:hunter2@127.0.0.1:${proxy.port}` });
        const error = await refusal(`https://${name}/`);
        assert.equal(error.failure, 'connect');
        assert.match(error.message, /The proxy of the fleet made no connection to hooks\.example\.com/);
        assert.ok(!JSON.stringify([error.message, String(error.cause), lines]).includes('hunter2'));
      });
    }

    test('a proxy that is away or stays silent', async (t) => {
      const silent = await startReceiver(t, () => {});
      const { refusal } = callerWith(t, {
        PROXY: `http://127.0.0.1:${silent.port}`,
        CONNECT_TIMEOUT: '100ms',
      });
      const error = await refusal(`https://${name}/`);
      assert.equal(error.failure, 'timeout');
      await silent.close();
      assert.equal((await refusal(`https://${name}/`)).failure, 'connect');
    });
  });
});
