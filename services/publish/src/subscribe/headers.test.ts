import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, test } from 'node:test';
import type { PushfleetError } from '@pushfleet/core';
import { answerHeaders, readSubscribe, readUnsubscribe } from './headers.ts';

const id = '0f8fad5b-d9cb-469f-a165-70867728950e';
const sid = `uuid:${id}`;
const callback = '<https://a.example/events>';
const gena = { nt: 'upnp:event', callback };
const url = 'https://a.example/in';
const webdav = { 'notification-type': 'update', 'call-back': url };
/** As node:http hands bytes over. */
const latin1 = (text: string): string => Buffer.from(text).toString('latin1');
const long = (bytes: number): string => `https://a.example/${'x'.repeat(bytes - 18)}`;

const codeOf = (read: () => unknown): string => {
  try {
    read();
    return 'none';
  } catch (error) {
    return (error as PushfleetError).code;
  }
};

describe('SUBSCRIBE of GENA', () => {
  test('names call-backs, in their order, and a lease', () => {
    assert.deepEqual(readSubscribe({ ...gena, timeout: 'Second-1800' }), {
      ...{ kind: 'new', form: 'gena', leaseMs: 1_800_000 },
      callbacks: ['https://a.example/events'],
    });
    const two = '<http://a.example/> \t<https://b.example/?x=1>';
    const asked = readSubscribe({ ...gena, callback: two, timeout: 'second-INFINITE' });
    assert.deepEqual(asked.kind === 'new' && asked.callbacks, [
      'http://a.example/',
      'https://b.example/?x=1',
    ]);
    assert.equal(asked.leaseMs, Number.POSITIVE_INFINITY);
    assert.equal(readSubscribe(gena).leaseMs, undefined);
  });

  test('renews by SID alone, with a lease', () => {
    const renewal = { kind: 'renewal', form: 'gena', id };
    assert.deepEqual(readSubscribe({ sid, timeout: 'Second-60' }), { ...renewal, leaseMs: 60_000 });
    assert.deepEqual(readSubscribe({ sid: sid.toUpperCase() }), { ...renewal, leaseMs: undefined });
  });

  const unmet: readonly [string, IncomingHttpHeaders][] = [
    ['nothing', {}],
    ['no NT', { callback }],
    ['another NT', { ...gena, nt: 'upnp:rootdevice' }],
    ['an empty NT', { ...gena, nt: '' }],
    ['no CALLBACK', { nt: 'upnp:event' }],
    ['an empty CALLBACK', { ...gena, callback: '' }],
    ['a CALLBACK without brackets', { ...gena, callback: url }],
    ['a CALLBACK that is no URL', { ...gena, callback: '<events>' }],
    ['an empty URL', { ...gena, callback: '<>' }],
    ['text behind a URL', { ...gena, callback: `${callback}, <https://b.example/>` }],
    ['raw UTF-8', { ...gena, callback: `<${latin1('https://bücher.example/')}>` }],
    ['a fragment', { ...gena, callback: '<https://a.example/#b>' }],
    ['httpu', { ...gena, callback: '<httpu://239.255.255.250:1900/>' }],
    ['mailto', { ...gena, callback: '<mailto:a@a.example>' }],
    ['nine URLs', { ...gena, callback: callback.repeat(9) }],
    ['a URL of 2,049 bytes', { ...gena, callback: `<${long(2_049)}>` }],
    ['an empty SID', { sid: '' }],
    ['a SID without uuid:', { sid: id }],
    ['a SID that is none', { sid: 'uuid:1' }],
  ];
  for (const [what, headers] of unmet) {
    test(`with ${what} fails its preconditions`, () => {
      assert.equal(
        codeOf(() => readSubscribe(headers)),
        'precondition_failed',
      );
    });
  }

  test('takes eight URLs, and one of 2,048 bytes', () => {
    for (const good of [callback.repeat(8), `<${long(2_048)}>`]) {
      assert.equal(readSubscribe({ ...gena, callback: good }).kind, 'new');
    }
  });

  test('has a call-back that is named twice asked once', () => {
    const asked = readSubscribe({ ...gena, callback: `${callback}<https://b.example/>${callback}` });
    assert.deepEqual(asked.kind === 'new' && asked.callbacks, [
      'https://a.example/events',
      'https://b.example/',
    ]);
  });

  test('says why httpu is not called', () => {
    assert.throws(() => readSubscribe({ ...gena, callback: '<httpu://a.example/>' }), /HTTP over UDP/);
  });

  test('reads 64 KiB of nonsense at once', () => {
    const text = `${callback}${' '.repeat(60_000)}x`;
    assert.equal(
      codeOf(() => readSubscribe({ ...gena, callback: text })),
      'precondition_failed',
    );
  });

  for (const [what, headers] of [
    ['SID and NT', { sid, nt: 'upnp:event' }],
    ['SID and CALLBACK', { sid, callback }],
    ['an empty SID and CALLBACK', { sid: '', callback }],
    ['headers of both forms', { ...gena, 'call-back': url }],
    ['a TIMEOUT without unit', { ...gena, timeout: '1800' }],
    ['a TIMEOUT that is no number', { ...gena, timeout: 'Second-x' }],
    ['a TIMEOUT of eleven digits', { ...gena, timeout: 'Second-12345678901' }],
  ] as const) {
    test(`with ${what} is a bad request`, () => {
      assert.equal(
        codeOf(() => readSubscribe(headers)),
        'request_invalid',
      );
    });
  }
});

describe('SUBSCRIBE of WebDAV', () => {
  test('names a call-back and a lifetime', () => {
    const asked = { kind: 'new', form: 'webdav', callbacks: [url] };
    assert.deepEqual(readSubscribe({ ...webdav, 'subscription-lifetime': '3600' }), {
      ...asked,
      leaseMs: 3_600_000,
    });
    const other = {
      ...webdav,
      'notification-type': 'Update/NewMember',
      depth: '0',
      'notification-delay': '5',
    };
    assert.deepEqual(readSubscribe(other), { ...asked, leaseMs: undefined });
  });

  test('renews by Subscription-ID', () => {
    const headers = { 'subscription-id': id, 'subscription-lifetime': '60' };
    assert.deepEqual(readSubscribe(headers), { kind: 'renewal', form: 'webdav', id, leaseMs: 60_000 });
  });

  for (const [what, headers, code] of [
    ['no Notification-Type', { 'call-back': url }, 'request_invalid'],
    ['delete', { ...webdav, 'notification-type': 'delete' }, 'request_invalid'],
    ['Depth 1', { ...webdav, depth: '1' }, 'request_invalid'],
    ['a lifetime that is no number', { ...webdav, 'subscription-lifetime': 'infinite' }, 'request_invalid'],
    ['an id and a type', { ...webdav, 'subscription-id': id, 'call-back': undefined }, 'request_invalid'],
    ['an id and a call-back', { 'subscription-id': id, 'call-back': url }, 'request_invalid'],
    ['no Call-Back', { 'notification-type': 'update' }, 'precondition_failed'],
    ['httpu', { ...webdav, 'call-back': 'httpu://a.example:8080/510' }, 'precondition_failed'],
    ['raw UTF-8', { ...webdav, 'call-back': latin1('https://a.example/ü') }, 'precondition_failed'],
    ['a Call-Back in brackets', { ...webdav, 'call-back': callback }, 'precondition_failed'],
    ['an id that is none', { 'subscription-id': '15' }, 'precondition_failed'],
    ['two ids', { 'subscription-id': `${id},${id}` }, 'precondition_failed'],
  ] as const) {
    test(`with ${what} is refused`, () => {
      assert.equal(
        codeOf(() => readSubscribe(headers)),
        code,
      );
    });
  }

  test('says that there is no POLL to do without a call-back', () => {
    assert.throws(() => readSubscribe({ 'notification-type': 'update' }), /POLL is not offered/);
  });
});

describe('UNSUBSCRIBE', () => {
  test('names a subscription in either form', () => {
    assert.deepEqual(readUnsubscribe({ sid }), { form: 'gena', id });
    assert.deepEqual(readUnsubscribe({ 'subscription-id': id }), { form: 'webdav', id });
  });

  for (const [headers, code] of [
    [{}, 'precondition_failed'],
    [{ sid: '' }, 'precondition_failed'],
    [{ sid: 'uuid:' }, 'precondition_failed'],
    [{ sid, nt: 'upnp:event' }, 'request_invalid'],
    [{ sid, callback }, 'request_invalid'],
    [{ sid, 'subscription-id': id }, 'request_invalid'],
    [{ 'subscription-id': id, 'notification-type': 'update' }, 'request_invalid'],
  ] as const) {
    test(`with ${JSON.stringify(headers)} is refused`, () => {
      assert.equal(
        codeOf(() => readUnsubscribe(headers)),
        code,
      );
    });
  }
});

test('an answer has the identifier and what was granted, in the words of its form', () => {
  assert.deepEqual(answerHeaders('gena', id, 1_800_999), { sid, timeout: 'Second-1800' });
  assert.deepEqual(answerHeaders('webdav', id, 60_000), {
    'subscription-id': id,
    'subscription-lifetime': '60',
  });
});
