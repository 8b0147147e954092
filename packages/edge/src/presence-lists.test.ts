import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type ListBounds, listBounds, PresenceLists } from './presence-lists.ts';

interface Asked {
  readonly name: string;
  readonly answer: Promise<string>;
  end(error?: Error): void;
}

/** Lists that last until they are told to end. */
function desk(bounds: Partial<ListBounds> = {}) {
  const lists = new PresenceLists({ ...listBounds, ...bounds });
  const begun: Asked[] = [];
  const ask = (asker: string, name = asker): Asked => {
    const ended = Promise.withResolvers<void>();
    const answer = lists.run(asker, async () => {
      begun.push(asked);
      await ended.promise;
      return name;
    });
    answer.catch(() => {});
    const asked: Asked = {
      name,
      answer,
      end: (error) => (error === undefined ? ended.resolve() : ended.reject(error)),
    };
    return asked;
  };
  const names = async (): Promise<string[]> => {
    await turn();
    return begun.map(({ name }) => name);
  };
  return { ask, begun, names };
}

describe('lists of presence', () => {
  it('are under way up to a number for one asker, the others in their order', async () => {
    const { ask, begun, names } = desk({ runningPerAsker: 2 });
    const asked = ['a1', 'a2', 'a3', 'a4'].map((name) => ask('a', name));
    assert.deepEqual(await names(), ['a1', 'a2']);
    begun[1]?.end();
    assert.equal(await asked[1]?.answer, 'a2');
    assert.deepEqual(await names(), ['a1', 'a2', 'a3']);
    begun[0]?.end(new Error('no'));
    await assert.rejects(asked[0]?.answer as Promise<string>, /no/);
    assert.deepEqual(await names(), ['a1', 'a2', 'a3', 'a4'], 'one that failed is over');
  });

  it('are under way up to a number for all, askers in turn', async () => {
    const { ask, begun, names } = desk({ running: 3, runningPerAsker: 2 });
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) ask('a', name);
    for (const name of ['b', 'c', 'd']) ask(name);
    assert.deepEqual(await names(), ['a1', 'a2', 'b']);
    // Behind d nobody begins: a has its two.
    for (const [n, last] of ['c', 'd', 'a3', 'a4', 'a4', 'a5'].entries()) {
      begun[n]?.end();
      assert.equal((await names()).at(-1), last);
    }
  });

  it('wait up to a number, of one asker and of all', async () => {
    const { ask, begun, names } = desk({ running: 1, waiting: 3, waitingPerAsker: 2 });
    const tooMany = (limit: number) => ({ code: 'rate_limited', retryAfterMs: 1_000, detail: { limit } });
    for (let n = 0; n < 3; n++) ask('a');
    await assert.rejects(ask('a').answer, tooMany(2));
    ask('b');
    await assert.rejects(ask('b').answer, tooMany(3));
    await assert.rejects(ask('c').answer, tooMany(3));
    assert.deepEqual(await names(), ['a']);
    begun[0]?.end();
    assert.deepEqual(await names(), ['a', 'a']);
    ask('c');
    await assert.rejects(ask('c').answer, tooMany(3));
    for (let n = 1; n < 5; n++) {
      begun[n]?.end();
      await names();
    }
    assert.deepEqual((await names()).toSorted(), ['a', 'a', 'a', 'b', 'c'], 'who was refused is not there');
    ask('c');
    assert.equal((await names()).length, 6);
  });

  it('are not begun where they have waited for too long', async () => {
    const { ask, begun, names } = desk({ running: 1, patienceMs: 0 });
    // Nothing has waited yet, and yet its time is up.
    await assert.rejects(ask('a').answer, { code: 'unavailable' });
    const other = desk({ running: 1, patienceMs: 60_000 });
    other.ask('a', 'first');
    other.ask('a', 'second');
    await other.names();
    other.begun[0]?.end();
    assert.deepEqual(await other.names(), ['first', 'second']);
    assert.deepEqual([begun.length, await names()], [0, []]);
  });
});
