import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import fc from 'fast-check';
import {
  ackOf,
  dataText,
  type Message,
  ownExt,
  parseMessages,
  subscriptionsOf,
  timeoutOf,
  tokenOf,
} from './message.ts';
import { submissionOf } from './publish.ts';
import { errorText, no } from './reply.ts';

const refused =
  (code: string, detail?: object) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof PushfleetError);
    if (detail !== undefined) assert.deepEqual(error.detail, detail);
    return error.code === code;
  };

describe('a request', () => {
  test('is an array, one message, or several texts of either', () => {
    const one = '{"channel":"/a"}';
    assert.equal(parseMessages([`[${one},${one}]`], 9).length, 2);
    assert.equal(parseMessages([one], 9).length, 1);
    assert.equal(parseMessages([one, `[${one}]`, '[]'], 9).length, 2);
  });

  for (const text of ['', 'x', '{', '1', 'null', '[1]', '[null]', '{"channel":1}', '[[]]', '[{}]', '"a"']) {
    test(`is not ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseMessages([text], 9), refused('request_invalid'));
    });
  }

  test('has so many messages and no more', () => {
    const of = (count: number): string => JSON.stringify(Array(count).fill({ channel: '/a' }));
    assert.equal(parseMessages([of(2)], 3).length, 2);
    assert.equal(parseMessages([of(3)], 3).length, 3);
    assert.throws(() => parseMessages([of(4)], 3), refused('request_invalid', { limit: 3 }));
  });

  test('of any bytes is read or refused', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), (text) => {
        try {
          return parseMessages([text], 9).every(({ channel }) => typeof channel === 'string');
        } catch (error) {
          return refused('request_invalid')(error);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('of any fields gives fields of their types, or is refused', () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    const names = ['subscription', 'advice', 'ext', 'data', 'id', 'clientId'] as const;
    const record = fc.record(
      { channel: fc.constant('/a'), ...Object.fromEntries(names.map((name) => [name, value])) },
      { requiredKeys: ['channel'] },
    );
    fc.assert(
      fc.property(record, (fields) => {
        const message = fields as unknown as Message;
        for (const read of [timeoutOf, ackOf, tokenOf, ownExt, (of: Message) => subscriptionsOf(of, 5)]) {
          try {
            read(message);
          } catch (error) {
            assert.ok(refused('request_invalid')(error) || refused('too_many_filters')(error));
          }
        }
        const submission = submissionOf(message);
        return submission instanceof PushfleetError || submission.payload instanceof Uint8Array;
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('what is published', () => {
  const published = (text: string) => {
    const [message] = parseMessages([text], 1) as [Message];
    const submission = submissionOf(message);
    if (submission instanceof PushfleetError) throw submission;
    return { ...submission, payload: Buffer.from(submission.payload).toString() };
  };

  test('is JSON, digit by digit', () => {
    const data = '{"n":12345678901234567890.10,"s":"\\u00e9"}';
    const { payload, contentType } = published(`[{"channel":"/a","data": ${data} ,"id":"1"}]`);
    assert.equal(payload, data);
    assert.equal(contentType, 'application/json');
    assert.equal(published('{"data":[1, 2],"channel":"/a"}').payload, '[1,2]');
    assert.equal(published('{"channel":"/a","data":null}').payload, 'null');
  });

  test('is a text of another type, or bytes', () => {
    const ext = (contentType: string): string => `"ext":{"pushfleet":{"contentType":"${contentType}"}}`;
    assert.equal(published(`{"channel":"/a","data":"hi",${ext('text/plain')}}`).payload, 'hi');
    assert.equal(
      published(`{"channel":"/a","data":{"data_base64":"aGk="},${ext('image/png')}}`).payload,
      'hi',
    );
    for (const data of ['1', '{"data_base64":"?"}', 'null', '{}']) {
      assert.throws(
        () => published(`{"channel":"/a","data":${data},${ext('image/png')}}`),
        refused('request_invalid'),
      );
    }
  });

  test('has data, and an id of its own only where it says so', () => {
    assert.throws(() => published('{"channel":"/a"}'), refused('request_invalid'));
    assert.equal(published('{"channel":"/a","data":1,"id":"7"}').id, undefined);
    assert.equal(published('{"channel":"/a","data":1,"ext":{"pushfleet":{"id":"x"}}}').id, 'x');
  });

  test('keeps the text of each of several', () => {
    const messages = parseMessages(
      ['[{"channel":"/a","data":1234567890123456789},{"channel":"/b","data":2}]'],
      2,
    );
    assert.deepEqual(messages.map(dataText), ['1234567890123456789', '2']);
  });

  test('may be nested as deeply as it likes, and is refused where it cannot be written again', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const [message] = parseMessages([`{"channel":"/a","data":${deep}}`], 1);
    assert.throws(() => dataText(message as Message), refused('request_invalid'));
    assert.throws(() => parseMessages([`[${deep}]`], 1), refused('request_invalid'));
  });
});

describe('an error', () => {
  // Bayeux 1.0, "error": digits, arguments without ":" and ",", a message without either.
  const grammar = /^\d{3}:([\w!~()$@ /*.-]*(,[\w!~()$@ /*.-]*)*)?:[\w!~()$@ /*.-]*$/;

  test('is written as the specification has it, whatever it is about', () => {
    assert.equal(errorText(403, ['abc', '/foo/bar'], 'Denied'), '403:abc,/foo/bar:Denied');
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), fc.string({ unit: 'binary' }), (args, text) =>
        grammar.test(errorText(400, args, text)),
      ),
    );
  });

  test('says the code and what to do beside it', () => {
    const reply = no({ channel: '/a', id: 7 }, new PushfleetError('forbidden', 'No: "never".'), {
      args: ['/a'],
    });
    assert.deepEqual(reply, {
      ...{ channel: '/a', id: 7, successful: false, error: '403:/a:The token does not grant this' },
      ext: { pushfleet: { code: 'forbidden', detail: 'No: "never".' } },
    });
  });
});
