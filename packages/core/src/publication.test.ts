import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PushfleetError } from './error.ts';
import { limits } from './limits.ts';
import { parseNamespace } from './namespace.ts';
import { parseDraft, type RawDraft } from './publication.ts';
import { grpcStatus, meanings } from './status.ts';

const good: RawDraft = {
  id: 'order-1',
  source: 'shop',
  topic: 'orders/1',
  contentType: 'text/plain',
  payload: new Uint8Array(3),
};

const code = (raw: Partial<RawDraft>, most?: number): string => {
  try {
    parseDraft({ ...good, ...raw }, most);
    return 'accepted';
  } catch (error) {
    assert.ok(error instanceof PushfleetError, String(error));
    return error.code;
  }
};

const many = (count: number) => Array.from({ length: count }, () => ['n', 'v'] as const);

describe('a draft', () => {
  for (const [what, raw, expected] of [
    ['with the least', {}, 'accepted'],
    [
      'with everything',
      { type: 't', attributes: [['a', '']], retain: true, expiresAt: 1, origin: 'c' },
      'accepted',
    ],
    ['without id', { id: '' }, 'id_invalid'],
    ['with an id at the limit', { id: 'i'.repeat(limits.idBytes) }, 'accepted'],
    ['with an id above the limit', { id: 'i'.repeat(limits.idBytes + 1) }, 'id_invalid'],
    ['with a line end in its id', { id: 'a\nb' }, 'id_invalid'],
    ['with half a character in its id', { id: '\ud800' }, 'id_invalid'],
    ['with a source at the limit', { source: 's'.repeat(limits.nameBytes) }, 'accepted'],
    ['with a source above the limit', { source: 's'.repeat(limits.nameBytes + 1) }, 'attribute_invalid'],
    ['with an empty type', { type: '' }, 'attribute_invalid'],
    ['with a type at the limit', { type: 't'.repeat(limits.nameBytes) }, 'accepted'],
    ['with a type above the limit', { type: 't'.repeat(limits.nameBytes + 1) }, 'attribute_invalid'],
    ['with a content type at the limit', { contentType: 'c'.repeat(limits.contentTypeBytes) }, 'accepted'],
    [
      'with a content type above the limit',
      { contentType: 'c'.repeat(limits.contentTypeBytes + 1) },
      'attribute_invalid',
    ],
    ['with a line end in its content type', { contentType: 'a\r\nb' }, 'attribute_invalid'],
    ['with a wildcard topic', { topic: 'a/#' }, 'topic_invalid'],
    ['with attributes at the limit', { attributes: many(limits.attributes) }, 'accepted'],
    ['with an attribute too many', { attributes: many(limits.attributes + 1) }, 'attribute_invalid'],
    [
      'with attributes too long',
      { attributes: [['n', 'v'.repeat(limits.attributesBytes)]] },
      'attribute_invalid',
    ],
    [
      'with attributes as long as may be',
      { attributes: [['n', 'v'.repeat(limits.attributesBytes - 1)]] },
      'accepted',
    ],
    ['with a nameless attribute', { attributes: [['', 'v']] }, 'attribute_invalid'],
    ['with NUL in an attribute', { attributes: [['n', '\0']] }, 'attribute_invalid'],
    ['that expires at no time', { expiresAt: Number.NaN }, 'attribute_invalid'],
    ['that expires last', { expiresAt: Date.parse('9999-12-31T23:59:59.999Z') }, 'accepted'],
    ['that expires too late to be told', { expiresAt: Date.parse('+010000-01-01') }, 'attribute_invalid'],
  ] as const) {
    test(`${what}: ${expected}`, () => assert.equal(code(raw), expected));
  }

  test('is refused above its payload limit, not at it', () => {
    assert.equal(code({}, 3), 'accepted');
    assert.equal(code({}, 2), 'payload_too_large');
  });
});

test('a namespace is letters, digits, "_" and "-", up to its limit', () => {
  assert.equal(parseNamespace('n'.repeat(limits.namespaceLength)).length, limits.namespaceLength);
  for (const text of ['', 'a.b', 'a b', '*', 'é', 'n'.repeat(limits.namespaceLength + 1)]) {
    assert.throws(() => parseNamespace(text), { code: 'forbidden' });
  }
});

test('every code has a status of both kinds', () => {
  for (const { http, grpc } of Object.values(meanings)) {
    assert.ok(http >= 400 && http < 600);
    assert.ok(grpcStatus[grpc] > 0);
  }
});
