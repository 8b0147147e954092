import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cursor, formatCursor, type Publication, parseTopic } from '@pushfleet/core';
import { frame, lastFrame } from '@pushfleet/edge';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import fc from 'fast-check';
import { closing, gap, greeting, heartbeat, opened, place, publicationEvent } from './codec.ts';

const cursor: Cursor = formatCursor({ generation: 'g', time: 36, positions: [71] });
const later: Cursor = formatCursor({ generation: 'g', time: 37, positions: [72] });

const publication = (o: Partial<Publication> = {}): Publication => ({
  id: '1',
  source: 'shop',
  topic: parseTopic('orders/1'),
  contentType: 'text/plain',
  payload: Buffer.from('hello'),
  time: 36,
  shard: 0,
  sequence: 71,
  ...o,
});

const text = (data: string, o: Partial<Publication> = {}): string =>
  publicationEvent('payload', publication({ payload: Buffer.from(data), ...o }), cursor);

/** What an EventSource makes of a stream. */
function parse(stream: string): { events: EventSourceMessage[]; ids: string[]; retries: number[] } {
  const seen = { events: [] as EventSourceMessage[], ids: [] as string[], retries: [] as number[] };
  const parser = createParser({
    onEvent: (event) => seen.events.push(event),
    onId: (id) => seen.ids.push(id),
    onRetry: (retry) => seen.retries.push(retry),
  });
  parser.feed(stream);
  return seen;
}

const literal: readonly [string, string, string][] = [
  ['a text', text('hello'), 'id: g-10-1z\ndata: hello\n\n'],
  ['a type', text('hello', { type: 'order.paid' }), 'id: g-10-1z\nevent: order.paid\ndata: hello\n\n'],
  ['the default type', text('x', { type: 'pushfleet.publication' }), 'id: g-10-1z\ndata: x\n\n'],
  ['no payload', text(''), 'id: g-10-1z\ndata: \n\n'],
  ['LF', text('a\nb'), 'id: g-10-1z\ndata: a\ndata: b\n\n'],
  ['CR', text('a\rb'), 'id: g-10-1z\ndata: a\ndata: b\n\n'],
  ['CRLF', text('a\r\nb'), 'id: g-10-1z\ndata: a\ndata: b\n\n'],
  ['LF CR', text('a\n\rb'), 'id: g-10-1z\ndata: a\ndata: \ndata: b\n\n'],
  ['a last line break', text('a\n'), 'id: g-10-1z\ndata: a\ndata: \n\n'],
  ['a leading space', text(' a'), 'id: g-10-1z\ndata:  a\n\n'],
  [
    'a forged field',
    text('a\nid: 7\n\nevent: x'),
    'id: g-10-1z\ndata: a\ndata: id: 7\ndata: \ndata: event: x\n\n',
  ],
  ['NUL in a payload', text('a\0'), 'id: g-10-1z\ndata: a\0\n\n'],
  ['bytes', text('hi', { contentType: 'image/png' }), 'id: g-10-1z\ndata: data:image/png;base64,aGk=\n\n'],
  [
    'text that is no UTF-8',
    text('', { payload: Buffer.from([0xff]) }),
    'id: g-10-1z\ndata: data:text/plain;base64,/w==\n\n',
  ],
  [
    'text that looks like a data URL',
    text('data:x,y'),
    'id: g-10-1z\ndata: data:text/plain;base64,ZGF0YTp4LHk=\n\n',
  ],
  [
    'an illegal content type',
    text('hi', { contentType: 'image/png,x;y' }),
    'id: g-10-1z\ndata: data:application/octet-stream;base64,aGk=\n\n',
  ],
  [
    'an envelope',
    publicationEvent(
      'cloudevents',
      publication({ type: 'order.paid', contentType: 'application/json', payload: Buffer.from('{\r\n}') }),
      cursor,
    ),
    'id: g-10-1z\ndata: {"specversion":"1.0","id":"1","source":"shop","type":"order.paid","subject":"orders/1",' +
      '"time":"1970-01-01T00:00:00.036Z","datacontenttype":"application/json","pushfleetcursor":"g-10-1z","data":{\n' +
      'data: }}\n\n',
  ],
  [
    'the envelope of what is retained',
    publicationEvent('cloudevents', publication({ payload: Buffer.alloc(0) }), cursor, true),
    'id: g-10-1z\ndata: {"pushfleetretained":true,"specversion":"1.0","id":"1","source":"shop",' +
      '"type":"pushfleet.publication","subject":"orders/1","time":"1970-01-01T00:00:00.036Z",' +
      '"datacontenttype":"text/plain","pushfleetcursor":"g-10-1z"}\n\n',
  ],
  ['a greeting', greeting(2_000), ': pushfleet\nretry: 2000\n\n'],
  ['a heartbeat', heartbeat, ':\n\n'],
  ['a place', place(cursor), 'id: g-10-1z\n\n'],
  ['opened', opened(cursor), 'id: g-10-1z\nevent: pushfleet.open\ndata: {"cursor":"g-10-1z"}\n\n'],
  [
    'a gap',
    gap(cursor, later),
    'id: g-11-20\nevent: pushfleet.gap\ndata: {"from":"g-10-1z","to":"g-11-20"}\n\n',
  ],
  [
    'an end that asks to come back',
    closing('draining', 'Bye.', 700),
    'retry: 700\nevent: pushfleet.close\ndata: {"code":"draining","detail":"Bye.","reconnect":true}\n\n',
  ],
  [
    'an end for good',
    closing('token_expired', 'Bye.', undefined),
    'event: pushfleet.close\ndata: {"code":"token_expired","detail":"Bye.","reconnect":false}\n\n',
  ],
];
for (const [what, given, bytes] of literal) {
  test(`${what} on the wire`, () => assert.equal(given, bytes));
}

test('frames are chunks of HTTP/1.1 by length in bytes, or bare for HTTP/1.0', () => {
  assert.equal(frame('chunked', 'data: ä\n\n').toString(), 'a\r\ndata: ä\n\n\r\n');
  assert.equal(frame('plain', 'data: ä\n\n').toString(), 'data: ä\n\n');
  assert.equal(lastFrame('chunked', ':\n\n').toString(), '3\r\n:\n\n\r\n0\r\n\r\n');
  assert.equal(lastFrame('plain', ':\n\n').toString(), ':\n\n');
});

test('a publisher cannot imitate events that EventSource or the fleet fires, nor break out of the field', () => {
  for (const type of ['error', 'open', 'message', 'pushfleet.gap', 'pushfleet.', 'a\nid: 1', 'a\rb', 'a\0']) {
    assert.deepEqual(parse(text('x', { type })).events, [{ id: cursor, event: undefined, data: 'x' }], type);
  }
  for (const type of ['errors', 'opened', 'Open', 'pushfleet', 'my.pushfleet.gap']) {
    assert.equal(parse(text('x', { type })).events[0]?.event, type);
  }
});

test('a place and a heartbeat dispatch nothing; a place moves the id', () => {
  const seen = parse(`${place(cursor)}${heartbeat}${greeting(1_500)}`);
  assert.deepEqual(seen, { events: [], ids: [cursor], retries: [1_500] });
});

test('any text comes back, its line endings as LF', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.constantFrom('', '\r', '\n', '\r\n'), (a, ending) => {
      const payload = `${a}${ending}${a}`;
      fc.pre(payload.isWellFormed() && !payload.startsWith('data:'));
      const [event, ...more] = parse(text(payload)).events;
      assert.equal(event?.data, payload.replaceAll(/\r\n|\r|\n/g, '\n'));
      assert.equal(event?.id, cursor);
      assert.deepEqual(more, []);
    }),
  );
});

test('any bytes come back from a data URL, any text from an envelope exactly', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array(), async (payload) => {
      const event = publicationEvent('payload', publication({ payload, contentType: 'image/png' }), cursor);
      const answer = await fetch(parse(event).events[0]?.data ?? '');
      assert.deepEqual(await answer.bytes(), payload);
      assert.equal(answer.headers.get('content-type'), 'image/png');
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1 }), (payload) => {
      fc.pre(payload.isWellFormed());
      const event = publicationEvent('cloudevents', publication({ payload: Buffer.from(payload) }), cursor);
      assert.equal(JSON.parse(parse(event).events[0]?.data ?? '').data, payload);
    }),
  );
});
