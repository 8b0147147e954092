import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CallError, type OutboundAnswer } from '@pushfleet/outbound';
import { captured, judge, judgeFailure } from './verdict.ts';

const answer = (status: number, headers: Readonly<Record<string, string>> = {}): OutboundAnswer => ({
  ...{ status, headers },
  body: new Uint8Array(),
  truncated: false,
});
const verdict = (status: number, headers = {}) => judge(answer(status, headers), 0).verdict;

describe('the verdict of an answer', () => {
  for (const [name, statuses] of [
    ['delivered', [200, 201, 202, 204, 226, 299]],
    ['gone', [410]],
    ['throttled', [429, 502, 504]],
    ['failed', [199, 300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 413, 415, 422, 500, 501, 503, 599]],
  ] as const) {
    test(`${name}: ${statuses.join(', ')}`, () => {
      for (const status of statuses) assert.equal(verdict(status), name, String(status));
    });
  }

  test('Retry-After makes any refusal but 410 a request for less', () => {
    for (const status of [302, 400, 403, 429, 500, 503]) {
      const { verdict, retryAfterMs } = judge(answer(status, { 'retry-after': '7' }), 0);
      assert.deepEqual([verdict, retryAfterMs], ['throttled', 7_000], String(status));
    }
    assert.equal(verdict(410, { 'retry-after': '7' }), 'gone');
    assert.equal(verdict(200, { 'retry-after': '7' }), 'delivered');
    assert.equal(verdict(503, { 'retry-after': 'soon' }), 'failed');
    assert.equal(judge(answer(429, { 'retry-after': 'soon' }), 0).retryAfterMs, undefined);
  });

  test('a refusal says what to do about it', () => {
    assert.equal(judge(answer(204), 0).error, undefined);
    assert.match(judge(answer(301), 0).error ?? '', /301.*not followed.*final URL/);
    assert.match(judge(answer(500), 0).error ?? '', /500, which is not a success/);
  });
});

test('where no answer came, the attempt failed, and a rule of the fleet is named', () => {
  const refused = new CallError('refused', 'The address 10.0.0.1 is not called.');
  assert.deepEqual(judgeFailure(refused), { verdict: 'failed', error: refused.message });
  const bug = judgeFailure(new TypeError('secret of somebody'));
  assert.equal(bug.verdict, 'failed');
  assert.doesNotMatch(bug.error ?? '', /somebody/);
});

describe('what is kept of an answer', () => {
  const of = (body: Uint8Array, truncated = false) => captured({ ...answer(200), body, truncated });

  test('16 KiB of text, and no half of a character at its end', () => {
    assert.deepEqual(of(Buffer.from('ok €')), { headers: {}, body: 'ok €', truncated: false });
    assert.equal(of(Buffer.alloc(16_384, 'x')).truncated, false);
    const more = of(Buffer.alloc(16_385, 'x'));
    assert.deepEqual([more.body.length, more.truncated], [16_384, true]);
    const euro = of(Buffer.concat([Buffer.alloc(16_382, 'x'), Buffer.from('€€')]));
    assert.equal(euro.body, 'x'.repeat(16_382));
    assert.equal(of(Buffer.from('ab'), true).truncated, true);
  });

  test('bytes that are no UTF-8 are replaced', () => {
    assert.equal(of(Buffer.from([0x61, 0xff, 0x62])).body, 'a\ufffdb');
  });

  test('32 headers of 256 characters, no cookie, no proof of a handshake', () => {
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x-${i}`, 'v'.repeat(300)]));
    const { headers } = captured(answer(200, { 'set-cookie': 's=1', 'x-hook-secret': 'y', ...many }));
    assert.equal(Object.keys(headers).length, 32);
    assert.equal(headers['x-0']?.length, 256);
    assert.equal('set-cookie' in headers || 'x-hook-secret' in headers, false);
  });
});
