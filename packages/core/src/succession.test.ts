import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorCode, PushfleetError } from './error.ts';
import { limits } from './limits.ts';
import { Succession } from './succession.ts';

const refusal = (code: ErrorCode = 'rate_limited') =>
  new PushfleetError(code, `It is ${code}.`, { retryAfterMs: 500, detail: { limit: 3 } });

describe('a succession', () => {
  test('takes none behind one of its topic that has to be sent again', () => {
    const succession = new Succession();
    succession.require('a');
    succession.refused('a', refusal());
    assert.throws(() => succession.require('a'), {
      ...{ code: 'rate_limited', retryAfterMs: 500, detail: { limit: 3 } },
      message:
        /^Nothing was stored, since one sent before it .* has to come first: It is rate_limited\. Send them again/,
    });
    succession.require('b');
  });

  test('says why once, however many are refused behind it', () => {
    const succession = new Succession();
    succession.refused('a', refusal());
    for (let i = 0; i < 3; i++) {
      try {
        succession.require('a');
      } catch (behind) {
        succession.refused('a', PushfleetError.from(behind));
      }
    }
    assert.throws(() => succession.require('a'), /first: It is/);
  });

  test('goes on behind one that sending again would not help', () => {
    const succession = new Succession();
    succession.refused('a', refusal('payload_too_large'));
    succession.require('a');
  });

  test('knows what it goes on, which does not hear of its refusals', () => {
    const stream = new Succession();
    const call = new Succession(stream);
    stream.refused('a', refusal());
    call.refused('b', refusal());
    for (const topic of ['a', 'b']) assert.throws(() => call.require(topic), { code: 'rate_limited' });
    stream.require('b');
  });

  test('takes note of so many topics, of none that cannot be one, and then of all', () => {
    const succession = new Succession();
    succession.refused('x'.repeat(limits.topicBytes + 1), refusal());
    for (let i = 0; i < limits.batchDrafts; i++) succession.refused(`t/${i}`, refusal());
    succession.require('one more');
    succession.require('x'.repeat(limits.topicBytes + 1));
    succession.refused('one more', refusal());
    assert.throws(() => succession.require('any other'), {
      code: 'rate_limited',
      message: /^Nothing was stored, since drafts on more than 1000 topics were refused before it: /,
    });
  });
});
