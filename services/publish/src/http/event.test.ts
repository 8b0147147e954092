import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { limits } from '@pushfleet/core';
import { startHttp, token } from '../testing.ts';

const least = { specversion: '1.0', id: 'e-1', source: '/shop', type: 'order.paid' };
const headersOf = (attributes: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value]));
const json = 'application/cloudevents+json';
const batch = 'application/cloudevents-batch+json';

let api: Awaited<ReturnType<typeof startHttp>>;
before(async () => {
  api = await startHttp({ batchBytes: 2 * limits.payloadBytes });
});
after(() => api.stop());

const stored = () =>
  api.backbone.log.shards.flatMap((shard) => shard.entries.map((entry) => entry.publication));
const last = () => stored().at(-1);

let grants: object;
beforeEach(() => {
  grants = {};
});

async function post(path: string, headers: Record<string, string>, body: string | object = '') {
  const response = await fetch(`${api.url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token(grants)}`, ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests look into JSON of many shapes
  return { status: response.status, body: (await response.json()) as any };
}

const structured = (path: string, event: object, headers: Record<string, string> = {}) =>
  post(path, { 'content-type': json, ...headers }, { ...least, ...event });
const binary = (
  path: string,
  attributes: Record<string, string> = {},
  headers: Record<string, string> = {},
) => post(path, { ...headersOf({ ...least, ...attributes }), ...headers }, 'x');

describe('binary mode', () => {
  test('headers are the attributes, the body is the payload', async () => {
    const payload = Buffer.from([0, 0xff, 0x0d, 0x0a]);
    const { status, body } = await post(
      '/v1/topics/orders/1',
      {
        ...headersOf({
          ...least,
          id: 'b-1',
          subject: 'orders/1',
          time: '2018-04-05T17:31:00Z',
          buyer: 'J%C3%BCrgen',
        }),
        'content-type': 'application/x-thing; v=1',
        'pushfleet-retain': 'true',
        'pushfleet-ttl': '60',
        'idempotency-key': '"b-1"',
      },
      payload,
    );
    assert.equal(status, 201);
    assert.deepEqual([body.id, body.topic, body.duplicate], ['b-1', 'orders/1', false]);
    const { id, source, type, contentType, attributes, retain, expiresAt = 0, time = 0 } = last() ?? {};
    assert.deepEqual(
      { id, source, type, contentType, attributes, retain },
      {
        ...{ id: 'b-1', source: '/shop', type: 'order.paid', contentType: 'application/x-thing; v=1' },
        attributes: [
          ['time', '2018-04-05T17:31:00Z'],
          ['buyer', 'Jürgen'],
        ],
        retain: true,
      },
    );
    assert.deepEqual(Buffer.from(last()?.payload ?? []), payload);
    assert.ok(expiresAt > time && expiresAt <= time + 60_000);
  });

  for (const path of ['/v1/topics', '/v1/publish']) {
    test(`at ${path} the subject is the topic`, async () => {
      const { status, body } = await binary(path, { id: path, subject: 'a%20b/c' });
      assert.equal(status, 201);
      assert.equal(body.topic, 'a b/c');
    });
  }

  test('no Content-Type is bytes of any kind', async () => {
    await post('/v1/topics/untyped', headersOf({ ...least, id: 'untyped' }), new Uint8Array([1]));
    assert.equal(last()?.contentType, 'application/octet-stream');
  });
});

describe('structured mode', () => {
  test('an event in JSON, whose data stays as it is written', async () => {
    const text = `{"specversion":"1.0","id":"s-1","source":"/shop","type":"t","subject":"orders/2",
      "count":5,"pushfleetretain":true,"data":{"n" : 12345678901234567890.10}}`;
    const { status, body } = await post('/v1/publish', { 'content-type': `${json}; charset=UTF-8` }, text);
    assert.equal(status, 201);
    assert.equal(body.topic, 'orders/2');
    const { payload = [], contentType, attributes, retain } = last() ?? {};
    assert.equal(Buffer.from(payload).toString(), '{"n" : 12345678901234567890.10}');
    assert.deepEqual([contentType, attributes, retain], ['application/json', [['count', '5']], true]);
  });

  for (const [path, topic] of [
    ['/v1/topics/named', 'named'],
    ['/v1/topics?topic=a/../b', 'a/../b'],
  ] as const) {
    test(`${path} names the topic of an event without a subject`, async () => {
      const { status, body } = await structured(path, { id: path });
      assert.deepEqual([status, body.topic], [201, topic]);
    });
  }

  test('ce- headers beside it do not matter (HTTP binding 3.2.3)', async () => {
    const { status, body } = await structured(
      '/v1/topics/t',
      { id: 's-3' },
      headersOf({ id: 'other', x: 'y' }),
    );
    assert.deepEqual([status, body.id], [201, 's-3']);
  });

  test('headers may say what the event does not, or the same', async () => {
    const { status } = await structured(
      '/v1/topics/t',
      { id: 's-4', pushfleetretain: false },
      {
        'pushfleet-retain': 'false',
        'pushfleet-type': 'order.paid',
        'pushfleet-source': '/shop',
        'pushfleet-ttl': '9',
      },
    );
    assert.equal(status, 201);
    assert.notEqual(last()?.expiresAt, undefined);
  });

  test('a retry is known by id and source', async () => {
    const [first, again] = [
      await structured('/v1/topics/t', { id: 's-5' }),
      await structured('/v1/topics/t', { id: 's-5' }),
    ];
    assert.deepEqual(again.body, { ...first.body, duplicate: true });
  });

  test('the payload is measured, not the event around it', async () => {
    const base64 = (bytes: number) => Buffer.alloc(bytes, 'x').toString('base64');
    const event = { id: 's-6', datacontenttype: 'image/png' };
    const most = await structured('/v1/topics/t', { ...event, data_base64: base64(limits.payloadBytes) });
    assert.equal(most.status, 201);
    const more = await structured('/v1/topics/t', { ...event, data_base64: base64(limits.payloadBytes + 1) });
    assert.deepEqual([more.status, more.body.code], [413, 'payload_too_large']);
    const body = await structured('/v1/topics/t', { ...event, data: 'x'.repeat(2 * limits.payloadBytes) });
    assert.deepEqual([body.status, body.body.code], [413, 'payload_too_large']);
  });
});

describe('a batch', () => {
  const send = (events: unknown, headers: Record<string, string> = {}) =>
    post('/v1/publish', { 'content-type': batch, ...headers }, events as object);

  test('has one result for each event, in order', async () => {
    grants = { pushfleet: { publish: ['mine/#'] } };
    const { status, body } = await send([
      { ...least, id: '1', subject: 'mine/1', data: 1 },
      { ...least, id: '2' },
      { ...least, id: '3', subject: 'theirs' },
      { ...least, id: '4', subject: 'mine/4', source: null },
      { ...least, id: '5', subject: 'mine/5', pushfleetttl: 5 },
      7,
    ]);
    assert.equal(status, 200);
    assert.deepEqual(
      body.map((result: { status: number; code?: string; topic?: string }) => [
        result.status,
        result.code ?? result.topic,
      ]),
      [
        [201, 'mine/1'],
        [400, 'request_invalid'],
        [403, 'forbidden'],
        [400, 'attribute_invalid'],
        [201, 'mine/5'],
        [400, 'request_invalid'],
      ],
    );
    assert.match(body[3].detail, /no source/);
  });

  test('may be empty', async () => {
    assert.deepEqual(await send([]), { status: 200, body: [] });
  });

  test('has its limit', async () => {
    const events = Array.from({ length: limits.batchDrafts + 1 }, () => ({}));
    const { status, body } = await send(events);
    assert.deepEqual([status, body.code, body.limit], [400, 'request_invalid', limits.batchDrafts]);
  });

  for (const name of ['pushfleet-retain', 'idempotency-key']) {
    test(`refuses ${name} for all of it`, async () => {
      const { status, body } = await send([], { [name]: 'true' });
      assert.deepEqual([status, body.code], [400, 'request_invalid']);
      assert.match(body.detail, new RegExp(name));
    });
  }
});

describe('refusals', () => {
  const refused: readonly [string, () => ReturnType<typeof post>, number, string, RegExp][] = [
    [
      'another subject than the topic in the URL',
      () => structured('/v1/topics/a', { subject: 'b' }),
      ...([400, 'request_invalid', /subject is "b".*URL is "a"/] as const),
    ],
    [
      'the same in binary mode',
      () => binary('/v1/topics/a', { subject: 'b' }),
      400,
      'request_invalid',
      /subject/,
    ],
    ['no topic at all', () => structured('/v1/publish', {}), 400, 'request_invalid', /no subject/],
    ['no topic in binary mode', () => binary('/v1/topics'), 400, 'request_invalid', /no subject/],
    [
      'a subject that is no topic',
      () => structured('/v1/publish', { subject: 'a/#' }),
      400,
      'topic_invalid',
      /wildcard/,
    ],
    [
      'another version',
      () => binary('/v1/topics/a', { specversion: '0.3' }),
      400,
      'attribute_invalid',
      /specversion.*"0\.3"/,
    ],
    ['no id', () => structured('/v1/topics/a', { id: null }), 400, 'attribute_invalid', /no id/],
    [
      'ce- headers alone',
      () => post('/v1/topics/a', { 'ce-id': '1' }),
      400,
      'request_invalid',
      /ce-id.*ce-specversion/,
    ],
    [
      'a source that is too long',
      () => structured('/v1/topics/a', { source: 's'.repeat(257) }),
      400,
      'attribute_invalid',
      /257 bytes/,
    ],
    [
      'another format',
      () => post('/v1/topics/a', { 'content-type': 'application/cloudevents+avro' }),
      415,
      'unsupported_media_type',
      /cloudevents\+json.*avro/,
    ],
    [
      'another format beside ce- headers',
      () => binary('/v1/topics/a', {}, { 'content-type': 'application/cloudevents+protobuf' }),
      415,
      'unsupported_media_type',
      /protobuf/,
    ],
    [
      'another charset',
      () => post('/v1/topics/a', { 'content-type': `${json}; charset=utf-16` }),
      415,
      'unsupported_media_type',
      /UTF-8.*utf-16/,
    ],
    [
      'a batch for one topic',
      () => post('/v1/topics/a', { 'content-type': batch }, []),
      415,
      'unsupported_media_type',
      /\/v1\/publish/,
    ],
    [
      'another id',
      () => structured('/v1/topics/a', {}, { 'idempotency-key': 'k' }),
      400,
      'request_invalid',
      /id is "e-1".*Idempotency-Key is "k"/,
    ],
    [
      'another source',
      () => binary('/v1/topics/a', {}, { 'pushfleet-source': 's' }),
      400,
      'request_invalid',
      /Pushfleet-Source/,
    ],
    [
      'another type',
      () => binary('/v1/topics/a', {}, { 'pushfleet-type': 't' }),
      400,
      'request_invalid',
      /Pushfleet-Type/,
    ],
    [
      'another time to live',
      () => structured('/v1/topics/a', { pushfleetttl: 6 }, { 'pushfleet-ttl': '5' }),
      400,
      'request_invalid',
      /pushfleetttl is "6".*Pushfleet-Ttl is "5"/,
    ],
    [
      'other retaining',
      () => binary('/v1/topics/a', { pushfleetretain: 'true' }, { 'pushfleet-retain': 'false' }),
      400,
      'request_invalid',
      /Pushfleet-Retain/,
    ],
    [
      'attributes in both ways',
      () => binary('/v1/topics/a', {}, { 'pushfleet-attribute-x': 'y' }),
      400,
      'request_invalid',
      /Pushfleet-Attribute/,
    ],
    [
      'no time to live',
      () => structured('/v1/topics/a', { pushfleetttl: 0 }),
      400,
      'attribute_invalid',
      /more than 0/,
    ],
  ];
  for (const [name, send, status, code, says] of refused) {
    test(name, async () => {
      const before = stored().length;
      const answer = await send();
      assert.deepEqual([answer.status, answer.body.code], [status, code], answer.body.detail);
      assert.match(answer.body.detail, says);
      assert.equal(stored().length, before);
    });
  }

  test('a token that does not grant the subject', async () => {
    grants = { pushfleet: { publish: ['mine'] } };
    for (const answer of [
      await structured('/v1/publish', { subject: 'theirs' }),
      await binary('/v1/publish', { subject: 'theirs' }),
    ]) {
      assert.deepEqual([answer.status, answer.body.code], [403, 'forbidden']);
    }
  });
});

describe('OPTIONS', () => {
  for (const [path, allow, acceptPost] of [
    ['/v1/topics/a/b', /^GET, HEAD, POST,.*OPTIONS$/, 'application/cloudevents+json, */*'],
    [
      '/v1/publish',
      /^POST, OPTIONS$/,
      'application/json, application/cloudevents+json, application/cloudevents-batch+json',
    ],
    ['/.well-known/pushfleet', /^GET, HEAD, OPTIONS$/, null],
  ] as const) {
    test(`${path} tells what it takes`, async () => {
      const response = await fetch(`${api.url}${path}`, { method: 'OPTIONS' });
      assert.equal(response.status, 204);
      assert.match(response.headers.get('allow') ?? '', allow);
      assert.equal(response.headers.get('accept-post'), acceptPost);
    });
  }
});
