import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import { grantOf } from '../session/testing.ts';
import { BearerExchange, bearerBytes } from './oauth-bearer.ts';

const checked: string[] = [];
const tokens = {
  check: async (token: string) => {
    checked.push(token);
    if (token === 'expired') throw new PushfleetError('token_expired', 'Over.');
    return grantOf({}, 'a,b=c');
  },
};
const say = (text: string | undefined) =>
  new BearerExchange(tokens).next(text === undefined ? undefined : Buffer.from(text));

suite('OAUTHBEARER', () => {
  test('the forms of RFC 7628 section 3.1', async () => {
    for (const text of [
      'n,,\u0001auth=Bearer t\u0001\u0001',
      'y,,\u0001auth=bearer t\u0001\u0001',
      'n,a=a=2Cb=3Dc,\u0001host=server.example.com\u0001port=143\u0001auth=Bearer t\u0001\u0001',
      'n,,\u0001auth=Bearer t\u0001more=\u0001\u0001',
    ]) {
      checked.length = 0;
      const turn = await say(text);
      assert.deepEqual([turn.kind, turn.data, checked], ['known', undefined, ['t']], text);
    }
  });

  test('whatever else comes is refused', async () => {
    for (const text of [
      undefined,
      '',
      't',
      '\u0001',
      'n,,\u0001\u0001',
      'n,,\u0001auth=Bearer t\u0001',
      'n,,\u0001auth=Basic t\u0001\u0001',
      'p=x,,\u0001auth=Bearer t\u0001\u0001',
      'n,a=other,\u0001auth=Bearer t\u0001\u0001',
      'n,,\u0001xauth=Bearer t\u0001\u0001',
    ]) {
      await assert.rejects(say(text), { code: 'unauthenticated' }, JSON.stringify(text));
    }
    await assert.rejects(say('n,,\u0001auth=Bearer expired\u0001\u0001'), { code: 'token_expired' });
  });

  test('as long as it may be, and longer', async () => {
    const around = 'n,,\u0001auth=Bearer \u0001\u0001'.length;
    const text = (bytes: number) => `n,,\u0001auth=Bearer ${'t'.repeat(bytes - around)}\u0001\u0001`;
    assert.equal((await say(text(bearerBytes))).kind, 'known');
    await assert.rejects(say(text(bearerBytes + 1)), { code: 'unauthenticated' });
  });
});
