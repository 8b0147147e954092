import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { formatCursor, type Publication, parseTopic } from '@pushfleet/core';
import fc from 'fast-check';
import {
  closingText,
  frameGreeting,
  frameItem,
  gapText,
  ndjson,
  openText,
  placeText,
  publicationText,
  scriptLiteral,
} from './codec.ts';

const cursor = formatCursor({ generation: 'g', time: 1, positions: [1] });
const publication = (payload: string | Buffer, contentType = 'text/plain'): Publication => ({
  id: '1',
  source: 's',
  topic: parseTopic('t'),
  time: 0,
  shard: 0,
  sequence: 1,
  contentType,
  payload: Buffer.from(payload as string),
});
const textOf = (payload: string | Buffer, contentType?: string, retained = false): string =>
  publicationText({ publication: publication(payload, contentType), cursor, retained });

test('a publication is one line, to the letter', () => {
  assert.equal(
    textOf('hi'),
    `{"type":"publication","event":{"specversion":"1.0","id":"1","source":"s","type":"pushfleet.publication","subject":"t","time":"1970-01-01T00:00:00.000Z","datacontenttype":"text/plain","pushfleetcursor":"${cursor}","data":"hi"}}`,
  );
  assert.match(textOf('hi', 'text/plain', true), /"data":"hi"\},"retained":true\}$/);
});

test('JSON that has line breaks stays one line and the same value', () => {
  const text = textOf('{\r\n  "a": "b\\n",\n\n  "c": [1,\r2]\n}', 'application/json');
  assert.doesNotMatch(text, /[\r\n]/);
  assert.deepEqual(JSON.parse(text).event.data, { a: 'b\n', c: [1, 2] });
});

test('bytes travel in base64', () => {
  assert.equal(JSON.parse(textOf(Buffer.from([0, 255]), 'image/png')).event.data_base64, 'AP8=');
});

test('what is said between the publications', () => {
  assert.equal(openText(cursor), `{"type":"open","cursor":"${cursor}"}`);
  assert.equal(placeText(cursor), `{"type":"cursor","cursor":"${cursor}"}`);
  assert.equal(gapText(cursor, cursor), `{"type":"gap","from":"${cursor}","to":"${cursor}"}`);
  assert.equal(
    closingText('draining', 'Later.', 500),
    '{"type":"closing","code":"draining","detail":"Later.","reconnect":true,"retryMs":500}',
  );
  assert.equal(
    closingText('forbidden', 'No.', undefined),
    '{"type":"closing","code":"forbidden","detail":"No.","reconnect":false}',
  );
});

test('padding and heartbeats are white space before an object: a reader of lines parses every line', () => {
  assert.ok(Buffer.byteLength(ndjson.greeting) >= 2_048);
  const body = `${ndjson.greeting}${ndjson.item('1')}${ndjson.heartbeat}${ndjson.heartbeat}${ndjson.item('2')}`;
  assert.deepEqual(
    body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [1, 2],
  );
});

test('a frame begins as a document, with enough bytes for those that hold back the first', () => {
  assert.match(frameGreeting, /^<!doctype html><meta charset="utf-8">/);
  assert.ok(Buffer.byteLength(frameGreeting) >= 2_048);
});

const hostile = [
  '</script><script>alert(1)</script>',
  '<!--<script>',
  ']]>',
  '\u2028\u2029',
  '"); alert(1); ("',
  "'`$" + '{alert(1)}',
  '\\',
  '\0',
  '-->',
];
for (const text of hostile) {
  test(`${JSON.stringify(text)} passes through a script as it is`, () => {
    const form = { nonce: 'n', target: undefined };
    const item = frameItem(form, scriptLiteral(JSON.stringify({ text })));
    assert.doesNotMatch(item.slice(1, -'</script>\n'.length), /[<\u2028\u2029\r\n]/);
    assert.deepEqual(run(item), { text });
  });
}

test('any JSON arrives as JSON.parse reads it, __proto__ included', () => {
  const form = { nonce: 'n', target: undefined };
  fc.assert(
    fc.property(fc.json(), (json) => {
      assert.deepEqual(run(frameItem(form, scriptLiteral(json))), JSON.parse(json));
    }),
  );
  const twice = '{"__proto__":{"a":1},"__proto__":{"b":2}}';
  const found = run(frameItem(form, scriptLiteral(twice))) as object;
  assert.ok(Object.hasOwn(found, '__proto__'));
});

test('a page of another origin is reached by postMessage, and no other page', () => {
  const item = frameItem({ nonce: 'n', target: 'https://app.example' }, scriptLiteral('{"a":1}'));
  const sent: unknown[] = [];
  runInNewContext(scriptOf(item), { parent: { postMessage: (...given: unknown[]) => sent.push(given) } });
  assert.equal(JSON.stringify(sent), '[[{"a":1},"https://app.example"]]');
});

const scriptOf = (item: string): string =>
  /^<script nonce="n">([^<]*)<\/script>\n$/.exec(item)?.[1] ?? assert.fail(item);

/** What the page around the frame is called with. */
function run(item: string): unknown {
  let given: unknown;
  const pushfleet = (value: unknown): void => {
    given = value;
  };
  runInNewContext(scriptOf(item), { parent: { pushfleet }, JSON });
  return given;
}
