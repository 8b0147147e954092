import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { until } from '@pushfleet/contract';
import { type ConnectOptions, connect } from './connect.ts';
import { PublishError } from './error.ts';
import type { Receipt } from './receipt.ts';
import {
  callError,
  type Handler,
  receiptOf,
  refusalOf,
  startTestService,
  type TestService,
} from './testing-service.ts';

const takeAll: Handler = (drafts) => drafts.map(receiptOf);

async function service(t: TestContext, handle: Handler = takeAll, options?: Record<string, number>) {
  const started = await startTestService(handle, options);
  t.after(() => started.stop());
  return started;
}

function publisher(t: TestContext, to: TestService | TestService[], o: Partial<ConnectOptions> = {}) {
  const url = Array.isArray(to) ? to.map((one) => one.url) : to.url;
  const made = connect({ url, token: 'a-token', ...o });
  t.after(() => made.close(0));
  return made;
}

async function listening(t: TestContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

const httpPort = (t: TestContext) => listening(t, createHttpServer());
const silentPort = (t: TestContext) => listening(t, createServer());

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await once(server.close(), 'close');
  return port;
}

/** What would end a process that does not listen for it. */
async function unhandledDuring(work: () => Promise<unknown>): Promise<unknown[]> {
  const surfaced: unknown[] = [];
  const listeners = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', (error) => surfaced.push(error));
  try {
    await work();
    return surfaced;
  } finally {
    process.removeAllListeners('unhandledRejection');
    for (const listener of listeners) process.on('unhandledRejection', listener);
  }
}

const rejection = (code: string) => (error: unknown) => error instanceof PublishError && error.code === code;

describe('publish', () => {
  it('resolves with the receipt, and sends what was given', async (t) => {
    const to = await service(t);
    const receipt = await publisher(t, to, { source: 'tests' }).publish(
      'orders/42',
      { total: 3 },
      { id: 'o-1', type: 'order.placed', retain: true, ttl: 1.5, attributes: { tenant: 'a' } },
    );
    assert.deepEqual(receipt, { id: 'o-1', topic: 'orders/42', cursor: 'behind-o-1', duplicate: false });
    const [draft] = to.batches.flat();
    assert.deepEqual(
      { ...draft, payload: draft?.payload.toString() },
      {
        ...{ id: 'o-1', source: 'tests', topic: 'orders/42', type: 'order.placed', retain: true },
        ...{ contentType: 'application/json', payload: '{"total":3}' },
        ...{ attributes: [{ name: 'tenant', value: 'a' }], ttl: { seconds: 1n, nanos: 500_000_000 } },
        traceparent: '',
      },
    );
  });

  it('knows text from bytes from JSON, and makes up ids that sort', async (t) => {
    const to = await service(t);
    const made = publisher(t, to);
    const receipts = await Promise.all([
      made.publish('a', 'text'),
      made.publish('b', new Uint8Array([1, 2])),
      made.publish('c', [1]),
      made.publish('d', '<a/>', { contentType: 'application/xml' }),
    ]);
    const types = new Map(to.batches.flat().map(({ topic, contentType }) => [topic, contentType]));
    assert.deepEqual(Object.fromEntries(types), {
      ...{ a: 'text/plain; charset=utf-8', b: 'application/octet-stream' },
      ...{ c: 'application/json', d: 'application/xml' },
    });
    const uuid7 = /^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;
    for (const { id } of receipts) assert.match(id, uuid7);
    assert.equal(new Set(receipts.map(({ id }) => id)).size, receipts.length);
  });

  it('sends again with the same id, in front of what follows on the topic', async (t) => {
    let calls = 0;
    const to = await service(t, (drafts) => {
      if (++calls === 1) throw callError(status.UNAVAILABLE, 'unavailable');
      if (calls === 2)
        return drafts.map((draft, i) => (i > 0 ? refusalOf('rate_limited', 10) : receiptOf(draft)));
      return drafts.map(receiptOf);
    });
    const made = publisher(t, to);
    const receipts = await Promise.all(['1', '2', '3'].map((id) => made.publish('t', id, { id })));
    assert.deepEqual(
      receipts.map(({ id }) => id),
      ['1', '2', '3'],
    );
    const sent = to.batches.map((batch) => batch.map(({ id }) => id).join());
    assert.deepEqual(sent, ['1', '1,2,3', '2,3']);
  });

  it('rejects what is refused for good, and only that', async (t) => {
    const to = await service(t, (drafts) =>
      drafts.map((draft) => (draft.topic === 'no' ? refusalOf('storage_full', 5) : receiptOf(draft))),
    );
    const made = publisher(t, to);
    const [refused, stored] = await Promise.allSettled([made.publish('no', 1), made.publish('yes', 1)]);
    assert.equal(stored.status, 'fulfilled');
    assert.equal(refused.status, 'rejected');
    const { code, message, retryAfter, mayBeStored } = (refused as PromiseRejectedResult)
      .reason as PublishError;
    assert.deepEqual(
      { code, message, retryAfter, mayBeStored },
      { code: 'storage_full', message: 'refused: storage_full', retryAfter: 0.005, mayBeStored: false },
    );
  });

  it('gives up after its patience, and says what the trouble was', async (t) => {
    const to = await service(t, () => {
      throw callError(status.UNAVAILABLE, 'unavailable');
    });
    const made = publisher(t, to, { limits: { patienceMs: 300 } });
    await assert.rejects(made.publish('t', 1), (error: PublishError) => {
      assert.equal(error.code, 'timeout');
      assert.equal(error.mayBeStored, true);
      assert.match(error.message, /0\.3 s.*may be stored.*failed: unavailable/);
      return true;
    });
  });

  it('ends a call without an answer and sends its drafts again', async (t) => {
    let calls = 0;
    const to = await service(t, (drafts) =>
      ++calls === 1 ? new Promise<never>(() => {}) : drafts.map(receiptOf),
    );
    const { id } = await publisher(t, to, { limits: { callMs: 200 } }).publish('t', 1);
    assert.deepEqual(
      to.batches.flat().map((draft) => draft.id),
      [id, id],
    );
  });

  it('stops waiting when its signal is aborted, before and after it was sent', async (t) => {
    const asked = Promise.withResolvers<void>();
    const to = await service(t, () => {
      asked.resolve();
      return new Promise<never>(() => {});
    });
    const made = publisher(t, to);
    const abort = new AbortController();
    const sent = made.publish('t', 1, { signal: abort.signal });
    const waiting = made.publish('t', 2, { signal: abort.signal });
    await asked.promise;
    abort.abort();
    const errors = (await Promise.allSettled([sent, waiting])).map(
      (one) => (one as PromiseRejectedResult).reason as PublishError,
    );
    assert.deepEqual(
      errors.map(({ code, mayBeStored }) => [code, mayBeStored]),
      [
        ['aborted', true],
        ['aborted', false],
      ],
    );
    await assert.rejects(made.publish('t', 3, { signal: abort.signal }), rejection('aborted'));
  });

  it('refuses a payload without a JSON form and a ttl that is none', async (t) => {
    const made = publisher(t, await service(t));
    const circle: { self?: object } = {};
    circle.self = circle;
    await assert.rejects(made.publish('t', circle), rejection('request_invalid'));
    await assert.rejects(made.publish('t', (() => {}) as never), rejection('request_invalid'));
    await assert.rejects(made.publish('t', 1, { ttl: 0 }), rejection('attribute_invalid'));
  });
});

describe('a call that fails and is tried again', () => {
  it('is told to onRetry, once for all of its publications', async (t) => {
    let calls = 0;
    const to = await service(t, (drafts) => {
      if (++calls === 1) throw callError(status.UNAVAILABLE, 'unavailable');
      if (calls === 2) return drafts.map((_, i) => refusalOf(i > 0 ? 'rate_limited' : 'forbidden'));
      return drafts.map(receiptOf);
    });
    const told: [string, number][] = [];
    const made = publisher(t, to, { onRetry: ({ code }, publications) => told.push([code, publications]) });
    await Promise.allSettled(['1', '2', '3'].map((id) => made.publish('t', id, { id })));
    assert.deepEqual(told, [
      ['unavailable', 1],
      ['rate_limited', 2],
    ]);
  });

  it('is tried again although onRetry throws, which surfaces', async (t) => {
    let calls = 0;
    const to = await service(t, (drafts) => {
      if (++calls === 1) throw callError(status.UNAVAILABLE, 'unavailable');
      return drafts.map(receiptOf);
    });
    const onRetry = () => {
      throw new Error('the log is full');
    };
    const surfaced = await unhandledDuring(() => publisher(t, to, { onRetry }).publish('t', 1));
    assert.deepEqual(surfaced, [new Error('the log is full')]);
  });

  for (const [where, listen] of [
    ['nothing listens', closedPort],
    ['HTTP is spoken', httpPort],
    ['nobody ever answers', silentPort],
  ] as const) {
    it(`stores nothing where ${where}, and the error says so`, async (t) => {
      const told: PublishError[] = [];
      const made = connect({
        url: `http://127.0.0.1:${await listen(t)}`,
        token: 'a-token',
        // The last attempt has ended when the patience does, or it would be in doubt.
        limits: { patienceMs: 2_000, callMs: 200 },
        onRetry: (error) => told.push(error),
      });
      t.after(() => made.close(0));
      const ended = made.publish('t', 1).catch((error: PublishError) => error);
      await until(() => told.length > 0, 'a call to fail');
      for (const { mayBeStored, message } of told) {
        assert.equal(mayBeStored, false);
        assert.match(message, /No connection to the fleet; see that the url/);
      }
      if (listen !== closedPort) return;
      const { code, mayBeStored, message } = (await ended) as PublishError;
      assert.deepEqual([code, mayBeStored], ['timeout', false]);
      assert.match(message, /Nothing was stored\. The last answer: No connection to the fleet/);
    });
  }

  it('may be stored where the connection broke under it', async (t) => {
    const to = await service(t, () => {
      to.stop();
      return new Promise<never>(() => {});
    });
    const told: PublishError[] = [];
    const made = publisher(t, to, { onRetry: (error) => told.push(error) });
    const ended = made.publish('t', 1).catch((error: PublishError) => error);
    await until(() => told.some((error) => !error.mayBeStored), 'an attempt without a connection');
    assert.equal(told[0]?.mayBeStored, true);
    await made.close(0);
    assert.equal(((await ended) as PublishError).mayBeStored, true);
  });
});

describe('what is not acknowledged', () => {
  it('is bounded in count and bytes; one that is larger than all of it still goes', async (t) => {
    const hold = Promise.withResolvers<void>();
    const to = await service(t, async (drafts) => {
      await hold.promise;
      return drafts.map(receiptOf);
    });
    const few = publisher(t, to, { limits: { pendingCount: 2 } });
    const two = [few.publish('a', 1), few.publish('b', 1)];
    await assert.rejects(few.publish('c', 1), rejection('outbox_full'));
    const small = publisher(t, to, { limits: { pendingBytes: 1_000 } });
    const large = small.publish('a', 'x'.repeat(5_000));
    await assert.rejects(small.publish('b', 1), rejection('outbox_full'));
    hold.resolve();
    await Promise.all([...two, large]);
    await few.publish('c', 1);
  });

  it('holds publishMany back, which answers in order', async (t) => {
    let most = 0;
    let drawn = 0;
    let answered = 0;
    const to = await service(t, (drafts) => {
      most = Math.max(most, drawn - answered);
      answered += drafts.length;
      return drafts.map((draft) => (draft.id === '7' ? refusalOf('forbidden') : receiptOf(draft)));
    });
    function* publications() {
      for (; drawn < 100; drawn++) yield { topic: `t/${drawn % 3}`, payload: drawn, id: String(drawn) };
    }
    const answers = await publisher(t, to, { limits: { pendingCount: 10 } }).publishMany(publications());
    assert.ok(most <= 11, `${most} were drawn and not answered; 10 may be, and one waits for room`);
    const told = answers.map((answer) => (answer instanceof PublishError ? answer.code : answer.id));
    const wanted = Array.from({ length: 100 }, (_, i) => (i === 7 ? 'forbidden' : String(i)));
    assert.deepEqual(told, wanted);
  });

  it('is added to by publishMany until its signal is aborted', async (t) => {
    const made = publisher(t, await service(t));
    const abort = new AbortController();
    function* endless() {
      for (let i = 0; ; i++) {
        if (i === 5) abort.abort();
        yield { topic: 't', payload: i };
      }
    }
    const answers = await made.publishMany(endless(), { signal: abort.signal });
    assert.equal(answers.length, 6);
    assert.equal((answers.at(-1) as PublishError).code, 'aborted');
  });

  it('lets publishMany go on once there is room, whether or not anybody had an answer then', async (t) => {
    const to = await service(t, (drafts) =>
      drafts.some(({ topic }) => topic === 'stuck') ? new Promise<never>(() => {}) : drafts.map(receiptOf),
    );
    const limits = { pendingCount: 1, patienceMs: 200, callMs: 600 };
    const made = publisher(t, to, { limits });
    const stuck = assert.rejects(made.publish('stuck', 1), rejection('timeout'));
    const [answer] = await made.publishMany([{ topic: 't', payload: 1, id: 'many' }]);
    assert.equal((answer as Receipt).id, 'many');
    await stuck;
  });

  for (const code of ['aborted', 'closed']) {
    it(`lets publishMany end that waits for room and is ${code}`, async (t) => {
      const to = await service(t, () => new Promise<never>(() => {}));
      const made = publisher(t, to, { limits: { pendingCount: 1 } });
      const stuck = assert.rejects(made.publish('stuck', 1), rejection('closed'));
      const abort = new AbortController();
      const many = made.publishMany([{ topic: 't', payload: 1 }], { signal: abort.signal });
      if (code === 'aborted') abort.abort();
      const closed = code === 'closed' ? made.close(300) : many.then(() => made.close(300));
      const first = await Promise.race([many, closed]);
      assert.equal((first[0] as PublishError).code, code);
      await Promise.all([closed, stuck]);
    });
  }

  it('is sent by close, which names what had no answer at its deadline', async (t) => {
    const to = await service(t, (drafts) =>
      drafts.some(({ topic }) => topic === 'stuck') ? new Promise<never>(() => {}) : drafts.map(receiptOf),
    );
    const made = publisher(t, to, { limits: { batchCount: 1 } });
    const fine = made.publish('fine', 1);
    const stuck = made.publish('stuck', 1, { id: 's-1' });
    const behind = made.publish('stuck', 1, { id: 's-2' });
    const closed = assert.rejects(stuck, rejection('closed'));
    const closedToo = assert.rejects(behind, rejection('closed'));
    assert.deepEqual(await made.close(300), [
      { id: 's-1', topic: 'stuck', mayBeStored: true },
      { id: 's-2', topic: 'stuck', mayBeStored: false },
    ]);
    await Promise.all([fine, closed, closedToo]);
    await assert.rejects(made.publish('t', 1), rejection('closed'));
    assert.deepEqual(await publisher(t, to).close(), []);
  });

  it('has its answer when flush resolves', async (t) => {
    const to = await service(t);
    const made = publisher(t, to, { limits: { lingerMs: 60_000 } });
    const settled: string[] = [];
    for (const topic of ['a', 'b', 'c']) void made.publish(topic, 1).then(() => settled.push(topic));
    await made.flush();
    await until(() => settled.length === 3, 'three receipts');
  });
});

describe('the token', () => {
  it('is asked for once, again before it expires, and after a refusal', async (t) => {
    const refused = new Set(['revoked']);
    const to = await service(t, (drafts, token) => {
      if (refused.has(token)) throw callError(status.UNAUTHENTICATED, 'token_revoked');
      return drafts.map(receiptOf);
    });
    const tokens = ['revoked', 'good', 'never asked for'];
    const made = publisher(t, to, { token: async () => tokens.shift() as string });
    await Promise.all([made.publish('a', 1), made.publish('b', 1)]);
    assert.deepEqual(tokens, ['never asked for']);
  });

  it('that is refused again, or is only one, rejects at once', async (t) => {
    const to = await service(t, () => {
      throw callError(status.UNAUTHENTICATED, 'unauthenticated');
    });
    await assert.rejects(publisher(t, to).publish('t', 1), rejection('unauthenticated'));
    let asked = 0;
    const token = async () => `t-${asked++}`;
    await assert.rejects(publisher(t, to, { token }).publish('t', 1), rejection('unauthenticated'));
    assert.equal(asked, 2);
  });

  it('that cannot be had is waited for', async (t) => {
    const to = await service(t);
    let asked = 0;
    const token = async () => {
      if (asked++ === 0) throw new Error('the issuer is away');
      return 'good';
    };
    await publisher(t, to, { token }).publish('t', 1);
    assert.equal(asked, 2);
  });
});

describe('several instances', () => {
  it('take turns, and those that live take over from one that dies', async (t) => {
    const all = [await service(t), await service(t), await service(t)];
    const made = publisher(t, all);
    const spread = async () => {
      for (let i = 0; i < 12; i++) await made.publish(`t/${i}`, i);
    };
    await until(async () => {
      await spread();
      return all.every(({ batches }) => batches.length > 0);
    }, 'every instance to be used');
    all[0]?.stop();
    await spread();
  });

  it('are found anew when a connection is old, and no call is lost by that', async (t) => {
    const to = await service(t);
    const made = publisher(t, to, { limits: { connectionAgeMs: 50 } });
    await until(async () => {
      await made.publish('t', 1);
      return to.peers.size >= 3;
    }, 'three connections one after the other');
  });

  it('may end a connection themselves: the next call goes over another', async (t) => {
    const to = await service(t, takeAll, { 'grpc.max_connection_age_ms': 100 });
    const made = publisher(t, to);
    await until(async () => {
      await made.publish('t', 1);
      return to.peers.size >= 3;
    }, 'three connections one after the other');
    assert.equal(
      to.batches.length,
      new Set(to.batches.flat().map(({ id }) => id)).size,
      'none was sent twice',
    );
  });
});

describe('connect', () => {
  it('refuses what makes no sense, and says why', () => {
    const refuse = (o: Partial<ConnectOptions>, why: RegExp) =>
      assert.throws(() => connect({ url: 'https://fleet.example', token: 't', ...o }), why);
    refuse({ url: [] }, /No url/);
    refuse({ url: 'fleet.example:443' }, /write https:\/\/host:port, .* or dns:\/\/\/host:port/);
    refuse({ url: 'https://user:secret@fleet.example' }, /more than a host and a port/);
    refuse({ url: 'dns:///fleet.example' }, /names no port/);
    refuse({ url: 'http://fleet.example', tls: true }, /contradict/);
    refuse({ url: 'https://fleet.example', tls: false }, /contradict/);
    refuse({ token: '' }, /token is empty; give one/);
    refuse({ token: undefined as never }, /token is empty/);
    refuse({ limits: { batchCount: 1_001 } }, /takes 1000 at the most/);
    refuse({ limits: { patienceMs: Number.NaN } }, /limits\.patienceMs/);
    refuse({ limits: { calls: 0 } }, /limits\.calls/);
  });
});
