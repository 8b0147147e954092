import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Taken } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import { createLog } from '@pushfleet/runtime';
import { type Due, encodeDue } from './notices.ts';
import { Turns } from './turns.ts';

const log = createLog({ name: 'test', level: 'silent' });
const never = new AbortController().signal;

/** An entry in hand, and what was answered. */
function entry(url: string, attempts = 0, body = encodeDue({ url, attempts })): Taken & { said: string[] } {
  const said: string[] = [];
  return {
    ...{ body, time: 0, again: false, first: false, said },
    done: () => void said.push('done'),
    back: () => void said.push('back'),
    extend: () => void said.push('extend'),
  };
}

/** Turns whose fetches last until they are ended. */
function turns(t: TestContext, apartMs = 0) {
  const begun: Due[] = [];
  const open = new Map<string, PromiseWithResolvers<void>>();
  const fetch = (due: Due): Promise<void> => {
    assert.ok(!open.has(due.url), 'one fetch of a feed at a time');
    begun.push(due);
    const ending = Promise.withResolvers<void>();
    open.set(due.url, ending);
    return ending.promise.finally(() => open.delete(due.url));
  };
  const all = new Turns({ fetch, apartMs, log });
  t.after(() => all.leave());
  return {
    all,
    begun,
    end: (url: string) => open.get(url)?.resolve(),
    fail: (url: string) => open.get(url)?.reject(new TypeError('a bug')),
  };
}

describe('turns of the feeds of a slot', () => {
  test('notices that come while a feed is fetched are one more fetch, which begins after all of them', async (t) => {
    const { all, begun, end } = turns(t);
    const entries = Array.from({ length: 1_000 }, () => entry('a'));
    for (const one of entries) all.take(one);
    assert.equal(begun.length, 1);
    assert.deepEqual(entries[0]?.said, [], 'on record until its fetch is over');
    assert.deepEqual(entries[1]?.said, [], 'on record for all those behind it');
    assert.ok(entries.slice(2).every(({ said }) => said.join() === 'done'));
    end('a');
    await until(() => begun.length === 2, 'the fetch for those that came meanwhile');
    assert.deepEqual(entries[0]?.said, ['done']);
    end('a');
    await until(() => entries[1]?.said.length === 1, 'its end');
    await turn();
    assert.equal(begun.length, 2);
  });

  test('a feed that does not answer leaves room for the others of its slot, however often it is announced', async (t) => {
    const { all, begun, end } = turns(t);
    for (const slow of ['a', 'b', 'c']) for (let i = 0; i < 10; i++) all.take(entry(slow));
    for (let i = 0; i < 20; i++) {
      all.take(entry(`other ${i}`));
      await until(() => begun.at(-1)?.url === `other ${i}`, 'its fetch');
      end(`other ${i}`);
    }
    assert.equal(begun.length, 3 + 20);
  });

  test('four are fetched at once, and the others in the order in which they came', async (t) => {
    const { all, begun, end } = turns(t);
    const urls = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const url of urls) all.take(entry(url));
    assert.deepEqual(
      begun.map(({ url }) => url),
      urls.slice(0, 4),
    );
    end('c');
    end('a');
    await until(() => begun.length === 6, 'the others');
    assert.deepEqual(
      begun.map(({ url }) => url),
      urls,
    );
  });

  test('a feed rests between two fetches', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { all, begun, end } = turns(t, 60_000);
    all.take(entry('a'));
    end('a');
    all.take(entry('a'));
    for (let i = 0; i < 10; i++) await turn();
    assert.equal(begun.length, 1);
    t.mock.timers.tick(60_000);
    assert.equal(begun.length, 2);
  });

  test('a notice begins the count of failed attempts anew', (t) => {
    const { all, begun, end } = turns(t);
    for (const attempts of [4, 3, 0]) all.take(entry('a', attempts));
    end('a');
    return until(() => begun[1]?.attempts === 0, 'the second fetch');
  });

  test('what cannot be read is done with, and what failed for no known reason comes when its term ends', async (t) => {
    const { all, begun, fail } = turns(t);
    const [torn, empty, failing] = [
      entry('', 0, Buffer.from('{')),
      entry('', 0, Buffer.from('null')),
      entry('a'),
    ];
    for (const one of [torn, empty, failing]) all.take(one);
    assert.deepEqual([torn.said, empty.said], [['done'], ['done']]);
    fail('a');
    all.take(entry('a'));
    await until(() => begun.length === 2, 'the next');
    assert.deepEqual(failing.said, []);
  });

  test('stopped, it waits for what is fetched, begins no more, and gives the rest back at the end', async (t) => {
    const { all, begun, end } = turns(t);
    const [now, next, other] = [entry('a'), entry('a'), entry('b')];
    for (const one of [now, next]) all.take(one);
    let stopped = false;
    const stopping = all.stop(never).then(() => (stopped = true));
    all.take(other);
    await turn();
    assert.deepEqual([stopped, begun.length], [false, 1]);
    end('a');
    await stopping;
    assert.deepEqual([now.said, next.said, other.said], [['done'], [], []]);
    all.leave();
    assert.deepEqual([next.said, other.said], [['back'], ['back']]);
  });

  test('stopped without patience, it leaves what is fetched on record', async (t) => {
    const { all } = turns(t);
    const one = entry('a');
    all.take(one);
    const patience = new AbortController();
    const stopping = all.stop(patience.signal);
    patience.abort();
    await stopping;
    all.leave();
    assert.deepEqual(one.said, ['back']);
  });
});
