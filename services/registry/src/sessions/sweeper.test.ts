import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { createMemoryBackbone, type MemoryBackbone } from '@pushfleet/bus';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import type { Publication } from '@pushfleet/core';
import { SessionCommitOutcome } from '@pushfleet/proto/pushfleet/registry/v1/sessions';
import { hotKey, idsKey, ownedKey, ownersKey } from './keys.ts';
import { refOf } from './record.ts';
import { keyOf, willOf } from './testing.ts';
import { heard, openSessions, type TestSessions } from './testing-register.ts';

describe('sessions as time passes', () => {
  let redis: RedisServer;
  let backbone: MemoryBackbone;
  let wills: Publication[];
  const open: TestSessions[] = [];
  const alive = new Set<string>();
  const opened = async (o: Parameters<typeof openSessions>[1] = {}): Promise<TestSessions> => {
    const one = await openSessions(redis.url, { backbone, alive, ...o });
    open.push(one);
    return one;
  };
  const topics = () => wills.map(({ topic }) => topic);
  const gone = async (one: TestSessions, id: string) =>
    until(
      () =>
        one.register.get(keyOf(id)).then(
          () => false,
          ({ code }) => code === 'not_found',
        ),
      `the end of ${id}`,
    );

  before(async () => {
    redis = await startRedis();
  });
  beforeEach(async () => {
    backbone = createMemoryBackbone();
    wills = await heard(backbone);
    alive.add('edge-1').add('edge-2');
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
    await redis.restart({ empty: true });
  });
  after(() => redis.stop());

  it('ends a session after its expiry, and forgets all of it', async () => {
    const one = await opened();
    const key = keyOf('c');
    const { generation } = await one.own(key, { expirySeconds: 100 });
    await one.register.commit([
      { key, generation, putFields: { a: Buffer.from('b') }, removeFields: [], whole: false, number: 1n },
    ]);
    await one.release(key, generation);
    one.advance(99_000);
    assert.equal((await one.register.get(key)).generation, generation);
    one.advance(2_000);
    await gone(one, 'c');
    const left = async () =>
      (await one.store.command('EXISTS', hotKey(refOf(key)))) === 0 &&
      (await one.store.command('EXISTS', idsKey('team-a' as never))) === 0 &&
      (await one.store.command('EXISTS', ownedKey('edge-1'))) === 0;
    await until(left, 'nothing to be left');
  });

  it('publishes a will when its delay is over, and the session lives on', async () => {
    const one = await opened();
    const { generation } = await one.own(keyOf('c'), { will: willOf('w', { delaySeconds: 30 }) });
    await one.release(keyOf('c'), generation);
    one.advance(29_000);
    assert.deepEqual(topics(), []);
    one.advance(2_000);
    await until(() => topics().length === 1, 'the will');
    await until(async () => (await one.register.get(keyOf('c'))).will === undefined, 'the record');
    assert.equal((await one.acquire(keyOf('c'))).resumed, true);
    assert.deepEqual(topics(), ['w']);
  });

  it('publishes a will with the end of the session where that comes first', async () => {
    const one = await opened();
    const will = willOf('w', { delaySeconds: 300 });
    const { generation } = await one.own(keyOf('c'), { will, expirySeconds: 50 });
    await one.release(keyOf('c'), generation);
    one.advance(51_000);
    await gone(one, 'c');
    await until(() => topics().length === 1, 'the will');
  });

  it('does not publish a will whose session is back in time', async () => {
    const one = await opened();
    const { generation } = await one.own(keyOf('c'), { will: willOf('w', { delaySeconds: 30 }) });
    await one.release(keyOf('c'), generation);
    const again = await one.own(keyOf('c'), { will: willOf('later') });
    one.advance(60_000);
    await one.release(keyOf('c'), again.generation, { discardWill: true });
    await until(() => one.register.sweeper.counts.turns > 5, 'some turns');
    assert.deepEqual(topics(), []);
  });

  it('does not publish a will whose right was revoked', async () => {
    const revoked = ({ subject }: { readonly subject: string }) => subject === 'mallory';
    const one = await opened({ revocations: { revoked } });
    const will = (subject: string) => willOf(subject, { right: { subject, issuedAt: new Date(1) } as never });
    for (const subject of ['mallory', 'alice']) {
      const { generation } = await one.own(keyOf(subject), { will: will(subject), expirySeconds: 0 });
      await one.release(keyOf(subject), generation);
    }
    await until(() => topics().length === 1, 'the will');
    assert.deepEqual(topics(), ['alice']);
    assert.equal(one.register.wills.counts.revoked, 1);
  });

  it('releases what a dead instance owned: each will once, whoever looks', async () => {
    const some = [await opened(), await opened(), await opened()] as const;
    const [one] = some;
    const count = 120;
    for (let n = 0; n < count; n++) {
      await one.own(keyOf(`dead-${n}`), { will: willOf(`w/${n}`), expirySeconds: n % 2 === 0 ? 0 : 600 });
    }
    const kept = await one.own(keyOf('kept'), { instanceId: 'edge-2', will: willOf('kept') });
    alive.delete('edge-1');
    await until(() => wills.length === count, 'the wills');
    assert.equal(new Set(topics()).size, count);
    await gone(one, 'dead-0');
    const back = await one.register.get(keyOf('dead-1'));
    assert.equal(back.owner, undefined);
    assert.ok(back.generation > kept.generation, 'a generation of its own');
    assert.equal((await one.register.get(keyOf('kept'))).generation, kept.generation);
    await until(
      async () => !((await one.store.command('SMEMBERS', ownersKey)) as string[]).includes('edge-1'),
      'the instance to be forgotten',
    );
    await until(
      () => some.reduce((sum, { register }) => sum + register.sweeper.counts.turns, 0) > 20,
      'turns',
    );
    assert.equal(wills.length, count);
  });

  it('takes nobody for dead while it does not hear itself', async () => {
    const one = await opened({ fleet: { instances: () => [], steady: 0 } });
    const { generation } = await one.own(keyOf('c'));
    await until(() => one.register.sweeper.counts.turns > 10, 'some turns');
    assert.equal((await one.register.get(keyOf('c'))).generation, generation);
  });

  it('refuses what a dead instance writes late', async () => {
    const one = await opened();
    const { generation } = await one.own(keyOf('c'));
    alive.delete('edge-1');
    const commit = async () => {
      const wanted = { key: keyOf('c'), generation, putFields: {}, removeFields: [], number: 1n };
      return (await one.register.commit([{ ...wanted, whole: false }]))[0];
    };
    await until(
      async () => (await commit()) === SessionCommitOutcome.SESSION_COMMIT_OUTCOME_LAPSED,
      'LAPSED',
    );
  });

  it('goes on where Redis was emptied: wills and ends, owners and names', async () => {
    const one = await opened();
    const will = (topic: string) => ({ will: willOf(topic, { delaySeconds: 30 }) });
    const { generation } = await one.own(keyOf('waiting'), will('w/1'));
    await one.release(keyOf('waiting'), generation);
    await one.own(keyOf('owned'), { will: willOf('w/2') });
    await redis.restart({ empty: true });
    await until(() => one.register.filling.counts.filled > 1, 'the filling');
    one.advance(31_000);
    await until(() => wills.length === 1, 'the will that is due');
    alive.delete('edge-1');
    await until(() => wills.length === 2, 'the will of the dead');
    const { sessions } = await one.register.list({
      ...{ namespace: 'team-a', protocol: '', subject: '', idPrefix: '', pageSize: 0, pageToken: '' },
    });
    assert.deepEqual(
      sessions.map(({ key }) => key?.id),
      ['owned', 'waiting'],
    );
  });
});
