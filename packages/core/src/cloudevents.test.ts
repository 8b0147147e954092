import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { binaryHeaders, encodeCloudEvent, fitsHeaders, needsStructuredMode } from './cloudevents.ts';
import { type Cursor, formatCursor } from './cursor.ts';
import type { Publication } from './publication.ts';
import { parseTopic } from './topic.ts';

const cursor: Cursor = formatCursor({ generation: 'g', time: 36, positions: [71] });

const publication = (o: Partial<Publication> = {}): Publication => ({
  id: 'o-1',
  source: 'shop',
  topic: parseTopic('orders/1'),
  contentType: 'text/plain',
  payload: Buffer.from('hello'),
  time: Date.UTC(2025, 0, 2, 3, 4, 5, 6),
  shard: 0,
  sequence: 71,
  ...o,
});

const encoded = (o: Partial<Publication> = {}): Record<string, unknown> =>
  JSON.parse(encodeCloudEvent(publication(o), cursor));

test('the envelope, to the letter', () => {
  assert.equal(
    encodeCloudEvent(publication({ attributes: [['traceparent', '00-ab-cd-01']] }), cursor),
    '{"specversion":"1.0","id":"o-1","source":"shop","type":"pushfleet.publication","subject":"orders/1",' +
      '"time":"2025-01-02T03:04:05.006Z","datacontenttype":"text/plain","traceparent":"00-ab-cd-01",' +
      '"pushfleetcursor":"g-10-1z","data":"hello"}',
  );
});

test('JSON payloads are the data itself, digit for digit', () => {
  const payload = Buffer.from('{"n":12345678901234567890.10}');
  const text = encodeCloudEvent(publication({ contentType: 'application/json', payload }), cursor);
  assert.ok(text.endsWith(',"data":{"n":12345678901234567890.10}}'));
});

const payloads: readonly [string, Buffer | string, string, unknown][] = [
  ['application/vnd.shop+json; charset=utf-8', '[1]', 'data', [1]],
  ['application/json', '{broken', 'data_base64', 'e2Jyb2tlbg=='],
  ['application/xml', '<a/>', 'data', '<a/>'],
  ['text/plain', Buffer.from([0xff]), 'data_base64', '/w=='],
  ['text/plain; charset=iso-8859-1', 'abc', 'data_base64', 'YWJj'],
  ['text/plain; charset="UTF-8"', 'abc', 'data', 'abc'],
  ['image/png', 'abc', 'data_base64', 'YWJj'],
  ['application/octet-stream', 'abc', 'data_base64', 'YWJj'],
  ['nonsense', 'abc', 'data_base64', 'YWJj'],
];
for (const [contentType, payload, member, value] of payloads) {
  test(`${contentType} with ${JSON.stringify(payload.toString())} travels as ${member}`, () => {
    const event = encoded({ contentType, payload: Buffer.from(payload as string) });
    assert.deepEqual(event[member], value);
    assert.equal('data' in event && 'data_base64' in event, false);
  });
}

test('an empty payload has no data', () => {
  for (const contentType of ['application/json', 'text/plain', 'image/png']) {
    const event = encoded({ contentType, payload: new Uint8Array() });
    assert.equal('data' in event || 'data_base64' in event, false);
  }
});

test('attributes that cannot be extensions keep their order in pushfleetattributes', () => {
  const event = encoded({
    type: 'order.paid',
    attributes: [
      ['X-Name', '1'],
      ['dataschema', 'https://example.org/s'],
      ['twice', 'a'],
      ['id', 'forged'],
      ['twice', 'b'],
      ['bell', '\u0007'],
      ['pushfleetcursor', 'forged'],
      ['__proto__', 'x'],
    ],
  });
  assert.equal(event.id, 'o-1');
  assert.equal(event.type, 'order.paid');
  assert.equal(event.pushfleetcursor, cursor);
  assert.equal(event.dataschema, 'https://example.org/s');
  assert.equal('twice' in event, false);
  assert.deepEqual(JSON.parse(event.pushfleetattributes as string), [
    ['X-Name', '1'],
    ['dataschema', 'https://example.org/s'],
    ['twice', 'a'],
    ['id', 'forged'],
    ['twice', 'b'],
    ['bell', '\u0007'],
    ['pushfleetcursor', 'forged'],
    ['__proto__', 'x'],
  ]);
});

test("a publisher's time is the event's, and the log's is told beside it", () => {
  const event = encoded({
    attributes: [
      ['10', 'b'],
      ['time', '2024-02-29T23:59:60.5+01:00'],
      ['1', 'a'],
    ],
  });
  assert.equal(event.time, '2024-02-29T23:59:60.5+01:00');
  assert.equal(event.pushfleettime, '2025-01-02T03:04:05.006Z');
  assert.equal('pushfleetattributes' in event, false);
});

for (const time of ['noon', '2023-02-29T00:00:00Z', '2024-01-01 00:00:00Z', '2024-01-01T24:00:00Z']) {
  test(`the time ${time} is none and stays an attribute`, () => {
    const event = encoded({ attributes: [['time', time]] });
    assert.equal(event.time, '2025-01-02T03:04:05.006Z');
    assert.equal(event.pushfleetattributes, JSON.stringify([['time', time]]));
  });
}

for (const [source, reference] of [
  ['shop', 'shop'],
  ['/a/b?c=d#e', '/a/b?c=d#e'],
  ['https://x.example:8443/a//b', 'https://x.example:8443/a//b'],
  ['urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66', 'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66'],
  ['1-555-123-4567', '1-555-123-4567'],
  ['//[::1]:80/a', '//[::1]:80/a'],
  ['auth0|12', 'auth0%7C12'],
  ['1:a/b c', '1%3Aa/b%20c'],
  ['50%', '50%25'],
  ['größe', 'gr%C3%B6%C3%9Fe'],
  ['a#b#c', 'a%23b%23c'],
] as const) {
  test(`the source ${source} is the URI-reference ${reference}`, () => {
    const event = encoded({ source });
    assert.equal(event.source, reference);
    assert.equal(event.pushfleetsource, source === reference ? undefined : source);
  });
}

test('the fleet own extensions cannot be imitated', () => {
  const event = encoded({
    attributes: [
      ['pushfleettime', 'x'],
      ['pushfleetretain', 'true'],
    ],
  });
  assert.equal('pushfleettime' in event || 'pushfleetretain' in event, false);
});

describe('binary mode', () => {
  const headers = (o: Partial<Publication> = {}) => binaryHeaders(publication(o), cursor);

  test('the headers, to the letter', () => {
    assert.deepEqual(headers({ topic: parseTopic('Euro € 😀/"50%"'), attributes: [['traceparent', '']] }), {
      'ce-specversion': '1.0',
      'ce-id': 'o-1',
      'ce-source': 'shop',
      'ce-type': 'pushfleet.publication',
      'ce-subject': 'Euro%20%E2%82%AC%20%F0%9F%98%80/%2250%25%22',
      'ce-time': '2025-01-02T03:04:05.006Z',
      'content-type': 'text/plain',
      'ce-traceparent': '',
      'ce-pushfleetcursor': 'g-10-1z',
    });
  });

  test('any publication is headers that HTTP can carry', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (name, text) => {
        const topic = parseTopic(`t${text.replace(/[+#\0]/g, '')}`);
        for (const value of Object.values(
          headers({ topic, attributes: [[name, text]], source: `s${text}` }),
        )) {
          assert.match(value, /^[\x21-\x7e]*$/);
        }
      }),
    );
  });

  test('fits up to 8 KiB, names and line ends included', () => {
    const of = (length: number) => ({ 'ce-x': 'x'.repeat(length - 'ce-x: \r\n'.length) });
    assert.equal(fitsHeaders(of(8_191)), true);
    assert.equal(fitsHeaders(of(8_192)), true);
    assert.equal(fitsHeaders(of(8_193)), false);
    assert.equal(fitsHeaders({ ...of(8_000), ...headers() }), false);
  });

  test('is not for payloads that are CloudEvents themselves', () => {
    for (const contentType of ['application/cloudevents+json', 'Application/CloudEvents-batch+json; x=1']) {
      assert.equal(needsStructuredMode({ contentType }), true);
    }
    assert.equal(needsStructuredMode({ contentType: 'application/json' }), false);
  });
});

const bytesOf = (event: Record<string, unknown>): Uint8Array =>
  typeof event.data_base64 === 'string'
    ? new Uint8Array(Buffer.from(event.data_base64, 'base64'))
    : new Uint8Array(Buffer.from(String(event.data ?? '')));

test('any bytes come back, as text or as binary', () => {
  fc.assert(
    fc.property(fc.constantFrom('text/plain', 'image/png'), fc.uint8Array(), (contentType, payload) => {
      assert.deepEqual(bytesOf(encoded({ contentType, payload })), payload);
    }),
  );
});

test('any text and any JSON come back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      fc.pre(text.isWellFormed());
      assert.equal(encoded({ payload: Buffer.from(text) }).data ?? '', text);
    }),
  );
  fc.assert(
    fc.property(fc.json(), (json) => {
      const event = encoded({ contentType: 'application/json', payload: Buffer.from(json) });
      assert.deepEqual(event.data, JSON.parse(json));
    }),
  );
});
