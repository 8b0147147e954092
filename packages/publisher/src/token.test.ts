import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TokenSource } from './token.ts';

/** A JWT as far as the publisher reads one. */
const jwt = (name: string, exp?: number): string =>
  `${name}.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.signature`;

function source(tokens: (string | Error)[]) {
  const clock = { now: 1_000_000 };
  const asked: number[] = [];
  const ask = async (): Promise<string> => {
    asked.push(clock.now);
    const token = tokens.shift();
    if (token === undefined || token instanceof Error) throw token ?? new Error('none left');
    return token;
  };
  return { clock, asked, tokens: new TokenSource(ask, () => clock.now) };
}

describe('a token function', () => {
  it('is asked in the last minute of a token, which is used until the new one is there', async () => {
    const [first, second] = [jwt('first', 1_600), jwt('second', 9_999)];
    const { clock, asked, tokens } = source([first, second]);
    assert.deepEqual(await Promise.all([tokens.get(), tokens.get()]), [first, first]);
    clock.now = 1_539_000;
    assert.equal(await tokens.get(), first);
    assert.deepEqual(asked, [1_000_000]);
    clock.now = 1_540_000;
    assert.equal(await tokens.get(), first);
    assert.deepEqual(asked, [1_000_000, 1_540_000]);
    assert.equal(await tokens.get(), second);
  });

  it('is waited for where the token has expired', async () => {
    const { clock, tokens } = source([jwt('first', 1_001), jwt('second')]);
    await tokens.get();
    clock.now = 1_001_000;
    assert.equal(await tokens.get(), jwt('second'));
  });

  it('that fails is not asked again within a second, and changes nothing for a token that is good', async () => {
    const good = jwt('good', 1_600);
    const { clock, asked, tokens } = source([new Error('away'), good, new Error('away')]);
    for (const wait of [0, 999]) {
      clock.now += wait;
      await assert.rejects(tokens.get(), { code: 'unavailable', cause: new Error('away') });
    }
    clock.now += 1;
    assert.equal(await tokens.get(), good);
    clock.now = 1_590_000;
    assert.equal(await tokens.get(), good);
    await Promise.resolve();
    assert.equal(await tokens.get(), good);
    assert.equal(asked.length, 3);
  });

  it('that gives the token again that was refused has nothing better', async () => {
    const { tokens } = source(['same', 'same', 'other']);
    assert.equal(await tokens.get(), 'same');
    assert.equal(await tokens.replace('same'), undefined);
    assert.equal(await tokens.replace('same'), 'other');
    assert.equal(await tokens.replace('same'), 'other', 'somebody replaced it before');
    assert.equal(await new TokenSource('one').replace('one'), undefined);
  });
});
