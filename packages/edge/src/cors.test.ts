import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cors } from './cors.ts';

const listed = new Cors(['https://app.example']);
const open = new Cors(['https://app.example', '*']);

test('a credentialed answer names its origin, never *', () => {
  for (const cors of [listed, open]) {
    assert.deepEqual(cors.headers({ origin: 'https://app.example' }), {
      vary: 'Origin',
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-credentials': 'true',
    });
  }
  assert.deepEqual(open.headers({ origin: 'https://other.example' }), {
    vary: 'Origin',
    'access-control-allow-origin': '*',
  });
  assert.deepEqual(listed.headers({ origin: 'https://other.example' }), { vary: 'Origin' });
  assert.deepEqual(listed.headers({}), { vary: 'Origin' });
});

test('a preflight lists methods and headers for origins that may ask, and nothing for others', () => {
  const allowed = listed.preflight({ origin: 'https://app.example' });
  assert.equal(allowed['access-control-allow-methods'], 'GET, POST, QUERY');
  assert.match(allowed['access-control-allow-headers'] ?? '', /Last-Event-ID/);
  assert.deepEqual(listed.preflight({ origin: 'https://other.example' }), { vary: 'Origin' });
});

const asks: readonly [boolean, Record<string, string>][] = [
  [true, {}],
  [true, { host: 'a.example', origin: 'https://a.example' }],
  [true, { host: 'localhost:8000', origin: 'http://localhost:8000' }],
  [true, { host: 'b.example', origin: 'https://app.example', 'sec-fetch-site': 'cross-site' }],
  [true, { 'sec-fetch-site': 'same-origin' }],
  [true, { 'sec-fetch-site': 'none' }],
  [false, { 'sec-fetch-site': 'cross-site' }],
  [false, { 'sec-fetch-site': 'same-site' }],
  [false, { host: 'a.example', origin: 'https://evil.example' }],
  [false, { host: 'a.example', origin: 'https://evil.example//a.example' }],
  [false, { host: 'ull', origin: 'null' }],
  [false, { origin: 'null' }],
];
for (const [trusted, headers] of asks) {
  test(`cookies and tickets ${trusted ? '' : 'do not '}count with ${JSON.stringify(headers)}`, () => {
    assert.equal(listed.trusts(headers), trusted);
    assert.equal(open.trusts(headers), trusted);
  });
}
