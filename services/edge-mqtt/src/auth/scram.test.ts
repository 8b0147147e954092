import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import { nameBytes, ScramExchange, scramBytes } from './scram.ts';
import { parseScramUsers, ScramUsers } from './scram-users.ts';
import { ScramClient, scramUser } from './testing.ts';

const key = Buffer.alloc(32, 7);
const users = new ScramUsers(key);
users.replace(
  parseScramUsers(
    JSON.stringify([
      scramUser('user', 'pencil', { salt: Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64') }),
      scramUser('a=b,c', 'pencil', { iterations: 5_000 }),
    ]),
  ),
);

function open(o: { readonly nonce?: string; readonly require?: () => void } = {}) {
  const failed: string[] = [];
  const exchange = new ScramExchange({
    find: (name) => users.find(name),
    pretend: (name) => users.pretend(name),
    require: o.require ?? (() => {}),
    onFailed: (name) => failed.push(name),
    onKnown: () => {},
    ...(o.nonce !== undefined && { nonce: () => o.nonce as string }),
  });
  const say = async (text: string | Buffer): Promise<string> => {
    const { data, kind } = await exchange.next(Buffer.from(text as string, 'latin1'));
    return `${kind} ${data?.toString() ?? ''}`;
  };
  return { exchange, say, failed };
}

const refused = (says: RegExp) => (error: unknown) =>
  error instanceof PushfleetError && error.code === 'unauthenticated' && says.test(error.message);

suite('SCRAM-SHA-256', () => {
  test('the exchange of RFC 7677 section 3', async () => {
    const { say } = open({ nonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0' });
    assert.equal(
      await say('n,,n=user,r=rOprNGfwEbeRWgbNEkqO'),
      'continue r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    );
    assert.equal(
      await say(
        'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
      ),
      'known v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
    );
  });

  test('with a client that others wrote: the right password, names that have to be escaped, a wrong one', async () => {
    for (const [name, password, known] of [
      ['user', 'pencil', true],
      ['a=b,c', 'pencil', true],
      ['user', 'Pencil', false],
      ['nobody', 'pencil', false],
    ] as const) {
      const { exchange, failed } = open();
      const client = new ScramClient(name, password);
      const answer = await exchange.next(await client.next(undefined));
      assert.equal(answer.kind, 'continue');
      const last = exchange.next(await client.next(answer.data));
      if (known) {
        const turn = await last;
        // It checks what the server proves of itself.
        await client.next(turn.data);
        assert.deepEqual([client.done, turn.kind === 'known' && turn.grant.subject], [true, name]);
      } else await assert.rejects(last, refused(/^The user name or the password is wrong\.$/));
      assert.deepEqual(failed, known ? [] : [name]);
    }
  });

  test('is told nothing of whether a name is known: salt and iterations stay, of the kind that users have', async () => {
    const challenge = async (name: string): Promise<string> => {
      const answer = await open({ nonce: '' }).say(`n,,n=${name},r=x`);
      return answer.slice('continue r=x,'.length);
    };
    const kinds = new Set<string>();
    for (let i = 0; i < 50; i++) {
      const name = `nobody${i}`;
      const one = await challenge(name);
      assert.equal(await challenge(name), one);
      const [, salt = '', iterations] = /^s=([^,]+),i=(\d+)$/.exec(one) ?? [];
      kinds.add(`${Buffer.from(salt, 'base64').length} ${iterations}`);
    }
    assert.deepEqual([...kinds].sort(), ['16 4096', '16 5000']);
    const another = new ScramUsers(Buffer.alloc(32, 8));
    assert.notDeepEqual(another.pretend('nobody').salt, users.pretend('nobody').salt);
  });

  test('first messages that are none (RFC 5802 section 7)', async () => {
    const wrong = [
      ['', /printable ASCII/],
      ['n,,n=us\u00e9r,r=x', /printable ASCII/],
      ['n,,n=user,r=x\u0000', /printable ASCII/],
      // Channel binding, which is not offered.
      ['p=tls-unique,,n=user,r=x', /without channel binding/],
      ['x,,n=user,r=x', /without channel binding/],
      ['n=user,r=x', /without channel binding/],
      ['n,,n=,r=x', /without channel binding/],
      ['n,,n=user', /without channel binding/],
      ['n,,n=user,r=', /without channel binding/],
      ['n,,n=user,r=a b', /without channel binding/],
      // "=" that is followed by neither 2C nor 3D: section 5.1.
      ['n,,n=us=er,r=x', /without channel binding/],
      ['n,,n=us=2cer,r=x', /without channel binding/],
      // An extension that has to be understood.
      ['n,,m=x,n=user,r=x', /without channel binding/],
      ['n,a=other,n=user,r=x', /authorization identity/],
      [`n,,n=${'u'.repeat(nameBytes + 1)},r=x`, /user name/],
      [`n,,n=user,r=${'x'.repeat(scramBytes - 11)}`, /printable ASCII/],
    ] as const;
    for (const [text, says] of wrong) await assert.rejects(open().say(text), refused(says), text);
    const right = [
      'y,,n=user,r=x',
      'n,a=user,n=user,r=x',
      'n,,n=user,r=x,t=1',
      `n,,n=${'u'.repeat(nameBytes)},r=x`,
      `n,,n=user,r=${'x'.repeat(scramBytes - 12)}`,
    ];
    for (const text of right) assert.match(await open().say(text), /^continue r=x/, text);
  });

  test('last messages that do not follow from the first, and are not counted as guesses', async () => {
    const proof = Buffer.alloc(32).toString('base64');
    for (const text of [
      '',
      'c=biws,r=xy',
      `c=biws,r=x,p=${proof}`,
      `c=eSws,r=xy,p=${proof}`,
      `c=biws,r=xyz,p=${proof}`,
      `r=xy,c=biws,p=${proof}`,
      `c=biws,r=xy,m=1,p=${proof}`,
      `c=biws,r=xy,p=${proof},t=1`,
      'c=biws,r=xy,p=AAAA',
      `c=biws,r=xy,p=${proof.replaceAll('A', '*')}`,
    ]) {
      const { say, failed } = open({ nonce: 'y' });
      await say('n,,n=user,r=x');
      await assert.rejects(say(text), refused(/does not follow|printable ASCII/), text);
      assert.deepEqual(failed, []);
    }
    const { say, failed } = open({ nonce: 'y' });
    await say('n,,n=user,r=x');
    await assert.rejects(say(`c=biws,r=xy,t=1,p=${proof}`), refused(/wrong/));
    assert.deepEqual(failed, ['user']);
  });

  test('no proof is looked at of a name that was guessed too often', async () => {
    const require = () => {
      throw new PushfleetError('rate_limited', 'Too often.');
    };
    const { exchange, failed } = open({ require });
    const client = new ScramClient('user', 'pencil');
    const { data } = await exchange.next(await client.next(undefined));
    await assert.rejects(exchange.next(await client.next(data)), { code: 'rate_limited' });
    assert.deepEqual(failed, []);
  });

  test('every exchange has another nonce', async () => {
    const answers = await Promise.all([1, 2].map(() => open().say('n,,n=user,r=x')));
    assert.notEqual(answers[0], answers[1]);
  });
});
