import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cursor, Publication, Topic } from '@pushfleet/core';
import { eventText, gapText } from './event.ts';

const publication = (o: Partial<Publication>): Publication => ({
  ...{ id: '7', source: 'ann', topic: 'a/b' as Topic, contentType: 'application/json' },
  ...{ payload: Buffer.from('1'), time: 0, shard: 0, sequence: 1 },
  ...o,
});
const text = (o: Partial<Publication>, retained = false): string | undefined =>
  eventText({ publication: publication(o), cursor: 'g-0-1' as Cursor, retained });

test('an event has its data digit by digit, and the place behind it', () => {
  assert.equal(
    text({ payload: Buffer.from('{"n":12345678901234567890}') }),
    '{"channel":"/a/b","data":{"n":12345678901234567890},"id":"7","ext":{"pushfleet":{"cursor":"g-0-1","id":"7","source":"ann","time":"1970-01-01T00:00:00.000Z"}}}',
  );
});

test('an event says its type, its content type, its attributes, and that it was retained', () => {
  const own = { contentType: 'text/plain', type: 't', attributes: [['k', 'v']] as const };
  const { data, ext } = JSON.parse(text(own, true) as string);
  assert.equal(data, '1');
  assert.deepEqual(ext.pushfleet, {
    ...{ cursor: 'g-0-1', id: '7', source: 'ann', time: '1970-01-01T00:00:00.000Z' },
    ...{ ...own, attributes: [['k', 'v']], retained: true },
  });
});

test('no event has a channel of the protocol', () => {
  assert.equal(text({ topic: 'meta/handshake' as Topic }), undefined);
});

test('a gap is told with both its ends', () => {
  assert.equal(
    gapText('g-0-1' as Cursor, 'g-0-5' as Cursor),
    '{"channel":"/service/gap","data":{"from":"g-0-1","to":"g-0-5"}}',
  );
});
