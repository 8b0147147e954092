import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import { entryOf, parsePresence } from './presence-request.ts';

test('what is said is read, and what is not said is not there', () => {
  assert.deepEqual(parsePresence({ action: 'leave' }), {
    ...{ action: 'leave', client: undefined, entry: {}, page: {} },
  });
  const all = { client: 'phone', status: 'away', state: null, ttl: 1.5, next: 'n', limit: 7 };
  assert.deepEqual(parsePresence({ action: 'update', ...all, topic: 'a' }), {
    ...{ action: 'update', client: 'phone' },
    entry: { status: 'away', state: null, ttl: 1.5 },
    page: { after: 'n', limit: 7 },
  });
});

test('an entry has its state as bytes and its time in milliseconds', () => {
  assert.deepEqual(entryOf({}), {});
  assert.deepEqual(entryOf({ status: 'busy', state: { x: 1 }, ttl: 1.5 }), {
    ...{ status: 'busy', ttlMs: 1_500 },
    ...{ state: Buffer.from('{"x":1}'), stateContentType: 'application/json' },
  });
  assert.deepEqual(entryOf({ state: null }).state, Buffer.from('null'));
});

for (const [fields, reason] of [
  [{}, /"action" is one of enter, update, leave, list/],
  [{ action: 'watch' }, /"action" is one of/],
  [{ action: 'enter', status: 'offline' }, /"status" is one of online, away, busy/],
  [{ action: 'enter', client: 7 }, /"client" is a text/],
  [{ action: 'enter', client: '\ud800' }, /"client" is a text of valid Unicode/],
  [{ action: 'enter', ttl: '5' }, /"ttl" is a number/],
  [{ action: 'list', next: 1 }, /"next" is a text/],
  [{ action: 'list', limit: null }, /"limit" is a number/],
] as const) {
  test(`${JSON.stringify(fields)} is refused`, () => {
    assert.throws(
      () => parsePresence(fields),
      (error) =>
        error instanceof PushfleetError && error.code === 'request_invalid' && reason.test(error.message),
    );
  });
}
