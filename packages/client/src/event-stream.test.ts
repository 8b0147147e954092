import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { EventStreamParser } from './event-stream.ts';

/** What a stream says, cut into these pieces. */
function read(pieces: readonly string[], mostChars?: number): (string | number)[][] {
  const said: (string | number)[][] = [];
  const parser = new EventStreamParser(
    {
      event: (type, data, id) => said.push(['event', type, data, id]),
      id: (id) => said.push(['id', id]),
      retry: (ms) => said.push(['retry', ms]),
    },
    mostChars,
  );
  for (const piece of pieces) parser.push(piece);
  return said;
}

describe('an event stream', () => {
  const streams: readonly (readonly [
    what: string,
    text: string,
    said: readonly (readonly (string | number)[])[],
  ])[] = [
    ['an event', 'data: a\n\n', [['event', 'message', 'a', '']]],
    ['lines of data', 'data: a\ndata:b\ndata\n\n', [['event', 'message', 'a\nb\n', '']]],
    [
      'a type, for one event alone',
      'event: t\ndata: a\n\ndata: b\n\n',
      [
        ['event', 't', 'a', ''],
        ['event', 'message', 'b', ''],
      ],
    ],
    [
      'an id, until another one',
      'id: 1\ndata: a\n\ndata: b\n\n',
      [
        ['event', 'message', 'a', '1'],
        ['event', 'message', 'b', '1'],
      ],
    ],
    ['an id alone', 'id: 7\n\n', [['id', '7']]],
    ['an id with NUL, which is none', 'id: 7\0\ndata: a\n\n', [['event', 'message', 'a', '']]],
    ['retry of digits', 'retry: 12\nretry: 1x\nretry\n\n', [['retry', 12]]],
    ['comments', ': pushfleet\n:\n\n', []],
    [
      'CRLF, CR and LF',
      'data: a\r\rdata: b\r\n\r\ndata: c\n\n',
      [
        ['event', 'message', 'a', ''],
        ['event', 'message', 'b', ''],
        ['event', 'message', 'c', ''],
      ],
    ],
    ['a byte order mark at the beginning', '\uFEFFdata: a\n\n', [['event', 'message', 'a', '']]],
    ['what is not ended', 'data: a\n', []],
    ['unknown fields', 'what: ever\ndata: a\n\n', [['event', 'message', 'a', '']]],
  ];
  for (const [what, text, said] of streams) {
    it(`has ${what}, however it is cut`, () => {
      assert.deepEqual(read([text]), said);
      assert.deepEqual(read([...text]), said);
    });
  }

  it('is what npm eventsource-parser makes of it', () => {
    const word = fc.constantFrom(
      'data',
      'id',
      'event',
      'retry',
      ':',
      ': ',
      ' ',
      '\n',
      '\r',
      '\r\n',
      '\n\n',
      '12',
      'é',
      '\uFEFF',
      '\0',
      'x',
    );
    const pieces = fc.array(
      fc.array(word, { maxLength: 12 }).map((words) => words.join('')),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(pieces, (cut) => {
        // Theirs forgets ids between events, and takes a type of no characters for a type.
        const theirs: [string, string][] = [];
        const retries: number[] = [];
        const parser = createParser({
          onEvent: ({ event, data }) =>
            theirs.push([event === undefined || event === '' ? 'message' : event, data]),
          onRetry: (ms) => retries.push(ms),
        });
        for (const piece of cut) parser.feed(piece);
        const ours = read(cut);
        assert.deepEqual(
          ours.filter(([kind]) => kind === 'event').map(([, type, data]) => [type, data]),
          theirs,
        );
        assert.deepEqual(
          ours.filter(([kind]) => kind === 'retry').map(([, ms]) => ms),
          retries,
        );
      }),
      { numRuns: 5_000 },
    );
  });

  it('has events of so many characters, and no longer ones', () => {
    const data = (length: number) => `data:${'x'.repeat(length)}\n\n`;
    for (const length of [9, 10]) assert.equal(read([data(length)], 11).length, 1);
    assert.throws(() => read([data(11)], 11), RangeError);
    assert.throws(() => read(['x'.repeat(12)], 11), RangeError);
    assert.throws(() => read(['data:xxxxx\ndata:xxxxxx\n'], 11), RangeError);
    assert.equal(read([data(10).repeat(10)], 11).length, 10, 'each has its own');
  });
});
