import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeCloudEvent } from './cloudevents.ts';
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
    ['twice', 'a'],
    ['id', 'forged'],
    ['twice', 'b'],
    ['bell', '\u0007'],
    ['pushfleetcursor', 'forged'],
    ['__proto__', 'x'],
  ]);
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
