import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { createMemoryBackbone, type Ledger } from '@pushfleet/bus';
import { type RedisServer, startRedis } from '@pushfleet/contract';
import type { TopicFilter } from '@pushfleet/core';
import type { MatchAnswer } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
import type { IndexQuery } from '../subscriptions/subscription-index.ts';
import {
  cursorAt,
  end,
  openIndex,
  paused,
  put,
  suspended,
  type TestIndex,
  team,
  webhook,
  websub,
} from './testing.ts';

const question = (topic: string) => ({ namespace: team, topic, cursor: cursorAt(1_000_000), pageToken: '' });
const everything: IndexQuery = {
  ...{ namespace: team, owner: undefined, kind: undefined, filter: undefined, state: undefined },
  ...{ after: '', limit: 100 },
};

describe('RedisIndex', async () => {
  const redis: RedisServer = await startRedis();
  const open: TestIndex[] = [];
  let ledger: Ledger;
  let first: TestIndex;
  const opened = async (from: Pick<Ledger, 'get' | 'put' | 'read'> = ledger): Promise<TestIndex> => {
    const one = await openIndex(redis.url, from);
    open.push(one);
    return one;
  };
  const close = async (): Promise<void> => {
    await Promise.all(open.splice(0).map((one) => one.close()));
  };

  beforeEach(async () => {
    await close();
    await redis.restart({ empty: true });
    ledger = createMemoryBackbone().ledger('subscriptions');
    first = await opened();
  });
  after(async () => {
    await close();
    await redis.stop();
  });

  it('matches exact and wildcard filters of active and paused subscriptions', async () => {
    await put(ledger, { id: 'exact', filter: 'a/b' });
    await put(ledger, { id: 'plus', filter: 'a/+', state: paused });
    await put(ledger, { id: 'hash', filter: 'a/#', types: ['x'] });
    await put(ledger, { id: 'all', filter: '#' });
    await put(ledger, { id: 'other', filter: 'a/c' });
    await put(ledger, { id: 'suspended', filter: 'a/b', state: suspended });
    await put(ledger, { id: 'websub', filter: 'a/b', kind: websub });
    await put(ledger, { id: 'elsewhere', filter: 'a/b', namespace: 'team-b' });
    assert.deepEqual(await first.ids('a/b'), ['all', 'exact', 'hash', 'plus']);
    assert.deepEqual(await first.ids('a/b', { kind: websub }), ['websub']);
    assert.deepEqual(await first.ids('a/b', { namespace: 'team-b' }), ['elsewhere']);
    assert.deepEqual(await first.ids('a/b', { namespace: 'team-c' }), []);
    assert.deepEqual(await first.ids('$a/b'), []);
    const [answer] = await first.index.match(
      webhook,
      [{ namespace: team, topic: 'a/x/y', cursor: cursorAt(1), pageToken: '' }],
      10,
    );
    const [all, hash] = (answer as MatchAnswer).matches;
    assert.deepEqual(all, { id: 'all', ordered: false, selection: undefined });
    assert.deepEqual(hash, { id: 'hash', ordered: false, selection: { types: ['x'], expression: '' } });
  });

  it('follows changes and ends', async () => {
    await put(ledger, { id: 'one', filter: 'a/+' });
    assert.deepEqual(await first.ids('a/b'), ['one']);
    await put(ledger, { id: 'one', filter: 'b' });
    assert.deepEqual([await first.ids('a/b'), await first.ids('b')], [[], ['one']]);
    await put(ledger, { id: 'one', filter: 'b', state: suspended });
    assert.deepEqual(await first.ids('b'), []);
    await put(ledger, { id: 'one', filter: 'b' });
    await end(ledger, 'one');
    assert.deepEqual([await first.ids('b'), await first.index.count(team)], [[], 0]);
    assert.equal((await first.store.command('DBSIZE').then(Number)) <= 4, true, 'marks alone stay');
  });

  it('gives those that want order first, page by page, each in one page', async () => {
    const all = Array.from({ length: 25 }, (_, n) => `s${String(n).padStart(2, '0')}`);
    for (const [n, id] of all.entries()) {
      await put(ledger, { id, filter: ['a/b', 'a/+', '#'][n % 3] as string, ordered: n % 5 === 0 });
    }
    const ordered = all.filter((_, n) => n % 5 === 0);
    const wanted = [...ordered, ...all.filter((id) => !ordered.includes(id))];
    for (const size of [1, 2, 3, 7, 24, 25, 26]) assert.deepEqual(await first.ids('a/b', { size }), wanted);
    const [answer] = await first.index.match(webhook, [question('a/b')], 6);
    const { matches, nextPageToken } = answer as MatchAnswer;
    assert.deepEqual(
      matches.map((match) => match.ordered),
      matches.map(({ id }) => ordered.includes(id)),
    );
    assert.notEqual(nextPageToken, '');
    const bad = first.index.match(webhook, [{ ...question('a/b'), pageToken: 'x' }], 6);
    await assert.rejects(bad, { code: 'request_invalid' });
  });

  it('leaves nobody out who moves while pages are read', async () => {
    const all = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const id of all) await put(ledger, { id, filter: 'x/y' });
    const read = async (between: (page: number) => Promise<void>): Promise<string[]> => {
      const ids: string[] = [];
      for (let page = 1, pageToken = ''; ; page++) {
        const [answer] = await first.index.match(webhook, [{ ...question('x/y'), pageToken }], 2);
        ids.push(...(answer as MatchAnswer).matches.map(({ id }) => id));
        pageToken = (answer as MatchAnswer).nextPageToken;
        if (pageToken === '') return ids;
        await between(page);
      }
    };
    const moved = await read(async (page) => {
      await put(ledger, { id: 'a', filter: page === 1 ? 'x/+' : 'x/y' });
      await put(ledger, { id: 'f', filter: page === 1 ? '#' : 'x/y' });
    });
    assert.deepEqual(moved, all);
    const turned = await read(async (page) => {
      if (page === 1) for (const id of ['a', 'e']) await put(ledger, { id, filter: 'x/y', ordered: true });
      if (page === 2) await put(ledger, { id: 'f', filter: 'x/#', ordered: true });
    });
    assert.deepEqual(turned, all);
    // Back to no order: again in one page, or in two, but never in none.
    const back = await read(async (page) => {
      if (page === 1) for (const id of ['a', 'e', 'f']) await put(ledger, { id, filter: 'x/y' });
    });
    assert.deepEqual([...new Set(back)].toSorted(), all);
  });

  it('leaves out what started at or behind the publication, and what has ended', async () => {
    let now = Date.now();
    const clocked = await openIndex(redis.url, ledger, { now: () => now });
    open.push(clocked);
    await put(ledger, { id: 'before', filter: 'a', start: 9 });
    await put(ledger, { id: 'at', filter: 'a', start: 10 });
    await put(ledger, { id: 'behind', filter: 'a', start: 11 });
    await put(ledger, { id: 'lease', filter: 'a', expiresAt: now + 5_000 });
    const cursor = cursorAt(10);
    assert.deepEqual(await clocked.ids('a', { cursor, size: 1 }), ['before', 'lease']);
    now += 5_000;
    assert.deepEqual(await clocked.ids('a', { cursor }), ['before']);
  });

  it('lists in the order of ids, narrowed, a page at a time', async () => {
    for (let n = 0; n < 12; n++) {
      const owner = n % 2 === 0 ? 'alice' : 'böb the 2nd';
      await put(ledger, {
        id: `s${n + 10}`,
        filter: n % 3 === 0 ? 'a b/+' : 'c',
        owner,
        ...(n === 4 && { state: paused }),
      });
    }
    const ids = async (over: Partial<IndexQuery>, limit = 3): Promise<string[]> => {
      const found: string[] = [];
      for (let after = ''; ; ) {
        const page = await first.index.list({ ...everything, ...over, after, limit });
        assert.ok(page.ids.length <= limit);
        found.push(...page.ids);
        if (page.next === undefined) return found;
        after = page.next;
      }
    };
    const all = Array.from({ length: 12 }, (_, n) => `s${n + 10}`);
    assert.deepEqual(await ids({}), all);
    assert.deepEqual(await ids({}, 12), all);
    assert.deepEqual(
      await ids({ owner: 'böb the 2nd' }),
      all.filter((_, n) => n % 2 === 1),
    );
    assert.deepEqual(await ids({ owner: 'alice', filter: 'a b/+' as TopicFilter }), ['s10', 's16']);
    assert.deepEqual(await ids({ state: paused }), ['s14']);
    assert.deepEqual(await ids({ kind: websub }), []);
    assert.deepEqual(await ids({ owner: 'nobody' }), []);
    assert.equal(await first.index.count(team), 12);
  });

  it('answers for many publications of many namespaces at once', async () => {
    for (let n = 0; n < 40; n++) {
      await put(ledger, {
        namespace: `team-${n % 4}`,
        id: `s${n}`,
        filter: n % 2 === 0 ? `t/${n}` : `t/${n}/#`,
      });
    }
    const questions = Array.from({ length: 500 }, (_, n) => ({
      ...question(`t/${n % 40}`),
      namespace: `team-${n % 4}`,
    }));
    const answers = await first.index.match(webhook, questions, 1_000);
    assert.deepEqual(
      answers.map(({ matches }) => matches.map(({ id }) => id)),
      questions.map((_, n) => [`s${n % 40}`]),
    );
  });

  it('cuts short what would be too much for one answer', async () => {
    for (let n = 0; n < 1_200; n++) await put(ledger, { id: `s${1_000 + n}`, filter: 'a/#' });
    const questions = Array.from({ length: 100 }, () => question('a'));
    const answers = await first.index.match(webhook, questions, 2_000);
    const sizes = answers.map(({ matches }) => matches.length);
    const sum = sizes.reduce((all, size) => all + size, 0);
    assert.ok(sum <= 101_200 && sum > 90_000, `${sum} matches`);
    const rest = sizes.indexOf(0);
    assert.ok(rest > 0 && answers.slice(rest).every(({ nextPageToken }) => nextPageToken !== ''));
    const pageToken = answers[rest]?.nextPageToken ?? '';
    const [more] = await first.index.match(webhook, [{ ...question('a'), pageToken }], 2_000);
    assert.equal(more?.matches.length, 1_200);
  });
});
