import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { agree, Refusal } from './handshake.ts';

const options = { protocols: ['pushfleet.v1', 'pushfleet.echo'], deflate: true, messageBytes: 1_000 };
const good = {
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-protocol': 'pushfleet.v1',
};
const agreed = (headers: Record<string, string | undefined>, more: object = {}) =>
  agree({ headers: { ...good, ...headers } }, { ...options, ...more });

test('the key is answered (RFC 6455 section 1.3)', () => {
  assert.equal(agreed({}).headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
});

suite('exactly one of the subprotocols offered is echoed', () => {
  const rows: readonly [string, string][] = [
    ['pushfleet.v1', 'pushfleet.v1'],
    ['pushfleet.v9, pushfleet.v1', 'pushfleet.v1'],
    ['pushfleet.echo, pushfleet.v1', 'pushfleet.echo'],
    ['graphql-ws,pushfleet.v1 , x', 'pushfleet.v1'],
  ];
  for (const [offered, echoed] of rows) {
    test(`${offered}: ${echoed}`, () => {
      const { protocol, headers } = agreed({ 'sec-websocket-protocol': offered });
      assert.deepEqual([protocol, headers['sec-websocket-protocol']], [echoed, echoed]);
    });
  }
});

suite('what is no handshake is refused', () => {
  const rows: readonly [string, Record<string, string | undefined>, number, RegExp][] = [
    ['no version', { 'sec-websocket-version': undefined }, 426, /missing; this server speaks 13/],
    ['another version', { 'sec-websocket-version': '8' }, 426, /"8"; this server speaks 13/],
    ['no key', { 'sec-websocket-key': undefined }, 400, /16 bytes/],
    ['a short key', { 'sec-websocket-key': 'c2hvcnQ=' }, 400, /16 bytes/],
    [
      'no subprotocol',
      { 'sec-websocket-protocol': undefined },
      400,
      /No subprotocol .* Offer "pushfleet.v1"/,
    ],
    [
      'others alone',
      { 'sec-websocket-protocol': 'pushfleet.v2' },
      400,
      /"pushfleet.v2".*Offer "pushfleet.v1"/,
    ],
    ['a malformed list', { 'sec-websocket-protocol': 'a,,b' }, 400, /Sec-WebSocket-Protocol is malformed/],
    ['one twice', { 'sec-websocket-protocol': 'a, a' }, 400, /duplicated/],
    [
      'malformed extensions',
      { 'sec-websocket-extensions': 'a;;' },
      400,
      /Sec-WebSocket-Extensions is malformed/,
    ],
  ];
  for (const [what, headers, status, message] of rows) {
    test(what, () => {
      assert.throws(
        // As where no echo is served.
        () => agreed(headers, { protocols: ['pushfleet.v1'] }),
        (error) => {
          assert.ok(error instanceof Refusal);
          assert.deepEqual([error.status, error.cause.code], [status, 'request_invalid']);
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }
});

suite('permessage-deflate never keeps a context', () => {
  const both = 'server_no_context_takeover; client_no_context_takeover';
  const rows: readonly [string, string | undefined, number | undefined][] = [
    ['permessage-deflate', `permessage-deflate; ${both}`, 15],
    ['permessage-deflate; client_max_window_bits', `permessage-deflate; ${both}`, 15],
    [
      'permessage-deflate; server_max_window_bits=10',
      `permessage-deflate; ${both}; server_max_window_bits=10`,
      10,
    ],
    ['permessage-deflate; server_max_window_bits=8', undefined, undefined],
    ['permessage-deflate; server_max_window_bits=8, permessage-deflate', `permessage-deflate; ${both}`, 15],
    ['permessage-deflate; who=knows', undefined, undefined],
    ['x-webkit-deflate-frame', undefined, undefined],
  ];
  const sorted = (answer: string | undefined) => answer?.split('; ').sort();
  for (const [offer, answer, windowBits] of rows) {
    test(offer, () => {
      const { deflate, headers } = agreed({ 'sec-websocket-extensions': offer });
      assert.deepEqual(sorted(headers['sec-websocket-extensions']), sorted(answer));
      assert.equal(deflate?.windowBits, windowBits);
    });
  }

  test('switched off, no offer is taken', () => {
    const { deflate } = agreed({ 'sec-websocket-extensions': 'permessage-deflate' }, { deflate: false });
    assert.equal(deflate, undefined);
  });
});
