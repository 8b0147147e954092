import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { createMemoryBackbone, type Ledger } from '@pushfleet/bus';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import type { MatchAnswer } from '@pushfleet/proto/pushfleet/registry/v1/subscriptions';
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

describe('RedisIndex', async () => {
  const redis: RedisServer = await startRedis();
  const open: TestIndex[] = [];
  let ledger: Ledger;
  let first: TestIndex;
  const opened = async (from: Pick<Ledger, 'read'> = ledger): Promise<TestIndex> => {
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
});
