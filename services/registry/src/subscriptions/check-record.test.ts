import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PushfleetError } from '@pushfleet/core';
import {
  NotifyForm,
  type NotifyTarget,
  SigningScheme,
  type Subscription,
  type WebhookTarget,
  type WebSubMode,
  type WebSubRequest,
} from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import { checkEnd, checkRecord, checkSize } from './check-record.ts';
import { requireSecrets } from './check-target.ts';
import { draft, notified, webhook, webpush, websub } from './testing.ts';

const notify = (over: Partial<NotifyTarget>): Subscription =>
  draft({ target: notified({ notify: { callbacks: [], form: NotifyForm.NOTIFY_FORM_GENA, ...over } }) });

function hook(over: Partial<WebhookTarget>): Subscription {
  return draft({ target: webhook(over) });
}

const secret = (bytes: number, keyId = 'one', scheme = SigningScheme.SIGNING_SCHEME_HMAC_SHA256) => ({
  keyId,
  scheme: scheme as typeof SigningScheme.SIGNING_SCHEME_HMAC_SHA256,
  secret: Buffer.alloc(bytes, 1),
  publicKey: Buffer.alloc(scheme === SigningScheme.SIGNING_SCHEME_HMAC_SHA256 ? 0 : 32),
  createdAt: undefined,
  expiresAt: undefined,
});

/** A record of another target with a change made to it. */
function of<T>(target: Subscription['target'], over: T): Subscription {
  const name = target?.$case as string;
  const fields = { ...(target as unknown as Record<string, object>)[name], ...over };
  return draft({ target: { $case: name, [name]: fields } as unknown as Subscription['target'] });
}

const url = (bytes: number): string => `https://a.example/${'x'.repeat(bytes - 18)}`;
const headers = (count: number, value = 'v') =>
  Array.from({ length: count }, (_, n) => ({ name: `x-${n}`, value }));
const authority = (grants: number, over = {}) => ({
  subject: 'alice',
  tokenId: '',
  issuedAt: undefined,
  subscribeGrants: Array.from({ length: grants }, () => 'a'),
  ...over,
});

// What each rule lets pass at its border, and what is the first beyond it.
const request = (over: Partial<WebSubRequest> = {}): WebSubRequest => {
  const target = websub();
  const [held] = target?.$case === 'websub' ? target.websub.requests : [];
  return { ...(held as WebSubRequest), ...over };
};
const asks = (over: Partial<WebSubRequest>): Subscription => of(websub(), { requests: [request(over)] });

const borders: readonly [string, Subscription, Subscription][] = [
  ['filter', draft({ filter: 'x'.repeat(1_024) }), draft({ filter: 'x'.repeat(1_025) })],
  ['a filter’s wildcard', draft({ filter: 'a/#' }), draft({ filter: 'a/#/b' })],
  ['description', draft({ description: 'ü'.repeat(512) }), draft({ description: 'ü'.repeat(513) })],
  ['a NUL', draft({ description: '' }), draft({ description: '\0' })],
  ['a lone surrogate', draft({ description: '😀' }), draft({ description: '\ud800' })],
  ['state', draft(), draft({ state: 0 })],
  ['a known state', draft({ state: 4 }), draft({ state: 5 as 4 })],
  ['state_reason', draft({ stateReason: 'x'.repeat(512) }), draft({ stateReason: 'x'.repeat(513) })],
  ['start_cursor', draft({ startCursor: 'g-1-1' }), draft({ startCursor: 'now' })],
  [
    'selection',
    draft({ selection: { types: ['a'], expression: 'type == "a"' } }),
    draft({ selection: { types: [], expression: 'type ==' } }),
  ],
  ['authority', draft(), draft({ authority: undefined })],
  [
    'subject',
    draft({ authority: authority(1, { subject: 'x'.repeat(256) }) }),
    draft({ authority: authority(1, { subject: 'x'.repeat(257) }) }),
  ],
  ['no subject', draft(), draft({ authority: authority(1, { subject: '' }) })],
  ['grants', draft({ authority: authority(100) }), draft({ authority: authority(101) })],
  ['no grants', draft({ authority: authority(1) }), draft({ authority: authority(0) })],
  ['a grant', draft(), draft({ authority: authority(1, { subscribeGrants: ['a+'] }) })],
  ['target', draft(), draft({ target: undefined })],
  ['url', hook({ url: url(2_048) }), hook({ url: url(2_049) })],
  ['a scheme', hook({ url: 'http://a.example' }), hook({ url: 'ftp://a.example' })],
  ['a relative url', hook({ url: 'https://a' }), hook({ url: '/hook' })],
  ['userinfo', hook({ url: 'https://a/@' }), hook({ url: 'https://user@a/' })],
  ['a fragment', hook({ url: 'https://a/%23' }), hook({ url: 'https://a/#b' })],
  ['white space in a url', hook({ url: 'https://a/%20' }), hook({ url: 'https://a/ b' })],
  ['format', hook({ format: 3 }), hook({ format: 4 as 3 })],
  ['no format', hook({ format: 1 }), hook({ format: 0 })],
  ['handshake', hook({ handshake: 3 }), hook({ handshake: 0 })],
  ['rate', hook({ ratePerSecond: 10_000 }), hook({ ratePerSecond: 10_001 })],
  ['concurrency', hook({ concurrency: 1_000 }), hook({ concurrency: 1_001 })],
  ['timeout', hook({ timeoutMs: 120_000 }), hook({ timeoutMs: 120_001 })],
  ['headers', hook({ headers: headers(32) }), hook({ headers: headers(33) })],
  [
    'the bytes of headers',
    hook({ headers: headers(8, 'x'.repeat(1_021)) }),
    hook({ headers: [...headers(8, 'x'.repeat(1_021)), { name: 'y', value: 'z' }] }),
  ],
  [
    'a header’s name',
    hook({ headers: [{ name: 'x'.repeat(128), value: 'v' }] }),
    hook({ headers: [{ name: 'x'.repeat(129), value: 'v' }] }),
  ],
  [
    'a token',
    hook({ headers: [{ name: 'x-y', value: 'v' }] }),
    hook({ headers: [{ name: 'x y', value: 'v' }] }),
  ],
  [
    'a header of ours',
    hook({ headers: [{ name: 'hosts', value: 'v' }] }),
    hook({ headers: [{ name: 'Host', value: 'v' }] }),
  ],
  [
    'a signature',
    hook({ headers: [{ name: 'webhook', value: 'v' }] }),
    hook({ headers: [{ name: 'Webhook-Signature', value: 'v' }] }),
  ],
  [
    'a header’s value',
    hook({ headers: [{ name: 'x', value: 'a\tb' }] }),
    hook({ headers: [{ name: 'x', value: 'a\r\nb' }] }),
  ],
  [
    'a header twice',
    hook({ headers: headers(2) }),
    hook({ headers: [...headers(1), { name: 'X-0', value: 'v' }] }),
  ],
  [
    'secrets',
    hook({ secrets: [1, 2, 3].map((n) => secret(32, `k${n}`)) }),
    hook({ secrets: [1, 2, 3, 4].map((n) => secret(32, `k${n}`)) }),
  ],
  [
    'a secret twice',
    hook({ secrets: [secret(32, 'a'), secret(32, 'b')] }),
    hook({ secrets: [secret(32), secret(32)] }),
  ],
  ['a short secret', hook({ secrets: [secret(24)] }), hook({ secrets: [secret(23)] })],
  ['a long secret', hook({ secrets: [secret(64)] }), hook({ secrets: [secret(65)] })],
  [
    'an Ed25519 seed',
    hook({ secrets: [secret(32, 'e', 2 as 1)] }),
    hook({ secrets: [secret(33, 'e', 2 as 1)] }),
  ],
  [
    'a public key',
    hook({ secrets: [secret(32, 'e', 2 as 1)] }),
    hook({ secrets: [{ ...secret(32, 'e', 2 as 1), publicKey: Buffer.alloc(0) }] }),
  ],
  [
    'key_id',
    hook({ secrets: [secret(32, 'k'.repeat(64))] }),
    hook({ secrets: [secret(32, 'k'.repeat(65))] }),
  ],
  ['callback', of(websub(), { callback: 'http://a/' }), of(websub(), { callback: 'a' })],
  ['topic_url', of(websub(), { topicUrl: url(2_048) }), of(websub(), { topicUrl: url(2_049) })],
  [
    'hub.secret',
    of(websub(), { secret: Buffer.alloc(199, 1) }),
    of(websub(), { secret: Buffer.alloc(200, 1) }),
  ],
  ['signature_method', of(websub(), { signatureMethod: 'sha512' }), of(websub(), { signatureMethod: 'md5' })],
  [
    'a secret without method',
    of(websub(), { signatureMethod: '', secret: Buffer.alloc(0) }),
    of(websub(), { signatureMethod: '' }),
  ],
  [
    'requests',
    of(websub(), { requests: Array.from({ length: 8 }, (_, i) => request({ id: `r${i}` })) }),
    of(websub(), { requests: Array.from({ length: 9 }, (_, i) => request({ id: `r${i}` })) }),
  ],
  ['ids of requests', asks({}), of(websub(), { requests: [request(), request()] })],
  ['mode', asks({ mode: 2 }), asks({ mode: 3 as WebSubMode })],
  ['secret of a request', asks({ secret: Buffer.alloc(199, 1) }), asks({ secret: Buffer.alloc(200, 1) })],
  ['method of a request', asks({ signatureMethod: 'sha1' }), asks({ signatureMethod: 'md5' })],
  ['verify_token', asks({ verifyToken: Buffer.alloc(256, 1) }), asks({ verifyToken: Buffer.alloc(257, 1) })],
  ['version', of(websub(), { version: 3 }), of(websub(), { version: 0 })],
  ['endpoint', of(webpush(), { endpoint: url(2_048) }), of(webpush(), { endpoint: url(2_049) })],
  ['p256dh', of(webpush(), {}), of(webpush(), { p256dh: Buffer.alloc(65) })],
  ['auth', of(webpush(), { auth: Buffer.alloc(16, 1) }), of(webpush(), { auth: Buffer.alloc(17, 1) })],
  ['vapid_key_id', of(webpush(), { vapidKeyId: 'k' }), of(webpush(), { vapidKeyId: '' })],
  ['ttl_seconds', of(webpush(), { ttlSeconds: 2_419_200 }), of(webpush(), { ttlSeconds: 2_419_201 })],
  ['urgency', of(webpush(), { urgency: '' }), of(webpush(), { urgency: 'HIGH' })],
  [
    'callbacks',
    notify({ callbacks: Array(7).fill('http://a/') }),
    notify({ callbacks: Array(8).fill('http://a/') }),
  ],
  ['a callback', notify({ callbacks: [url(2_048)] }), notify({ callbacks: [url(2_049)] })],
  ['a form', notify({ form: 2 }), notify({ form: 3 as 2 })],
  ['the handshake of a notification', draft({ target: notified() }), hook({ handshake: 4 })],
  [
    'a notification without its handshake',
    draft({ target: notified() }),
    draft({ target: notified({ handshake: 2 }) }),
  ],
  [
    'order',
    draft({ target: notified({ ordered: false, notify: { callbacks: [], form: 2 } }) }),
    draft({ target: notified({ ordered: false }) }),
  ],
  [
    'a target of notifications alone',
    draft({ target: notified() }),
    draft({ target: { $case: 'notify', notify: { callbacks: ['http://a/'], form: 1 } } }),
  ],
];

describe('a record', () => {
  for (const [what, good, bad] of borders) {
    it(`is held to the limit of ${what}`, () => {
      checkRecord(good);
      assert.throws(
        () => checkRecord(bad),
        (error: PushfleetError) => /^(request|filter|cursor)_invalid$/.test(error.code),
      );
    });
  }

  it('may leave a secret empty where one is held, and not where none is', () => {
    for (const record of [
      hook({ secrets: [secret(0)] }),
      hook({ headers: [{ name: 'x', value: '' }] }),
      of(websub(), { secret: Buffer.alloc(0) }),
      asks({ secret: Buffer.alloc(0) }),
      of(webpush(), { endpoint: '' }),
      of(webpush(), { auth: Buffer.alloc(0) }),
    ]) {
      checkRecord(record);
      assert.throws(() => requireSecrets(record), { code: 'request_invalid' });
    }
    for (const target of [webhook(), websub(), webpush(), notified()]) requireSecrets(draft({ target }));
    requireSecrets(of(websub(), { signatureMethod: '', secret: Buffer.alloc(0) }));
    requireSecrets(asks({ signatureMethod: '', secret: Buffer.alloc(0), verifyToken: Buffer.alloc(0) }));
  });

  it('ends ahead, and within ten years', () => {
    const now = Date.now();
    const at = (ms: number) => draft({ expiresAt: new Date(now + ms) });
    const tenYears = 10 * 366 * 86_400_000;
    for (const record of [draft(), at(1), at(tenYears)]) checkEnd(record, now);
    for (const record of [at(0), at(-1), at(tenYears + 1), draft({ expiresAt: new Date(Number.NaN) })]) {
      assert.throws(() => checkEnd(record, now), { code: 'request_invalid' });
    }
  });

  it('is at most 16 KiB as it is stored', () => {
    const grants = (bytes: number) =>
      draft({ authority: authority(1, { subscribeGrants: ['x'.repeat(bytes)] }) });
    const spare = 16_384 - checkSize(grants(4_096)).length;
    assert.equal(checkSize(grants(4_096 + spare)).length, 16_384);
    assert.throws(() => checkSize(grants(4_096 + spare + 1)), { code: 'request_invalid', message: /16385/ });
  });
});
