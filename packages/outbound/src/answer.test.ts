import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { until } from '@pushfleet/contract';
import { answer, callerWith, startReceiver } from './testing.ts';

/** A caller, and the address of a receiver that answers so. */
async function receiving(
  t: TestContext,
  serve: (socket: Socket, request: string) => void,
  variables: Readonly<Record<string, string>> = {},
) {
  const receiver = await startReceiver(t, serve);
  const under = callerWith(t, { ALLOW: '127.0.0.1', ...variables });
  return { ...under, receiver, url: `http://127.0.0.1:${receiver.port}/hook` };
}

const closed = (receiver: { sockets: ReadonlySet<Socket> }): Promise<void> =>
  until(() => receiver.sockets.size === 0, 'the connection to be closed');

describe('the body', () => {
  for (const [size, truncated] of [
    [0, false],
    [1_023, false],
    [1_024, false],
    [1_025, true],
    [200_000, true],
  ] as const) {
    test(`of ${size} bytes with a limit of 1,024`, async (t) => {
      const { post, url, receiver } = await receiving(
        t,
        (socket) => void socket.write(answer('x'.repeat(size))),
        {
          RESPONSE_BYTES: '1KiB',
        },
      );
      const got = await post(url);
      assert.equal(got.body.length, Math.min(size, 1_024));
      assert.equal(got.truncated, truncated);
      if (truncated) await closed(receiver);
      else assert.equal(receiver.sockets.size, 1);
    });
  }

  test('has a limit of its own where the call says so', async (t) => {
    const { post, url } = await receiving(t, (socket) => void socket.write(answer('x'.repeat(3_000))), {
      RESPONSE_BYTES: '1KiB',
    });
    const lengths = [];
    for (const answerBytes of [2_999, 3_000, 0]) {
      const { body, truncated } = await post(url, { answerBytes });
      lengths.push([body.length, truncated]);
    }
    assert.deepEqual(lengths, [
      [2_999, true],
      [3_000, false],
      [0, true],
    ]);
  });

  test('is not kept at all with a limit of nothing', async (t) => {
    const { post, url } = await receiving(t, (socket) => void socket.write(answer('x')), {
      RESPONSE_BYTES: '0',
    });
    const got = await post(url);
    assert.deepEqual([got.body.length, got.truncated], [0, true]);
  });

  test('in chunks without end is read to the limit', async (t) => {
    const { post, url, receiver } = await receiving(t, (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      const more = (): void => {
        while (!socket.destroyed && socket.write(`400\r\n${'x'.repeat(1_024)}\r\n`));
      };
      socket.on('drain', more);
      more();
    });
    const got = await post(url);
    assert.deepEqual([got.status, got.body.length, got.truncated], [200, 16_384, true]);
    await closed(receiver);
  });

  test('that ends with the connection', async (t) => {
    const { post, url } = await receiving(
      t,
      (socket) => void socket.end('HTTP/1.1 202 Taken\r\n\r\nso be it'),
    );
    const got = await post(url);
    assert.deepEqual([got.status, Buffer.from(got.body).toString(), got.truncated], [202, 'so be it', false]);
  });

  test('is not decompressed', async (t) => {
    const bomb = gzipSync(Buffer.alloc(5_000_000));
    const head = `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`;
    const { post, url } = await receiving(
      t,
      (socket) => void socket.write(Buffer.concat([Buffer.from(head), bomb])),
    );
    assert.deepEqual(Buffer.from((await post(url)).body), bomb);
  });

  test('may have trailers, which are passed over', async (t) => {
    const text =
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-a\r\n\r\n2\r\nok\r\n0\r\nx-a: b\r\n\r\n';
    const { post, url, receiver } = await receiving(t, (socket) => void socket.write(text));
    const got = await post(url);
    assert.equal(got.headers['x-a'], undefined);
    await post(url);
    assert.equal(receiver.connections, 1);
  });
});

describe('the headers', () => {
  test('have names in lower case, and the values of one name are joined', async (t) => {
    const headers = 'X-A: 1\r\nx-a: 2\r\nX-B:  b \r\n__proto__: c\r\n';
    const { post, url } = await receiving(t, (socket) => void socket.write(answer('', '200 OK', headers)));
    const got = await post(url);
    assert.equal(got.headers['x-a'], '1, 2');
    assert.equal(got.headers['x-b'], 'b');
    assert.equal(Object.getOwnPropertyDescriptor(got.headers, '__proto__')?.value, 'c');
  });

  for (const [size, fits] of [
    [1_900, true],
    [2_100, false],
    [1_000_000, false],
  ] as const) {
    test(`of ${size} bytes with a limit of 2,048`, async (t) => {
      const { post, refusal, url, receiver } = await receiving(
        t,
        (socket) => void socket.write(answer('', '200 OK', `x-a: ${'x'.repeat(size)}\r\n`)),
        { HEADER_BYTES: '2KiB' },
      );
      if (fits) {
        assert.equal((await post(url)).headers['x-a']?.length, size);
        return;
      }
      const error = await refusal(url);
      assert.equal(error.failure, 'protocol');
      assert.match(error.message, /headers of the answer of 127\.0\.0\.1 are too long/);
      await closed(receiver);
    });
  }

  test('in the trailers count too', async (t) => {
    const text = `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-a: ${'x'.repeat(100_000)}\r\n\r\n`;
    const { refusal, url } = await receiving(t, (socket) => void socket.write(text));
    assert.equal((await refusal(url)).failure, 'protocol');
  });
});

describe('informational answers', () => {
  const early = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n';

  test('go before the answer', async (t) => {
    const { post, url } = await receiving(t, (socket) => void socket.write(early.repeat(16) + answer('ok')));
    const got = await post(url);
    assert.deepEqual([got.status, got.headers.link], [200, undefined]);
  });

  test('without end are no answer', async (t) => {
    const { refusal, url, receiver } = await receiving(
      t,
      (socket) => void socket.write(early.repeat(17) + answer('ok')),
    );
    const error = await refusal(url);
    assert.equal(error.failure, 'protocol');
    assert.match(error.message, /informational answers without end/);
    await closed(receiver);
  });
});

describe('what is not HTTP', () => {
  const wrong: Readonly<Record<string, string>> = {
    'another protocol': 'SSH-2.0-OpenSSH_9.2\r\n',
    'two lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc',
    'a length and chunks':
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    'a length that is no number': 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n',
    'a chunk that is no number': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxx\r\n',
    'a status that is no number': 'HTTP/1.1 abc OK\r\n\r\n',
    'a switch of protocols that nobody asked for':
      'HTTP/1.1 101 Up\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
    'a continuation that nobody asked for': 'HTTP/1.1 100 Continue\r\n\r\n',
    'a null byte in a header': 'HTTP/1.1 200 OK\r\nx-a: \0\r\n\r\n',
  };
  for (const [name, text] of Object.entries(wrong)) {
    test(name, async (t) => {
      const { refusal, url, receiver } = await receiving(t, (socket) => void socket.write(text, 'latin1'));
      const error = await refusal(url);
      assert.equal(error.failure, 'protocol', error.message);
      await closed(receiver);
    });
  }

  test('an end before the answer, and in the middle of it', async (t) => {
    for (const text of ['', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc']) {
      const { refusal, url } = await receiving(t, (socket) => void socket.end(text));
      const error = await refusal(url);
      assert.equal(error.failure, 'protocol');
      assert.match(error.message, /closed the connection before its answer was complete|not legal/, text);
    }
  });

  test('a second answer is never taken for that of the next request', async (t) => {
    const served: Socket[] = [];
    const { post, url } = await receiving(t, (socket) => {
      served.push(socket);
      socket.write(answer(served.length === 1 ? 'first' : 'next') + answer('forged'));
    });
    assert.equal(Buffer.from((await post(url)).body).toString(), 'first');
    assert.equal(Buffer.from((await post(url)).body).toString(), 'next');
    assert.notEqual(served[0], served[1]);
  });
});

describe('the time', () => {
  /** Calls so that only the timeout can end it. */
  async function late(t: TestContext, serve: (socket: Socket) => void, words: RegExp) {
    const { refusal, url, receiver } = await receiving(t, serve);
    const error = await refusal(url, { timeoutMs: 100 });
    assert.equal(error.failure, 'timeout');
    assert.match(error.message, words);
    await closed(receiver);
  }

  test('covers an answer that never comes', (t) =>
    late(t, () => {}, /took longer than 0\.1 s: .*not answered/));

  test('covers headers that trickle', (t) =>
    late(
      t,
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const timer = setInterval(() => socket.write('x-a: b\r\n'), 10);
        socket.on('close', () => clearInterval(timer));
      },
      /not answered/,
    ));

  test('covers a body that trickles', (t) =>
    late(
      t,
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n');
        const timer = setInterval(() => socket.write('x'), 10);
        socket.on('close', () => clearInterval(timer));
      },
      /the answer did not end/,
    ));

  test('covers a request that is not read', async (t) => {
    const { refusal, url } = await receiving(t, (socket) => void socket.pause());
    const error = await refusal(url, { body: Buffer.alloc(20_000_000), timeoutMs: 200 });
    assert.equal(error.failure, 'timeout');
  });
});
