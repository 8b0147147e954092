import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCursor, limits, PushfleetError } from '@pushfleet/core';
import { parseBody, parseForm, splitTarget } from '@pushfleet/edge';
import fc from 'fast-check';
import { type Ask, parseAsk } from './request.ts';

const a = formatCursor({ generation: 'g', time: 1, positions: [1] });
const b = formatCursor({ generation: 'g', time: 2, positions: [2] });
const c = formatCursor({ generation: 'g', time: 3, positions: [3] });

const ask = (query: string, headers: Record<string, string> = {}): Ask =>
  parseAsk(headers, [parseForm(query)]);
const refused = (code: string, query: string, headers?: Record<string, string>): void => {
  assert.throws(
    () => ask(query, headers),
    (error) => error instanceof PushfleetError && error.code === code,
    query,
  );
};

test('topics repeat, and each counts once', () => {
  assert.deepEqual(ask('topic=a/%23&topic=b&topic=b').filters, ['a/#', 'b']);
});

const plus: readonly [string, string][] = [
  ['a/+', 'a/+'],
  ['+/b/+', '+/b/+'],
  ['a%2F+%2Fb', 'a/+/b'],
  ['a/%2B', 'a/+'],
  ['new+york/weather', 'new york/weather'],
  ['new%20york', 'new york'],
  ['a++b', 'a  b'],
];
for (const [written, meant] of plus) {
  test(`the query topic=${written} means ${JSON.stringify(meant)}`, () => {
    assert.deepEqual(ask(`topic=${written}`).filters, [meant]);
  });
}

test('what URLSearchParams writes is read back, any filter', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', '+', ' x', 'ä', '&=%', ''), { minLength: 1 }), (levels) => {
      const filter = levels.join('/');
      fc.pre(filter !== '');
      assert.deepEqual(ask(new URLSearchParams({ topic: filter }).toString()).filters, [filter]);
    }),
  );
});

test('the header wins over the URL, and empty is absent', () => {
  const url = `topic=t&last_event_id=${b}&lastEventId=${c}`;
  assert.equal(ask(url, { 'last-event-id': a }).after, a);
  assert.equal(ask(url, { 'last-event-id': '' }).after, b);
  assert.equal(ask(url).after, b);
  assert.equal(ask(`topic=t&last_event_id=&lastEventId=${c}`).after, c);
  assert.equal(ask('topic=t&last_event_id=', { 'last-event-id': '' }).after, undefined);
});

test('parameters of the payload, the envelope and the retained', () => {
  assert.equal(ask('topic=t').format, 'payload');
  assert.equal(ask('topic=t&format=cloudevents').format, 'cloudevents');
  assert.equal(ask('topic=t').retained, false);
  assert.equal(ask('topic=t&retained=1').retained, true);
  assert.equal(ask('topic=t&retained=0').retained, false);
  assert.equal(ask('topic=t&ticket=abc').ticket, 'abc');
});

test('as many filters as one stream may hold are taken', () => {
  const query = Array.from({ length: limits.feedFilters }, (_, i) => `topic=${i}`).join('&');
  assert.equal(ask(query).filters.length, limits.feedFilters);
});

const bad: readonly [string, string, Record<string, string>?][] = [
  ['request_invalid', ''],
  ['request_invalid', 'topics=a'],
  ['request_invalid', 'topic=a&after=x'],
  ['request_invalid', `topic=a&${'x'.repeat(5_000)}=1`],
  ['request_invalid', 'topic=%zz'],
  ['request_invalid', 'topic=%ff'],
  ['filter_invalid', 'topic='],
  ['filter_invalid', 'topic=a%00'],
  ['filter_invalid', 'topic=a/%23/b'],
  ['filter_invalid', 'topic=a%2Bb'],
  ['filter_invalid', `topic=${'x'.repeat(limits.topicBytes + 1)}`],
  ['too_many_filters', Array.from({ length: limits.feedFilters + 1 }, (_, i) => `topic=${i}`).join('&')],
  ['cursor_invalid', 'topic=a&last_event_id=7'],
  ['cursor_invalid', 'topic=a', { 'last-event-id': 'x\0' }],
  ['cursor_invalid', 'topic=a', { 'last-event-id': `${a}, ${b}` }],
  ['request_invalid', 'topic=a&format=xml'],
  ['request_invalid', 'topic=a&retained=maybe'],
];
for (const [code, query, headers] of bad) {
  test(`${JSON.stringify(query.slice(0, 40))} ${headers ? 'with a bad header ' : ''}is ${code}`, () =>
    refused(code, query, headers));
}

test('a parameter that keeps caches away is passed over', () => {
  assert.deepEqual(ask('topic=t&_=1795349355000').filters, ['t']);
});

test('a body is a form or JSON with the same names', () => {
  const form = parseBody(
    'application/x-www-form-urlencoded; charset=utf-8',
    Buffer.from('topic=a/+&topic=b'),
  );
  assert.deepEqual(parseAsk({}, [form]).filters, ['a/+', 'b']);
  const json = parseBody(
    'application/json',
    Buffer.from('{"topic":["a/+","b"],"retained":true,"ticket":"x"}'),
  );
  assert.deepEqual(parseAsk({}, [parseForm('topic=c'), json]), {
    filters: ['c', 'a/+', 'b'],
    after: undefined,
    retained: true,
    format: 'payload',
    ticket: 'x',
  });
  assert.equal(parseBody(undefined, Buffer.alloc(0)).size, 0);
});

const badBodies: readonly [string, string | undefined, string][] = [
  ['unsupported_media_type', undefined, 'x'],
  ['unsupported_media_type', 'text/plain', 'topic=a'],
  ['request_invalid', 'application/json', '{'],
  ['request_invalid', 'application/json', '[]'],
  ['request_invalid', 'application/json', 'null'],
  ['request_invalid', 'application/json', '{"topic":{"a":1}}'],
  ['request_invalid', 'application/json', '{"topic":[["a"]]}'],
  ['request_invalid', 'application/json', '{"topic":null}'],
  ['request_invalid', 'application/x-www-form-urlencoded', 'topic=%'],
  ['request_invalid', 'application/x-www-form-urlencoded', ' {"topic":["a"]}'],
];
for (const [code, type, body] of badBodies) {
  test(`a body ${body} of ${type} is ${code}`, () => {
    assert.throws(
      () => parseBody(type, Buffer.from(body)),
      (error) => error instanceof PushfleetError && error.code === code,
    );
  });
}

test('whatever a client sends is read or refused with an error of the fleet', () => {
  const fragment = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      'topic=',
      'topic=a',
      '&',
      '=',
      '%',
      '%2',
      '+',
      '?',
      'last_event_id=',
      '{"topic":',
      '["a"]}',
    ),
  );
  const types = fc.constantFrom('application/json', 'application/x-www-form-urlencoded', undefined, 'a/b');
  fc.assert(
    fc.property(fc.array(fragment), types, fc.array(fragment), fc.string(), (target, type, body, id) => {
      try {
        const query = parseForm(splitTarget(target.join('')).query);
        parseAsk({ 'last-event-id': id }, [query, parseBody(type, Buffer.from(body.join('')))]);
      } catch (error) {
        assert.ok(error instanceof PushfleetError && error.code !== 'internal', String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});
