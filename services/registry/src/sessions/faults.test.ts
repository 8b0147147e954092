import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { createMemoryBackbone, type Ledger } from '@pushfleet/bus';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import type { Store } from '../redis.ts';
import { dueKey, dueSetOf, groupKey, groupName, hotKey, idsKey, ownedKey } from './keys.ts';
import { refOf } from './record.ts';
import { leaveScript } from './scripts.ts';
import { keyOf, willOf } from './testing.ts';
import { heard, openSessions, type TestSessions } from './testing-register.ts';

const away = (): PushfleetError => new PushfleetError('unavailable', 'It is away.');

/** A Redis that keeps what it holds while it does not answer. */
class Cut {
  away = false;
  readonly #listeners: (() => void)[] = [];

  readonly store = (inner: Store): Store => {
    const unless = <T>(call: () => Promise<T>): Promise<T> => (this.away ? Promise.reject(away()) : call());
    return {
      command: (...args) => unless(() => inner.command(...args)),
      run: (...args) => unless(() => inner.run(...args)),
      read: (...args) => unless(() => inner.read(...args)),
      runAll: (...args) => unless(() => inner.runAll(...args)),
      onReturn: (on) => this.#listeners.push(on),
    };
  };

  back(): void {
    this.away = false;
    for (const listener of this.#listeners) listener();
  }
}

describe('sessions whose log or index does not answer for a while', () => {
  let redis: RedisServer;
  const open: TestSessions[] = [];
  const opened = async (o: Parameters<typeof openSessions>[1] = {}): Promise<TestSessions> => {
    const one = await openSessions(redis.url, o);
    open.push(one);
    return one;
  };
  const names = async (one: TestSessions) =>
    (await one.store.command('ZCARD', idsKey('team-a' as never))) as number;
  const isHot = async (one: TestSessions, id: string) =>
    (await one.store.command('EXISTS', hotKey(refOf(keyOf(id))))) === 1;

  before(async () => {
    redis = await startRedis();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
    await redis.restart({ empty: true });
  });
  after(() => redis.stop());

  it('leaves nothing of sessions that end meanwhile', async () => {
    const cut = new Cut();
    const one = await opened({ wrap: cut.store });
    await until(() => one.register.groups.known(), 'the index');
    const { generation } = await one.own(keyOf('c'), { expirySeconds: 0 });
    cut.away = true;
    await one.release(keyOf('c'), generation);
    cut.back();
    await until(async () => !(await isHot(one, 'c')), 'the hot state to be gone');
    await until(async () => (await names(one)) === 0, 'the name to be gone');
  });

  it('leaves no names of sessions that could not be created', async () => {
    let full = true;
    const refusing = (inner: Ledger): Ledger => ({
      get: (key) => inner.get(key),
      put: (...args) => (full ? Promise.reject(away()) : inner.put(...args)),
      delete: (...args) => inner.delete(...args),
      read: (o) => inner.read(o),
      watch: (on, o) => inner.watch(on, o),
    });
    const one = await opened({ ledger: refusing, limit: () => 10 });
    for (let n = 0; n < 10; n++) await assert.rejects(one.own(keyOf(`c${n}`)), { code: 'unavailable' });
    full = false;
    await one.own(keyOf('d'));
    assert.equal(await names(one), 1);
    one.advance(61_000);
    await until(
      async () => (await one.store.command('ZCARD', dueKey(dueSetOf(refOf(keyOf('c0')))))) === 0,
      'nothing to be due',
    );
    assert.equal(await names(one), 1);
  });

  it('leaves no name of a session whose record is too large', async () => {
    const one = await opened({ terms: { filters: 10, recordBytes: 1_024, stateBytes: 10_000 } });
    const will = willOf('w', { payload: Buffer.alloc(2_000) });
    await assert.rejects(one.own(keyOf('c'), { will }), { code: 'payload_too_large' });
    assert.equal(await names(one), 0);
  });

  it('keeps the will of a client that was away while it could not come back', async () => {
    const cut = new Cut();
    const backbone = createMemoryBackbone();
    const published = await heard(backbone);
    const one = await opened({ wrap: cut.store, backbone });
    await until(() => one.register.groups.known(), 'the index');
    const { generation } = await one.own(keyOf('c'), { will: willOf('w', { delaySeconds: 30 }) });
    const ends = await one.release(keyOf('c'), generation);
    cut.away = true;
    await assert.rejects(one.own(keyOf('c'), { will: willOf('w2') }), { code: 'unavailable' });
    assert.deepEqual((await one.register.get(keyOf('c'))).expiresAt, ends, 'it ends when it would have');
    cut.back();
    one.advance(31_000);
    await until(() => published.length > 0, 'the will');
    assert.deepEqual(
      published.map(({ topic }) => topic),
      ['w'],
    );
  });

  it('does not take a new session out of its group where the old one is cleared away late', async () => {
    const reached = Promise.withResolvers<void>();
    const late = Promise.withResolvers<void>();
    const one = await opened();
    const slow = await opened({
      backbone: one.backbone,
      idle: true,
      wrap: (inner) => ({
        command: (...args) => inner.command(...args),
        run: async (script, ...args) => {
          if (script === leaveScript) {
            reached.resolve();
            await late.promise;
          }
          return inner.run(script, ...args);
        },
        read: (...args) => inner.read(...args),
        runAll: (...args) => inner.runAll(...args),
        onReturn: (on) => inner.onReturn(on),
      }),
    });
    await until(() => one.register.groups.known(), 'the index');
    const shared = { filter: 's/#', group: 'g', options: Buffer.alloc(0) };
    for (const id of ['stays', 'c']) {
      const { generation } = await one.own(keyOf(id));
      await one.update(keyOf(id), generation, { addFilters: [shared] });
    }
    const ending = slow.register.end({ key: keyOf('c'), generation: undefined, discardWill: true });
    await reached.promise;
    const next = await one.own(keyOf('c'), { clean: true });
    await one.update(keyOf('c'), next.generation, { addFilters: [shared] });
    late.resolve();
    await ending;
    const at = groupKey('team-a' as never, groupName({ protocol: 'mqtt' }, shared.filter, shared.group));
    assert.equal(await one.store.command('ZCARD', at), 2);
  });

  it('tells the owner of a session that is ended that it was', async () => {
    const one = await opened();
    const { generation } = await one.own(keyOf('c'));
    const asked: unknown[] = [];
    const stop = one.backbone.signals.answer('sessions.edge-1', (question) => {
      asked.push(question);
      return true;
    });
    await one.register.end({ key: keyOf('c'), generation: undefined, discardWill: true });
    stop();
    assert.deepEqual(asked, [
      { namespace: 'team-a', protocol: 'mqtt', id: 'c', generation: String(generation + 1n), ended: true },
    ]);
  });

  it('enters a session whose registry died behind the log', async () => {
    const cut = new Cut();
    const one = await opened();
    const dying = await opened({
      backbone: one.backbone,
      idle: true,
      wrap: cut.store,
      ledger: (inner) => ({
        get: (key) => inner.get(key),
        put: async (...args) => {
          const revision = await inner.put(...args);
          cut.away = true;
          return revision;
        },
        delete: (...args) => inner.delete(...args),
        read: (o) => inner.read(o),
        watch: (on, o) => inner.watch(on, o),
      }),
    });
    await dying.own(keyOf('c'));
    one.advance(61_000);
    await until(async () => (await names(one)) === 1, 'the name');
    const owned = () => one.store.command('ZCARD', ownedKey('edge-1'));
    await until(async () => (await owned()) === 1, 'the owner');
  });

  it('reads names in steps where few of them are of the subject', async () => {
    let reads = 0;
    const one = await opened({
      wrap: (inner) => ({
        command: (name, ...args) => {
          if (name === 'ZRANGEBYLEX') reads++;
          return inner.command(name, ...args);
        },
        run: (...args) => inner.run(...args),
        read: (...args) => inner.read(...args),
        runAll: (...args) => inner.runAll(...args),
        onReturn: (on) => inner.onReturn(on),
      }),
    });
    await Promise.all(Array.from({ length: 300 }, (_, n) => one.own(keyOf(`c${n}`), { subject: 'bob' })));
    await one.own(keyOf('z'), { subject: 'alice' });
    const { sessions } = await one.register.list({
      ...{ namespace: 'team-a', protocol: '', subject: 'alice', idPrefix: '', pageSize: 1, pageToken: '' },
    });
    assert.equal(sessions.length, 1);
    assert.ok(reads < 10, `${reads} reads`);
    const seen: string[] = [];
    for (let pageToken = '', more = true; more; more = pageToken !== '') {
      const asked = { namespace: 'team-a', protocol: 'mqtt', subject: 'bob', idPrefix: 'c', pageSize: 7 };
      const page = await one.register.list({ ...asked, pageToken });
      seen.push(...page.sessions.map(({ key }) => key?.id ?? ''));
      pageToken = page.nextPageToken;
    }
    assert.equal(seen.length, 300);
    assert.equal(new Set(seen).size, 300);
  });
});
