import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import { suite, test } from 'node:test';
import { type ServiceError, status } from '@grpc/grpc-js';
import { until } from '@pushfleet/contract';
import { defaultNamespace, parseTopic, type Stored, type TopicFilter } from '@pushfleet/core';
import { Budget } from '@pushfleet/intake';
import { log, token } from '../testing.ts';
import { authorized, startGrpc } from './testing.ts';

type Api = Awaited<ReturnType<typeof startGrpc>>;

// biome-ignore lint/suspicious/noExplicitAny: a client made at run time has no types
type Message = any;

const manager = { pushfleet: { publish: ['#'], subscribe: ['#'], manage: ['#'] } };

function call(api: Api, method: string, request: object, claims: object = manager): Promise<Message> {
  return new Promise((resolve, reject) => {
    api.client[method](request, authorized(claims), (error: ServiceError | null, response: Message) =>
      error === null ? resolve(response) : reject(error),
    );
  });
}

async function publish(
  api: Api,
  topic: string,
  ids: readonly string[],
  more: object = {},
): Promise<Stored[]> {
  const drafts = ids.map((id) => ({
    ...{ id, source: 's', topic: parseTopic(topic), contentType: 'text/plain', payload: Buffer.from(id) },
    ...more,
  }));
  return (await api.backbone.bus(defaultNamespace).publish(drafts)) as Stored[];
}

const idsOf = ({ publications }: Message): string[] =>
  publications.map(({ publication }: Message) => publication.id);

/** ReadHistory of "a" by a client that reads the headers of the answer and no more. */
function startReading(session: ClientHttp2Session) {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/pushfleet.publish.v1.PublishService/ReadHistory',
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${token(manager)}`,
  });
  stream.on('error', () => {});
  stream.end(Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0x61]));
  const answer = once(stream, 'response').then(([headers]) => headers as IncomingHttpHeaders);
  return { stream, answer };
}

/** What a call is refused with: its status, and the fleet's own word. */
async function refusal(answer: Promise<unknown>): Promise<readonly [number, string]> {
  const error = await answer.then(
    () => assert.fail('it was not refused'),
    (thrown: ServiceError) => thrown,
  );
  return [error.code, String(error.metadata.get('pushfleet-code')[0])];
}

/** Two instances that answer every question alike. */
const fleetOf = (answer: object) => ({
  ask: async <T>() => [
    { from: { instance: 'one', service: 'edge-sse', protocol: 'sse' }, answer: answer as T },
    { from: { instance: 'two', service: 'publish', protocol: 'grpc' }, answer: answer as T },
  ],
});

suite('ReadHistory', () => {
  for (const shards of [1, 3]) {
    test(`gives pages that go on in each other and in Subscribe (${shards} shards)`, async (t) => {
      const api = await startGrpc({ shards });
      t.after(() => api.stop());
      const topics = ['a', 'a/b', 'c', 'd', 'e//f'];
      for (const topic of topics) await publish(api, topic, [`${topic} 1`, `${topic} 2`]);
      const ids: string[] = [];
      let after = '';
      for (let more = true; more; ) {
        const page = await call(api, 'readHistory', { filters: ['#', 'a'], after, pageSize: 3 });
        ids.push(...idsOf(page));
        assert.equal(page.gap, null);
        ({ more, cursor: after } = page);
      }
      assert.deepEqual(ids.toSorted(), topics.flatMap((topic) => [`${topic} 1`, `${topic} 2`]).toSorted());
      await publish(api, 'c', ['live']);
      const live = api.client.subscribe({ filters: ['#'], after }, authorized(manager));
      const received: string[] = [];
      live.on('error', () => {});
      live.on('data', ({ delivery }: Message) => delivery && received.push(delivery.publication.id));
      await until(() => received.length > 0, 'what came after the pages');
      assert.deepEqual(received, ['live']);
      live.cancel();
    });
  }

  test('a publication is whole, and its cursor resumes behind it', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    await publish(api, 'a', ['1', '2'], { attributes: [['k', 'v']], type: 'made' });
    const page = await call(api, 'readHistory', { filters: ['a'], pageSize: 1 });
    const [{ publication, cursor }] = page.publications;
    assert.deepEqual(
      [publication.topic, publication.type, publication.payload.toString(), publication.attributes],
      ['a', 'made', '1', [{ name: 'k', value: 'v' }]],
    );
    assert.deepEqual([cursor, page.more], [page.cursor, true]);
    assert.deepEqual(idsOf(await call(api, 'readHistory', { filters: ['a'], after: cursor })), ['2']);
    const since = { seconds: Math.floor(Date.now() / 1_000) + 60, nanos: 0 };
    assert.deepEqual(idsOf(await call(api, 'readHistory', { filters: ['a'], since })), []);
    assert.deepEqual(idsOf(await call(api, 'readHistory', { filters: ['a'], since: { seconds: 0 } })), [
      '1',
      '2',
    ]);
  });

  test('pages on their way out have a limit, and make room when they were read or their reader left', async (t) => {
    const outgoing = new Budget(250_000);
    const api = await startGrpc({ outgoing });
    t.after(() => api.stop());
    await publish(api, 'a', ['1'], { payload: Buffer.alloc(100_000) });
    const session = connect(`http://127.0.0.1:${api.api.port}`, { settings: { initialWindowSize: 0 } });
    t.after(() => session.destroy());
    const calls = [1, 2, 3].map(() => startReading(session));
    const answers = await Promise.all(calls.map(({ answer }) => answer));
    const refusals = answers.filter((headers) => headers['grpc-status'] !== undefined);
    assert.deepEqual(
      refusals.map((headers) => [Number(headers['grpc-status']), headers['pushfleet-code']]),
      [[status.UNAVAILABLE, 'unavailable']],
    );
    const held = outgoing.held;
    assert.ok(held >= 200_000, 'what nobody reads is held');

    calls[answers.findIndex((headers) => headers['grpc-status'] === undefined)]?.stream.close();
    await until(() => outgoing.held === held / 2, 'a call that was cancelled to make room');
    session.destroy();
    await until(() => outgoing.held === 0, 'the connection that ended to make room');
    assert.deepEqual(idsOf(await call(api, 'readHistory', { filters: ['a'] })), ['1']);
    await until(() => outgoing.held === 0, 'the page that was read to make room');
  });

  const refused: readonly (readonly [request: object, code: number, word: string])[] = [
    [{}, status.INVALID_ARGUMENT, 'filter_invalid'],
    [{ filters: ['a#'] }, status.INVALID_ARGUMENT, 'filter_invalid'],
    [{ filters: ['a'], after: 'x' }, status.INVALID_ARGUMENT, 'cursor_invalid'],
    [{ filters: ['a'], pageSize: 1_001 }, status.INVALID_ARGUMENT, 'request_invalid'],
    [{ filters: ['a'], after: 'm1-1-1', since: { seconds: 1 } }, status.INVALID_ARGUMENT, 'request_invalid'],
    [{ filters: ['a'], since: { seconds: -1 } }, status.INVALID_ARGUMENT, 'request_invalid'],
    [{ filters: ['a'], since: { seconds: 9e15 } }, status.INVALID_ARGUMENT, 'request_invalid'],
    [{ filters: ['off'] }, status.FAILED_PRECONDITION, 'history_off'],
  ];
  for (const [request, code, word] of refused) {
    test(`${JSON.stringify(request)} is refused: ${word}`, async (t) => {
      const policies = { of: (_: string, topic: string) => ({ history: topic !== 'off', presence: false }) };
      const api = await startGrpc({ stored: { policies } });
      t.after(() => api.stop());
      assert.deepEqual(await refusal(call(api, 'readHistory', request)), [code, word]);
    });
  }

  test('needs a grant for each filter, and a free place among the reads', async (t) => {
    const api = await startGrpc({ stored: { readsPerSubject: 0 } });
    t.after(() => api.stop());
    const narrow = { pushfleet: { subscribe: ['a'] } };
    const denied = call(api, 'readHistory', { filters: ['#'] }, narrow);
    assert.deepEqual(await refusal(denied), [status.PERMISSION_DENIED, 'forbidden']);
    const crowded = call(api, 'readHistory', { filters: ['a'] }, narrow);
    assert.deepEqual(await refusal(crowded), [status.RESOURCE_EXHAUSTED, 'rate_limited']);
  });

  test('a caller that leaves ends the read, and nothing is logged', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const errors = t.mock.method(log, 'error', () => {});
    const bus = api.backbone.bus(defaultNamespace);
    const signals: AbortSignal[] = [];
    bus.replay = async function* (_filters, _from, _to, signal) {
      signals.push(signal);
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      yield* [];
    };
    const reading = api.client.readHistory({ filters: ['a'] }, authorized(), () => {});
    await until(() => signals.length === 1, 'the read');
    reading.cancel();
    await until(() => api.archive.reads.running === 0, 'the read to end');
    assert.equal(errors.mock.callCount(), 0);
  });
});

suite('Delete, GetTopic, Explain', () => {
  test('a topic is deleted, or one publication of it', async (t) => {
    const api = await startGrpc();
    t.after(() => api.stop());
    const [, second] = await publish(api, 'a', ['1', '2', '3']);
    assert.deepEqual(await call(api, 'delete', { topic: 'a', cursor: second?.cursor }), { deleted: 1 });
    const again = call(api, 'delete', { topic: 'a', cursor: second?.cursor });
    assert.deepEqual(await refusal(again), [status.NOT_FOUND, 'not_found']);
    assert.deepEqual(idsOf(await call(api, 'readHistory', { filters: ['#'] })), ['1', '3']);
    assert.deepEqual(await call(api, 'delete', { topic: 'a' }), { deleted: 2 });
    assert.deepEqual(idsOf(await call(api, 'readHistory', { filters: ['#'] })), []);
    for (const [request, code, word] of [
      [{ topic: '' }, status.INVALID_ARGUMENT, 'topic_invalid'],
      [{ topic: 'a/#' }, status.INVALID_ARGUMENT, 'topic_invalid'],
      [{ topic: 'a', cursor: 'x' }, status.INVALID_ARGUMENT, 'cursor_invalid'],
      [{ topic: '$x' }, status.PERMISSION_DENIED, 'forbidden'],
    ] as const) {
      assert.deepEqual(await refusal(call(api, 'delete', request)), [code, word]);
    }
    const denied = call(api, 'delete', { topic: 'a' }, { pushfleet: { subscribe: ['#'] } });
    assert.deepEqual(await refusal(denied), [status.PERMISSION_DENIED, 'forbidden']);
  });

  test('a topic is shown with its policy, feeds and retained publication', async (t) => {
    const filter = 'a/#' as TopicFilter;
    const policy = { filter, retentionMs: 1_500, maxBytes: 10, rate: 0.5, history: true, presence: false };
    const api = await startGrpc({ stored: { fleet: fleetOf({ feeds: 2 }), policies: { of: () => policy } } });
    t.after(() => api.stop());
    const [stored] = await publish(api, 'a', ['kept'], { retain: true });
    const view = await call(api, 'getTopic', { topic: 'a' }, { pushfleet: { subscribe: ['a'] } });
    assert.deepEqual(view.feeds, [
      { protocol: 'grpc', feeds: 2 },
      { protocol: 'sse', feeds: 2 },
    ]);
    assert.deepEqual(view.policy.retention, { seconds: 1, nanos: 500_000_000 });
    const { maxBytes, rate, history } = view.policy;
    assert.deepEqual([view.policy.filter, maxBytes, rate, history], ['a/#', 10, 0.5, true]);
    assert.deepEqual([view.retained.id, view.retained.cursor], ['kept', stored?.cursor]);
    assert.equal((await call(api, 'getTopic', { topic: 'b' })).retained, null);
    const denied = call(api, 'getTopic', { topic: 'b' }, { pushfleet: { subscribe: ['a'] } });
    assert.deepEqual(await refusal(denied), [status.PERMISSION_DENIED, 'forbidden']);
    assert.deepEqual(await refusal(call(api, 'getTopic', { topic: '' })), [
      status.INVALID_ARGUMENT,
      'topic_invalid',
    ]);
  });

  test('a publication is explained', async (t) => {
    const answer = { remembered: true, filters: [{ filter: 'a', feeds: 1 }] };
    const fleet = fleetOf({ ...answer, matched: 4, delivered: 3, pending: 1, dropped: 0 });
    const api = await startGrpc({ stored: { fleet } });
    t.after(() => api.stop());
    const [stored] = await publish(api, 'a', ['it'], { attributes: [['k', 'v']] });
    for (const request of [{ id: 'it' }, { id: 'it', filter: 'a', cursor: stored?.cursor }]) {
      const { publications, complete, scanned } = await call(api, 'explain', request);
      assert.deepEqual([complete, scanned, publications.length], [true, 1, 1]);
      const [{ publication, payloadBytes, cursor, shard, sequence, retained, receivers }] = publications;
      assert.deepEqual([publication.id, publication.payload.length, payloadBytes], ['it', 0, 2]);
      assert.deepEqual([cursor, shard, sequence, retained], [stored?.cursor, 0, 1, false]);
      assert.deepEqual(receivers[0], {
        kind: 'feeds',
        feeds: {
          ...{ instance: 'one', service: 'edge-sse', protocol: 'sse' },
          ...{ ...answer, matched: 4, delivered: 3, pending: 1, dropped: 0 },
        },
      });
      assert.equal(receivers.length, 2);
    }
    assert.deepEqual((await call(api, 'explain', { id: 'another' })).publications, []);
    assert.deepEqual(await refusal(call(api, 'explain', {})), [status.INVALID_ARGUMENT, 'request_invalid']);
    const denied = call(api, 'explain', { id: 'it' }, { pushfleet: { manage: ['a'] } });
    assert.deepEqual(await refusal(denied), [status.PERMISSION_DENIED, 'forbidden']);
  });
});
