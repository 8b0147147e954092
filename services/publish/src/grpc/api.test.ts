import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Client, loadPackageDefinition, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { until } from '@pushfleet/contract';
import { limits, PushfleetError } from '@pushfleet/core';
import { protoPath } from 'grpc-health-check';
import { authorized, type DynamicClient, startGrpc } from './testing.ts';

type Api = Awaited<ReturnType<typeof startGrpc>>;

// biome-ignore lint/suspicious/noExplicitAny: a client made at run time has no types
type Message = any;

function unary(client: DynamicClient, method: string, request: object, metadata: Metadata): Promise<Message> {
  return new Promise((resolve, reject) => {
    client[method](request, metadata, (error: ServiceError | null, response: Message) =>
      error === null ? resolve(response) : reject(error),
    );
  });
}

const draft = (fields: object = {}) => ({ topic: 'a', payload: Buffer.from('x'), ...fields });

/** What a call is refused with. */
async function refusal(
  call: Promise<unknown>,
): Promise<{ code: string; word: unknown; details: string; retryMs: number }> {
  try {
    await call;
  } catch (thrown) {
    const { code, details, metadata } = thrown as ServiceError;
    const [word] = metadata.get('pushfleet-code');
    const [retry] = metadata.get('pushfleet-retry-after-ms');
    return { code: status[code], word, details, retryMs: Number(retry) };
  }
  assert.fail('the call was not refused');
}

const stored = (api: Api) =>
  api.backbone.log.shards.flatMap((shard) => shard.entries.map((entry) => entry.publication));

describe('Publish', () => {
  let api: Api;
  before(async () => {
    api = await startGrpc();
  });
  after(() => api.stop());

  test('stores a draft with all it has', async () => {
    const full = draft({
      id: 'one',
      source: '/shop',
      contentType: 'text/plain',
      type: 'order.made',
      attributes: [
        { name: 'x', value: '1' },
        { name: 'x', value: '2' },
      ],
      retain: true,
      ttl: { seconds: 60, nanos: 500_000_000 },
    });
    const before = Date.now();
    const { receipt } = await unary(api.client, 'publish', { draft: full }, authorized());
    assert.deepEqual(
      { ...receipt, cursor: typeof receipt.cursor },
      { id: 'one', topic: 'a', cursor: 'string', duplicate: false },
    );
    const publication = stored(api).at(-1);
    const arrived = (publication?.expiresAt ?? 0) - 60_500;
    assert.ok(arrived >= before && arrived <= (publication?.time ?? 0));
    assert.deepEqual(publication?.attributes, [
      ['x', '1'],
      ['x', '2'],
    ]);
    assert.deepEqual(
      [publication?.source, publication?.contentType, publication?.type, publication?.retain],
      ['/shop', 'text/plain', 'order.made', true],
    );
    const again = await unary(api.client, 'publish', { draft: full }, authorized());
    assert.equal(again.receipt.duplicate, true);
  });

  test('fills in what is left out', async () => {
    const { receipt } = await unary(api.client, 'publish', { draft: draft() }, authorized({ sub: 'me' }));
    assert.match(receipt.id, /^[0-9a-f-]{36}$/);
    const publication = stored(api).at(-1);
    assert.deepEqual([publication?.source, publication?.contentType], ['me', 'application/octet-stream']);
  });

  const bad = (text: string): Metadata => {
    const metadata = new Metadata();
    metadata.set('authorization', text);
    return metadata;
  };
  const refusals: readonly (readonly [
    what: string,
    draft: object | undefined,
    code: string,
    word: string,
    says: RegExp,
    metadata?: () => Metadata,
  ])[] = [
    ['no draft', undefined, 'INVALID_ARGUMENT', 'request_invalid', /no draft/],
    ['no topic', draft({ topic: '' }), 'INVALID_ARGUMENT', 'topic_invalid', /one character/],
    ['a wildcard', draft({ topic: 'a/#' }), 'INVALID_ARGUMENT', 'topic_invalid', /wildcard/],
    ['NUL', draft({ topic: 'a\0' }), 'INVALID_ARGUMENT', 'topic_invalid', /NUL/],
    ["the fleet's own topic", draft({ topic: '$sys' }), 'PERMISSION_DENIED', 'forbidden', /fleet's own/],
    ['a long id', draft({ id: 'x'.repeat(257) }), 'INVALID_ARGUMENT', 'id_invalid', /256/],
    ['a control character', draft({ source: 'a\n' }), 'INVALID_ARGUMENT', 'attribute_invalid', /control/],
    [
      'a large payload',
      draft({ payload: Buffer.alloc(limits.payloadBytes + 1) }),
      'RESOURCE_EXHAUSTED',
      'payload_too_large',
      /983040/,
    ],
    [
      'a time to live of nothing',
      draft({ ttl: { seconds: 0 } }),
      'INVALID_ARGUMENT',
      'attribute_invalid',
      /more than 0/,
    ],
    [
      'a time to live of the past',
      draft({ ttl: { seconds: -5 } }),
      'INVALID_ARGUMENT',
      'attribute_invalid',
      /-5 s/,
    ],
    [
      'a time to live beyond what a timestamp can say',
      draft({ ttl: { seconds: 8_900_000_000_000 } }),
      'INVALID_ARGUMENT',
      'attribute_invalid',
      /year 9999/,
    ],
    ['no token', draft(), 'UNAUTHENTICATED', 'unauthenticated', /Bearer/, () => new Metadata()],
    ['another scheme', draft(), 'UNAUTHENTICATED', 'unauthenticated', /./, () => bad('Basic YTpi')],
    ['a token that is none', draft(), 'UNAUTHENTICATED', 'unauthenticated', /./, () => bad('Bearer x')],
    [
      'an expired token',
      draft(),
      'UNAUTHENTICATED',
      'token_expired',
      /expired/,
      () => authorized({ exp: 1_000_000 }),
    ],
    [
      'a topic not granted',
      draft(),
      'PERMISSION_DENIED',
      'forbidden',
      /publish/,
      () => authorized({ pushfleet: { publish: ['b'] } }),
    ],
  ];
  for (const [what, message, code, word, says, metadata = authorized] of refusals) {
    test(`refuses ${what}`, async () => {
      const answer = await refusal(unary(api.client, 'publish', { draft: message }, metadata()));
      assert.deepEqual([answer.code, answer.word], [code, word]);
      assert.match(answer.details, says);
    });
  }

  test('a message over the limit is refused by its size', async () => {
    const large = draft({ payload: Buffer.alloc(5 * 1_048_576) });
    const { code } = await refusal(unary(api.client, 'publish', { draft: large }, authorized()));
    assert.equal(code, 'RESOURCE_EXHAUSTED');
  });

  test('the log away is UNAVAILABLE, a full one RESOURCE_EXHAUSTED, both say when to come back', async () => {
    for (const [word, code] of [
      ['unavailable', 'UNAVAILABLE'],
      ['storage_full', 'RESOURCE_EXHAUSTED'],
    ] as const) {
      api.backbone.log.refusal = new PushfleetError(word, 'refused', { retryAfterMs: 2_500 });
      const answer = await refusal(unary(api.client, 'publish', { draft: draft() }, authorized()));
      assert.deepEqual([answer.code, answer.word, answer.retryMs], [code, word, 2_500]);
    }
    api.backbone.log.refusal = undefined;
  });

  test('a subject over its rate is told when to come back', async (t) => {
    const slow = await startGrpc({ ratePerSecond: 0.001, rateBurst: 1 });
    t.after(() => slow.stop());
    await unary(slow.client, 'publish', { draft: draft() }, authorized());
    const answer = await refusal(unary(slow.client, 'publish', { draft: draft() }, authorized()));
    assert.deepEqual([answer.code, answer.word], ['RESOURCE_EXHAUSTED', 'rate_limited']);
    assert.ok(answer.retryMs > 0);
  });
});

describe('PublishBatch', () => {
  let api: Api;
  before(async () => {
    api = await startGrpc();
  });
  after(() => api.stop());

  test('answers each draft by itself, in order', async () => {
    const drafts = [draft({ id: '1' }), draft({ topic: '+' }), draft({ id: '3', topic: 'b' })];
    const { results } = await unary(api.client, 'publishBatch', { drafts }, authorized());
    assert.deepEqual(
      results.map((result: Message) => result.outcome),
      ['receipt', 'refusal', 'receipt'],
    );
    assert.equal(results[0].receipt.id, '1');
    const { code, status: number, retryAfter } = results[1].refusal;
    assert.deepEqual([code, number, retryAfter], ['topic_invalid', status.INVALID_ARGUMENT, null]);
  });

  test('refuses none and too many', async () => {
    for (const count of [0, 1_001]) {
      const drafts = Array.from({ length: count }, () => draft());
      const { code, details } = await refusal(unary(api.client, 'publishBatch', { drafts }, authorized()));
      assert.equal(code, 'INVALID_ARGUMENT');
      assert.match(details, new RegExp(`${count}`));
    }
  });
});

/** Everything a stream brought, and what it ended with. */
function collected(call: Message): {
  messages: Message[];
  ended: Promise<{ code: number; details: string; metadata: Metadata }>;
} {
  const messages: Message[] = [];
  call.on('data', (message: Message) => messages.push(message));
  call.on('error', () => {});
  const { promise: ended, resolve } = Promise.withResolvers<Awaited<ReturnType<typeof collected>['ended']>>();
  call.on('status', resolve);
  return { messages, ended };
}

describe('PublishStream', () => {
  test('answers every draft by its correlation; a refused one does not end it', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const call = api.client.publishStream(authorized());
    const { messages, ended } = collected(call);
    const count = 5_000;
    for (let i = 1; i <= count; i++) {
      const topic = i % 100 === 0 ? '+' : `t/${i % 7}`;
      if (!call.write({ correlation: i, draft: draft({ topic, id: String(i) }) })) await once(call, 'drain');
    }
    call.end();
    assert.equal((await ended).code, status.OK);
    assert.deepEqual(new Set(messages.map(({ correlation }) => correlation)).size, count);
    assert.equal(messages.filter(({ result }) => result.outcome === 'refusal').length, count / 100);
    for (const topic of ['t/0', 't/6']) {
      const ids = stored(api)
        .filter((publication) => publication.topic === topic)
        .map(({ id }) => Number(id));
      assert.deepEqual(
        ids,
        ids.toSorted((a, b) => a - b),
      );
    }
    assert.equal(api.budget.held, 0);
  });

  test('stores none behind one of its topic that is refused for now; another stream does', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const send = async (...drafts: readonly [topic: string, id: string][]) => {
      const call = api.client.publishStream(authorized());
      const { messages, ended } = collected(call);
      for (const [i, [topic, id]] of drafts.entries()) {
        // The log is full for the first alone.
        api.backbone.log.refusal = id === 'full' ? new PushfleetError('storage_full', 'No room.') : undefined;
        call.write({ correlation: i, draft: draft({ topic, id }) });
        await until(() => messages.length === i + 1, `answer ${i}`);
      }
      call.end();
      await ended;
      return messages.map(({ result }) => result.refusal?.code ?? 'stored');
    };
    assert.deepEqual(await send(['a', 'full'], ['a', '2'], ['b', '3'], ['a', '4']), [
      ...['storage_full', 'storage_full', 'stored', 'storage_full'],
    ]);
    assert.deepEqual(await send(['a', '1'], ['a', '2']), ['stored', 'stored']);
    assert.deepEqual(
      stored(api).map(({ id }) => id),
      ['3', '1', '2'],
    );
  });

  test('reads no further while too many are unanswered', async (t) => {
    const api = await startGrpc({ streamDrafts: 10 });
    t.after(() => api.stop());
    const bus = api.backbone.bus('default' as never);
    const publish = bus.publish.bind(bus);
    const waiting: (() => void)[] = [];
    let most = 0;
    bus.publish = async (drafts) => {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        most = Math.max(most, waiting.length);
      });
      return publish(drafts);
    };
    const call = api.client.publishStream(authorized());
    const { messages, ended } = collected(call);
    for (let i = 1; i <= 200; i++) call.write({ correlation: i, draft: draft({ id: String(i) }) });
    call.end();
    await until(() => waiting.length === 10, 'all that may wait');
    // Long enough for more to have come, had it been read.
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(waiting.length, 10);
    const answering = (async () => {
      while (messages.length < 200) {
        waiting.shift()?.();
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    assert.equal((await ended).code, status.OK);
    await answering;
    assert.equal(most, 10);
  });

  test('ends with UNAUTHENTICATED when its token does, after what was read is answered', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const call = api.client.publishStream(authorized({ exp: Math.floor(Date.now() / 1_000) + 1 }));
    const { messages, ended } = collected(call);
    call.write({ correlation: 1, draft: draft() });
    const { code, metadata } = await ended;
    assert.equal(code, status.UNAUTHENTICATED);
    assert.deepEqual(metadata.get('pushfleet-code'), ['token_expired']);
    assert.equal(messages.length, 1);
  });

  test('is refused without a token', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const { ended } = collected(api.client.publishStream(new Metadata()));
    assert.equal((await ended).code, status.UNAUTHENTICATED);
  });

  test('a publisher that leaves leaves nothing behind', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const call = api.client.publishStream(authorized());
    collected(call);
    call.write({ correlation: 1, draft: draft() });
    await until(() => api.streams.size === 1, 'the stream');
    call.cancel();
    await until(() => api.streams.size === 0 && api.budget.held === 0, 'its end');
  });
});

describe('drain', () => {
  test('answers what was read, ends streams with UNAVAILABLE and refuses new calls', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const call = api.client.publishStream(authorized());
    const { messages, ended } = collected(call);
    call.write({ correlation: 1, draft: draft() });
    await until(() => messages.length === 1, 'an answer');
    const drained = api.api.drain(new AbortController().signal);
    const { code, metadata } = await ended;
    assert.equal(code, status.UNAVAILABLE);
    assert.deepEqual(metadata.get('pushfleet-code'), ['draining']);
    await drained;
    const answer = await refusal(unary(api.client, 'publish', { draft: draft() }, authorized()));
    assert.equal(answer.code, 'UNAVAILABLE');
  });
});

test('a message above the limit is refused in the words of the gRPC library; its stream ends', async (t) => {
  const api = await startGrpc();
  t.after(() => api.stop());
  const large = draft({ payload: Buffer.alloc(4 * 1_048_576) });
  const { code, word, details } = await refusal(unary(api.client, 'publish', { draft: large }, authorized()));
  assert.deepEqual([code, word], ['RESOURCE_EXHAUSTED', undefined]);
  assert.match(details, /^Received message larger than max/);
  const call = api.client.publishStream(authorized());
  const { ended } = collected(call);
  call.write({ correlation: 1, draft: large });
  const end = await ended;
  assert.equal(end.code, status.RESOURCE_EXHAUSTED);
  assert.match(end.details, /^Received message larger than max/);
  assert.equal(api.budget.held, 0);
});

describe('beside the API', () => {
  test('health tells whether the log is in reach', async (t) => {
    let serving = true;
    const api = await startGrpc({ serving: () => serving });
    t.after(() => api.stop());
    // biome-ignore lint/suspicious/noExplicitAny: a client made at run time has no types
    const health = new (loadPackageDefinition(loadSync(protoPath)) as any).grpc.health.v1.Health(
      `127.0.0.1:${api.api.port}`,
      (await import('@grpc/grpc-js')).credentials.createInsecure(),
    );
    const call = health.watch({ service: 'pushfleet.publish.v1.PublishService' });
    const { messages } = collected(call);
    await until(() => messages.length === 1, 'an answer');
    serving = false;
    await until(() => messages.length === 2, 'another answer');
    assert.deepEqual(
      messages.map((message) => message.status),
      [1, 2],
    );
    call.cancel();
    health.close();
  });

  test('reflection names the services and tells what they are', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const client = new Client(
      `127.0.0.1:${api.api.port}`,
      (await import('@grpc/grpc-js')).credentials.createInsecure(),
    );
    const call = client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      (request: Buffer) => request,
      (response: Buffer) => response,
    );
    // list_services (field 7) = "*"
    call.write(Buffer.from([0x3a, 0x01, 0x2a]));
    const [answer] = (await once(call, 'data')) as [Buffer];
    for (const name of ['pushfleet.publish.v1.PublishService', 'grpc.health.v1.Health']) {
      assert.ok(answer.toString('latin1').includes(name), name);
      // file_containing_symbol (field 4)
      call.write(Buffer.from([0x22, name.length, ...Buffer.from(name)]));
      const [file] = (await once(call, 'data')) as [Buffer];
      assert.match(
        file.toString('latin1'),
        name.endsWith('Health') ? /HealthCheckRequest/ : /PublishRequest/,
      );
    }
    call.end();
    client.close();
  });
});
