import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeBinaryEvent, decodeCloudEvent, decodeCloudEventBatch } from './cloudevent-decode.ts';
import { binaryHeaders, encodeCloudEvent } from './cloudevents.ts';
import { isJsonType, isText, mediaType, textOf } from './content.ts';
import { formatCursor } from './cursor.ts';
import { PushfleetError } from './error.ts';
import type { EventDraft } from './event-draft.ts';
import { limits } from './limits.ts';
import { type Attributes, defaultType, type Publication, parseDraft } from './publication.ts';
import { parseTopic } from './topic.ts';

const least = { specversion: '1.0', id: 'i', source: '/s', type: 't' };
const decode = (event: object | string): EventDraft =>
  decodeCloudEvent(Buffer.from(typeof event === 'string' ? event : JSON.stringify({ ...least, ...event })));
const payloadOf = (event: object | string): string => textOf(decode(event).payload);

describe('structured mode', () => {
  test('the least event', () => {
    assert.deepEqual(decode({}), {
      topic: undefined,
      id: 'i',
      source: '/s',
      type: 't',
      contentType: undefined,
      payload: new Uint8Array(),
      attributes: [],
      retain: undefined,
      ttlMs: undefined,
    });
  });

  test('everything, and null for what is absent', () => {
    const event = decode({
      subject: 'a/b',
      time: '2018-04-05T17:31:00Z',
      datacontenttype: 'text/xml',
      dataschema: 'https://example.org/s#/x',
      data: '<much wow="xml"/>',
      data_base64: null,
      comexampleothervalue: 5,
      below: -2147483648,
      zero: -0,
      yes: true,
      unset: null,
      pushfleetcursor: 'ignored',
      pushfleettime: 'ignored',
      pushfleetretain: true,
      pushfleetttl: 60,
    });
    assert.deepEqual(
      { ...event, payload: textOf(event.payload) },
      {
        topic: 'a/b',
        id: 'i',
        source: '/s',
        type: 't',
        contentType: 'text/xml',
        payload: '<much wow="xml"/>',
        attributes: [
          ['time', '2018-04-05T17:31:00Z'],
          ['dataschema', 'https://example.org/s#/x'],
          ['comexampleothervalue', '5'],
          ['below', '-2147483648'],
          ['zero', '0'],
          ['yes', 'true'],
        ],
        retain: true,
        ttlMs: 60_000,
      },
    );
  });

  test('JSON data is kept as it is written', () => {
    const text = `\ufeff \n{"data" : {"n": 12345678901234567890.10, "n":"\\u00e9]}\\"" } ,"2":"b","1":"a",
      "specversion":"1.0","\\u0069d":"i","source":"/s","type":"t"}\n`;
    const event = decode(text);
    assert.equal(textOf(event.payload), '{"n": 12345678901234567890.10, "n":"\\u00e9]}\\"" }');
    assert.equal(event.contentType, 'application/json');
    assert.deepEqual(event.attributes, [
      ['2', 'b'],
      ['1', 'a'],
    ]);
  });

  for (const [event, contentType, payload] of [
    [{ data: null }, 'application/json', 'null'],
    [{ data: 'text' }, 'application/json', '"text"'],
    [{ data: [1], datacontenttype: 'application/vnd.x+json; charset=UTF-8' }, undefined, '[1]'],
    [{ data: 'é', datacontenttype: 'text/plain' }, undefined, 'é'],
    [{ data: 'é', datacontenttype: 'image/svg' }, undefined, 'é'],
    [{ data_base64: 'eyJ4IjoxfQ==' }, 'none', '{"x":1}'],
    [{ data_base64: 'eyJ4IjoxfQ==', datacontenttype: 'application/json' }, undefined, '{"x":1}'],
    [{ data_base64: '' }, 'none', ''],
    [{ datacontenttype: 'application/json' }, undefined, ''],
  ] as const) {
    test(`the data of ${JSON.stringify(event)}`, () => {
      const read = decode(event);
      assert.equal(textOf(read.payload), payload);
      const given = 'datacontenttype' in event ? event.datacontenttype : undefined;
      assert.equal(read.contentType ?? 'none', contentType ?? given);
    });
  }

  const long = 'x'.repeat(limits.attributesBytes);
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, '']));

  test('attributes at their limits', () => {
    assert.equal(decode(many(limits.attributes)).attributes.length, limits.attributes);
    assert.deepEqual(decode({ a: long }).attributes, [['a', long]]);
  });

  for (const [name, event, says, code = 'attribute_invalid'] of [
    ['no JSON', '{', /not JSON/, 'request_invalid'],
    ['no object', '[]', /JSON object/, 'request_invalid'],
    ['a string', '"{}"', /JSON object/, 'request_invalid'],
    ['another version', { specversion: '0.3' }, /1\.0, not "0\.3"/],
    ['a version that is a number', { specversion: 1.0 }, /"specversion".*a string, not 1/],
    ['no version', { specversion: null }, /has no specversion/],
    ['no id', { id: null }, /has no id/],
    ['an empty source', { source: '' }, /has no source/],
    ['no type', { type: null }, /has no type/],
    ['an empty subject', { subject: '' }, /"subject"/],
    ['both kinds of data', { data: 1, data_base64: 'eA==' }, /not both/, 'request_invalid'],
    [
      'data twice',
      '{"specversion":"1.0","id":"i","source":"s","type":"t","data":1,"data":2}',
      /twice/,
      'request_invalid',
    ],
    ['base64 without padding', { data_base64: 'eA' }, /base64 with padding/, 'request_invalid'],
    ['base64 that is a number', { data_base64: 1 }, /base64 with padding/, 'request_invalid'],
    ['text that is an object', { data: {}, datacontenttype: 'text/plain' }, /is a string/, 'request_invalid'],
    [
      'text with half a character',
      { data: '\ud800', datacontenttype: 'text/plain' },
      /valid Unicode/,
      'request_invalid',
    ],
    [
      'text of another charset',
      { data: 'x', datacontenttype: 'text/plain;charset=latin1' },
      /data_base64/,
      'request_invalid',
    ],
    [
      'an attribute twice',
      '{"specversion":"1.0","id":"i","source":"s","type":"t","a":"1","a":"1"}',
      /"a".*once/,
    ],
    ['capitals', { traceParent: 'x' }, /"traceParent".*lower-case/],
    ['an underscore', { data_schema: 'x' }, /"data_schema"/],
    ['an object as a value', { a: {} }, /"a".*integer of 32 bits, not {}/],
    ['a fraction', { a: 1.5 }, /not 1\.5/],
    ['an exponent', '{"specversion":"1.0","id":"i","source":"s","type":"t","a":1e2}', /not 1e2/],
    ['a large integer', { a: 2 ** 31 }, /not 2147483648/],
    ['a control character', { a: 'b\n' }, /"a".*control/],
    ['a noncharacter', { a: '\u{1fffe}' }, /"a".*Unicode/],
    ['half a character', { a: '\ud800' }, /"a".*Unicode/],
    ['a value above the limit', { a: `${long}x` }, /8192 bytes/],
    ['more attributes than the limit', many(limits.attributes + 1), /at most 64/],
    ['far more attributes than the limit', many(200), /at most 64/],
    ['a time that is none', { time: 'yesterday' }, /"time".*RFC 3339/],
    ['a schema that is no URI', { dataschema: 'a b' }, /"dataschema".*URI/],
    ['an unknown extension of the fleet', { pushfleetretian: true }, /pushfleetretain/],
    ['retain that is neither', { pushfleetretain: 1 }, /true or false/],
    ['a time to live in minutes', { pushfleetttl: '1m' }, /seconds/],
    ['a list of attributes that is none', { pushfleetattributes: '[["a"]]' }, /list of \[name, value\]/],
    ['a list of attributes that is no JSON', { pushfleetattributes: '[' }, /list of \[name, value\]/],
  ] as const) {
    test(`refuses ${name}`, () => assert.throws(() => decode(event), { code, message: says }));
  }

  test('a source is taken back only where it is what was escaped', () => {
    assert.equal(decode({ source: 'a%7Cb', pushfleetsource: 'a|b' }).source, 'a|b');
    assert.equal(decode({ source: 'other', pushfleetsource: 'a|b' }).source, 'other');
  });

  test('an extension that came on the way stands before the list', () => {
    const pushfleetattributes = JSON.stringify([
      ['X', '1'],
      ['a', '2'],
    ]);
    assert.deepEqual(decode({ a: '2', b: '3', pushfleetattributes }).attributes, [
      ['b', '3'],
      ['X', '1'],
      ['a', '2'],
    ]);
  });
});

describe('a batch', () => {
  const batch = (events: readonly unknown[]) => decodeCloudEventBatch(Buffer.from(JSON.stringify(events)));

  test('has what each event says, or its error, in order', () => {
    const [first, second, third] = batch([{ ...least, id: '1' }, [{}], { ...least, id: '3', data: 1 }]);
    assert.equal((first as EventDraft).id, '1');
    assert.equal((second as PushfleetError).code, 'request_invalid');
    assert.equal(textOf((third as EventDraft).payload), '1');
  });

  test('may be empty, and ends at its limit', () => {
    assert.deepEqual(batch([]), []);
    const events = (count: number) => Array.from({ length: count }, () => least);
    assert.equal(batch(events(limits.batchDrafts)).length, limits.batchDrafts);
    assert.throws(() => batch(events(limits.batchDrafts + 1)), { code: 'request_invalid' });
    assert.throws(() => decodeCloudEventBatch(Buffer.from('{}')), { code: 'request_invalid' });
  });
});

const headersOf = (attributes: Readonly<Record<string, string>>): string[] =>
  Object.entries({
    'ce-specversion': '1.0',
    'ce-id': 'i',
    'ce-source': '/s',
    'ce-type': 't',
    ...attributes,
  }).flat();

describe('binary mode', () => {
  const binary = (headers: Readonly<Record<string, string>>) =>
    decodeBinaryEvent(headersOf(headers), Buffer.from('x'));

  test('headers are attributes, in their order', () => {
    const event = binary({
      Host: 'x',
      'CE-Time': '2018-04-05T03:56:24Z',
      'Content-Type': 'application/json; charset=utf-8',
      'ce-Foo': '',
      'ce-subject': 'a%2Fb',
      'ce-pushfleetttl': '5',
    });
    assert.deepEqual(event.attributes, [
      ['time', '2018-04-05T03:56:24Z'],
      ['foo', ''],
    ]);
    assert.deepEqual(
      [event.topic, event.contentType, event.ttlMs],
      ['a/b', 'application/json; charset=utf-8', 5_000],
    );
  });

  // HTTP binding 3.1.3.2.
  for (const [header, value] of [
    ['Euro%20%E2%82%AC%20%F0%9F%98%80', 'Euro € 😀'],
    ['%e2%82%ac', '€'],
    ['%41', 'A'],
    ['%2541', '%41'],
    ['"a \\"b\\" \\c"', 'a "b" c'],
    ['"a%20b"', 'a b'],
    ['%22a%22', '"a"'],
    ['a "b"', 'a "b"'],
    ['caf\xc3\xa9', 'café'],
  ] as const) {
    test(`${header} means ${value}`, () =>
      assert.deepEqual(binary({ 'ce-a': header }).attributes, [['a', value]]));
  }

  for (const [name, headers, says] of [
    ['an overlong encoding', { 'ce-a': '%C0%A0' }, /ce-a.*UTF-8/],
    ['half an escape', { 'ce-a': '50%' }, /ce-a.*%25/],
    ['Latin-1', { 'ce-a': 'caf\xe9' }, /ce-a.*UTF-8/],
    ['datacontenttype', { 'ce-datacontenttype': 'text/plain' }, /Content-Type/],
    ['data', { 'ce-data': 'x' }, /"data"/],
    ['a name with a hyphen', { 'ce-a-b': 'x' }, /"a-b"/],
    ['a header twice', { 'ce-A': 'x', 'ce-a': 'x' }, /"a".*once/],
    ['another version', { 'ce-specversion': '2.0' }, /not "2\.0"/],
    ['a control character', { 'ce-a': '%0A' }, /control/],
  ] as const) {
    test(`refuses ${name}`, () =>
      assert.throws(() => binary(headers), { code: 'attribute_invalid', message: says }));
  }
});

/** Whatever is thrown must be meant for the caller. */
function refusesOrReturns(run: () => unknown): void {
  try {
    const result = run();
    for (const one of Array.isArray(result) ? result : []) {
      if (one instanceof PushfleetError) assert.notEqual(one.code, 'internal');
    }
  } catch (error) {
    assert.ok(error instanceof PushfleetError && error.code !== 'internal', `threw ${error}`);
  }
}

test('anything is an event or a refusal', () => {
  const name = fc.oneof(
    fc.constantFrom(
      ...Object.keys(least),
      'subject',
      'time',
      'data',
      'data_base64',
      'datacontenttype',
      'dataschema',
    ),
    fc.constantFrom('pushfleetattributes', 'pushfleetsource', 'pushfleetttl', 'pushfleetretain', '__proto__'),
    fc.string(),
  );
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom('text/plain', 'application/json', '2020-01-01T00:00:00Z'),
  );
  const event = fc.oneof(
    fc.jsonValue(),
    fc.dictionary(name, value).map((members) => ({ ...least, ...members })),
  );
  fc.assert(fc.property(fc.uint8Array(), (body) => refusesOrReturns(() => decodeCloudEvent(body))));
  fc.assert(
    fc.property(event, fc.nat(3), (members, space) =>
      refusesOrReturns(() => decodeCloudEvent(Buffer.from(JSON.stringify(members, undefined, space)))),
    ),
  );
  fc.assert(
    fc.property(fc.array(event), (events) =>
      refusesOrReturns(() => decodeCloudEventBatch(Buffer.from(JSON.stringify(events)))),
    ),
  );
  const latin1 = fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1'));
  const header = fc.oneof(
    name.map((text) => `ce-${text}`),
    fc.constant('content-type'),
    latin1,
  );
  fc.assert(
    fc.property(fc.dictionary(header, latin1), (headers) =>
      refusesOrReturns(() => decodeBinaryEvent(headersOf(headers), new Uint8Array())),
    ),
  );
});

const wellFormed = (o: fc.StringConstraints = {}) =>
  fc.string({ unit: 'binary', ...o }).map((text) => text.toWellFormed().replaceAll('\0', ''));
const word = wellFormed({ minLength: 1, maxLength: 40 }).map(
  (text) => `w${text.replace(/[\u0001-\u001f\u007f]/g, '')}`,
);
const contentType = fc.oneof(
  fc.constantFrom(
    'application/json',
    'text/plain',
    'text/plain; charset=latin1',
    'application/vnd.a+json',
    'image/png',
  ),
  word.map((text) => text.trim()),
);
const payload = fc.oneof(
  fc.uint8Array(),
  fc.json().map((text) => Buffer.from(`${text} `)),
  word.map((text) => Buffer.from(text)),
);
const attribute = fc.tuple(
  fc.oneof(
    fc.constantFrom('a', '7', '10', 'time', 'dataschema', 'id', 'X-Y', 'pushfleettime', 'data'),
    wellFormed({ minLength: 1, maxLength: 9 }).map((text) => `n${text}`),
  ),
  fc.oneof(wellFormed(), fc.constantFrom('2024-02-29T12:00:00+02:00', 'urn:a:b')),
);
const publications: fc.Arbitrary<Publication> = fc.record({
  id: word,
  source: fc.oneof(word, fc.webUrl({ withFragments: true, withQueryParameters: true })),
  topic: wellFormed({ minLength: 1 }).map((text) => parseTopic(`t/${text.replace(/[+#]/g, '')}`)),
  contentType,
  payload,
  attributes: fc.array(attribute, { maxLength: 6 }),
  time: fc.integer({ min: 0, max: Date.UTC(9999, 0) }),
  shard: fc.constant(0),
  sequence: fc.constant(1),
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('what was encoded comes back', () => {
  const cursor = formatCursor({ generation: 'g', time: 36, positions: [71] });

  /** The attributes with the time that the event was given, where the publisher gave none. */
  function timed({ attributes = [], time }: Publication, read: Attributes): Attributes {
    const given = attributes.filter(([name]) => name === 'time');
    const [first] = read;
    const isOwn = given.length === 1 && read.length === attributes.length;
    return isOwn || first?.[0] !== 'time'
      ? attributes
      : [['time', new Date(time).toISOString()], ...attributes];
  }

  // White space around a JSON value belongs to the event's JSON.
  function bare({ contentType, payload }: Publication): Uint8Array {
    if (!isJsonType(contentType) || !isText({ contentType, payload })) return payload;
    const text = textOf(payload);
    return isJson(text) ? Buffer.from(text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, '')) : payload;
  }

  function same(publication: Publication, event: EventDraft, expected: Uint8Array): void {
    const { id, source, topic, contentType } = publication;
    assert.deepEqual(
      { ...event, payload: Buffer.from(event.payload) },
      {
        ...{ id, source, topic, contentType, type: undefined, retain: undefined, ttlMs: undefined },
        attributes: timed(publication, event.attributes),
        payload: Buffer.from(expected),
      },
    );
    const { type: _, retain: __, ttlMs: ___, ...raw } = event;
    parseDraft({ ...raw, topic, contentType });
  }

  test('in structured mode', () => {
    fc.assert(
      fc.property(publications, (publication) => {
        const event = decodeCloudEvent(Buffer.from(encodeCloudEvent(publication, cursor)));
        same(publication, event, bare(publication));
      }),
      { numRuns: 1_000 },
    );
  });

  test('in binary mode', () => {
    fc.assert(
      fc.property(publications, (publication) => {
        const headers = Object.entries(binaryHeaders(publication, cursor)).flat();
        same(publication, decodeBinaryEvent(headers, publication.payload), publication.payload);
      }),
      { numRuns: 1_000 },
    );
  });

  test('with its type', () => {
    assert.equal(decode({ type: defaultType }).type, undefined);
    assert.equal(mediaType(decode({ datacontenttype: 'Text/Plain; a=b' }).contentType ?? ''), 'text/plain');
    assert.equal(payloadOf({ data: 1 }), '1');
  });
});
