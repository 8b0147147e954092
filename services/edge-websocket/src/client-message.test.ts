import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { type Publish, readBinary, readText, Unreadable } from './client-message.ts';
import { binaryMessage } from './testing-client.ts';

const text = (message: object | string) =>
  readText(Buffer.from(typeof message === 'string' ? message : JSON.stringify(message)));

suite('what cannot be read says why, under the id that it has', () => {
  const rows: readonly [object | string, unknown, RegExp][] = [
    ['', undefined, /one JSON object/],
    ['[]', undefined, /one JSON object/],
    ['null', undefined, /one JSON object/],
    [{ id: 1 }, 1, /"type" is no text/],
    [{ type: 'Subscribe', id: 'a' }, 'a', /"type" is "Subscribe"/],
    [{ type: 'ping', id: '' }, undefined, /"id" is/],
    [{ type: 'ping', id: 'x'.repeat(65) }, undefined, /"id" is/],
    [{ type: 'ping', id: 1.5 }, undefined, /"id" is/],
    [{ type: 'ping', id: {} }, undefined, /"id" is/],
    [{ type: 'auth' }, undefined, /no "token"/],
    [{ type: 'auth', token: 5 }, undefined, /"token" is a text/],
    [{ type: 'subscribe', filters: ['a'] }, undefined, /no "id"/],
    [{ type: 'subscribe', id: 1 }, 1, /"filters" is a list/],
    [{ type: 'subscribe', id: 1, filters: [] }, 1, /"filters" is a list/],
    [{ type: 'subscribe', id: 1, filters: 'a' }, 1, /"filters" is a list/],
    [{ type: 'subscribe', id: 1, filters: [1] }, 1, /"filters" is a list/],
    [{ type: 'subscribe', id: 1, filters: ['a'], after: 'x' }, 1, /cursor/],
    [{ type: 'subscribe', id: 1, filters: ['a'], retained: 'yes' }, 1, /"retained" is true or false/],
    [{ type: 'unsubscribe', id: 1 }, 1, /"filters" is a list/],
    [{ type: 'publish', id: 1 }, 1, /no "topic"/],
    [{ type: 'publish', id: 1, topic: 'a', data: 1, text: 'b' }, 1, /not two of them/],
    [{ type: 'publish', id: 1, topic: 'a', text: 5 }, 1, /"text" is a text/],
    ['{"type":"publish","id":1,"topic":"a","text":"\\ud800"}', 1, /valid Unicode/],
    [{ type: 'publish', id: 1, topic: 'a', ttl: '5' }, 1, /"ttl" is a number/],
    [{ type: 'publish', id: 1, topic: 'a', attributes: 5 }, 1, /"attributes" is/],
    [{ type: 'publish', id: 1, topic: 'a', attributes: { a: 1 } }, 1, /"attributes" is/],
    [{ type: 'publish', id: 1, topic: 'a', attributes: [['a']] }, 1, /"attributes" is/],
    [{ type: 'publish', id: 1, topic: 'a', retain: 1 }, 1, /"retain" is true or false/],
    [{ type: 'presence', id: 1, topic: 'a' }, 1, /"action" is one of/],
    [{ type: 'presence', id: 1, action: 'enter' }, 1, /no "topic"/],
    [{ type: 'presence', id: 1, action: 'enter', topic: 'a', status: 'bored' }, 1, /"status" is one of/],
  ];
  for (const [message, id, reason] of rows) {
    test(typeof message === 'string' ? message : JSON.stringify(message), () => {
      const read = text(message);
      assert.ok(read instanceof Unreadable);
      assert.equal(read.id, id);
      assert.match(read.error.message, reason);
    });
  }

  test('bytes that are no header and payload', () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from([0, 0, 0]),
      Buffer.from([0, 0, 0, 1]),
      Buffer.from([0, 0, 0, 1, 255]),
    ]) {
      assert.ok(readBinary(bytes) instanceof Unreadable);
    }
    assert.ok(
      readBinary(binaryMessage({ type: 'subscribe', id: 1, filters: ['a'] }, Buffer.alloc(0))) instanceof
        Unreadable,
    );
    assert.ok(
      readBinary(binaryMessage({ type: 'publish', id: 1, topic: 'a', data: 1 }, Buffer.alloc(1))) instanceof
        Unreadable,
    );
  });
});

suite('a publish has one payload', () => {
  const submission = (message: object | string) => (text(message) as Publish).submission;
  const given = (message: object | string) => {
    const { contentType, payload } = submission(message);
    return [contentType, Buffer.from(payload).toString()];
  };

  test('JSON as it is written', () => {
    assert.deepEqual(given('{"type":"publish","id":1,"topic":"t","data": {"n": 12345678901234567890} }'), [
      'application/json',
      '{"n": 12345678901234567890}',
    ]);
    assert.deepEqual(given('{"type":"publish","id":1,"topic":"t","data":null}'), [
      'application/json',
      'null',
    ]);
    assert.deepEqual(given('{"data":1,"type":"publish","id":1,"topic":"t","data":2}'), [
      'application/json',
      '2',
    ]);
  });

  test('text, bytes, none, and another content type', () => {
    const publish = { type: 'publish', id: 1, topic: 't' };
    assert.deepEqual(given({ ...publish, text: 'ä' }), ['text/plain; charset=utf-8', 'ä']);
    assert.deepEqual(given({ ...publish, text: '<a/>', contentType: 'text/xml' }), ['text/xml', '<a/>']);
    assert.deepEqual(given(publish), ['application/octet-stream', '']);
    const binary = readBinary(
      binaryMessage({ ...publish, contentType: 'image/png' }, Buffer.from([1, 2])),
    ) as Publish;
    assert.deepEqual([binary.submission.contentType, [...binary.submission.payload]], ['image/png', [1, 2]]);
  });

  test('everything else', () => {
    const read = submission({
      ...{
        type: 'publish',
        id: 'x',
        topic: 't',
        text: '',
        publication: 'p',
        event: 'e',
        retain: true,
        ttl: 1.5,
      },
      attributes: { a: 'b' },
    });
    assert.deepEqual(
      [read.id, read.type, read.retain, read.ttlMs, read.attributes],
      ['p', 'e', true, 1_500, [['a', 'b']]],
    );
    const pairs = submission({
      type: 'publish',
      id: 1,
      topic: 't',
      attributes: [
        ['a', '1'],
        ['a', '2'],
      ],
    });
    assert.deepEqual(pairs.attributes, [
      ['a', '1'],
      ['a', '2'],
    ]);
  });
});

test('whatever comes is read or unreadable, and throws nothing', () => {
  const near = fc.record(
    {
      type: fc.constantFrom('auth', 'subscribe', 'unsubscribe', 'publish', 'presence', 'ping', 'x'),
      ...{ id: fc.jsonValue(), filters: fc.jsonValue(), topic: fc.jsonValue(), data: fc.jsonValue() },
      ...{ text: fc.jsonValue(), attributes: fc.jsonValue(), after: fc.jsonValue(), action: fc.jsonValue() },
      ...{ ttl: fc.jsonValue(), token: fc.jsonValue(), state: fc.jsonValue() },
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(near, fc.jsonValue()), (value) => void readText(Buffer.from(JSON.stringify(value)))),
  );
  fc.assert(
    fc.property(
      fc.uint8Array(),
      (bytes) => void [readText(Buffer.from(bytes)), readBinary(Buffer.from(bytes))],
    ),
  );
  fc.assert(
    fc.property(near, fc.uint8Array(), (value, bytes) => void readBinary(binaryMessage(value, bytes))),
  );
});
