import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { createMemoryBackbone, type Ledger, type LedgerReading } from '@pushfleet/bus';
import { type RedisServer, startRedis, until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import { lockKey } from './keys.ts';
import { end, openIndex, put, snapshot, type TestIndex, team } from './testing.ts';

const later = 50 * 60_000;

/** Waits for an answer; until it comes there is none, rather than one that leaves somebody out. */
async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  let answer: T | undefined;
  const asked = async (): Promise<boolean> => {
    try {
      answer = await ask();
      return true;
    } catch (error) {
      if (error instanceof PushfleetError && error.code === 'unavailable') return false;
      throw error;
    }
  };
  await until(asked, 'an answer of the index');
  return answer as T;
}

/** The ledger, read in another way. */
const readAs = (ledger: Ledger, read: Ledger['read']): Reads => ({
  get: (key) => ledger.get(key),
  put: (key, value, options) => ledger.put(key, value, options),
  read,
});

type Reads = Pick<Ledger, 'get' | 'put' | 'read'>;

/** The log as it is long after: what has ended left no trace in it. */
const forgetful = (ledger: Ledger): Reads =>
  readAs(ledger, async (options) => {
    const { head, pages } = await ledger.read(options);
    return { head, pages: filtered(pages) };
  });

async function* filtered(pages: LedgerReading['pages']): LedgerReading['pages'] {
  for await (const page of pages) yield page.filter(({ value }) => value !== undefined);
}

describe('RedisIndex whose Redis lost something', async () => {
  const redis: RedisServer = await startRedis();
  const open: TestIndex[] = [];
  let ledger: Ledger;
  const opened = async (from: Reads = ledger, now = Date.now): Promise<TestIndex> => {
    const one = await openIndex(redis.url, from, { now });
    open.push(one);
    return one;
  };
  const close = async (): Promise<void> => {
    await Promise.all(open.splice(0).map((one) => one.close()));
  };
  const all = Array.from({ length: 30 }, (_, n) => `s${10 + n}`);

  beforeEach(async () => {
    await close();
    await redis.restart({ empty: true });
    ledger = createMemoryBackbone().ledger('subscriptions');
    for (const [n, id] of all.entries()) await put(ledger, { id, filter: n % 2 === 0 ? 'a/b' : 'a/+' });
  });
  after(async () => {
    await close();
    await redis.stop();
  });

  it('is filled from the log before it answers', async () => {
    const one = await opened();
    assert.deepEqual(await eventually(() => one.ids('a/b')), all);
    assert.equal(one.index.repairs.rebuilt, 1);
    const other = await opened();
    assert.deepEqual(await other.ids('a/b'), all);
    assert.equal(other.index.repairs.rebuilt, 0, 'what is there is not made again');
  });

  it('is filled again when it was emptied, and answers nothing else', async () => {
    const [one, other] = [await opened(), await opened()];
    await eventually(() => one.ids('a/b'));
    for (let round = 0; round < 5; round++) {
      await one.store.command('FLUSHALL');
      const answers = await Promise.all([one, other].map((each) => eventually(() => each.ids('a/b'))));
      assert.deepEqual(answers, [all, all]);
    }
  });

  it('is filled before somebody asks when it comes back empty', async () => {
    const one = await opened();
    await eventually(() => one.ids('a/b'));
    await redis.restart({ empty: true });
    await until(() => one.index.repairs.rebuilt === 2, 'the second rebuild');
    assert.deepEqual(await eventually(() => one.ids('a/b')), all);
  });

  it('gets what a failover lost', async () => {
    const [one, other] = [await opened(), await opened()];
    await eventually(() => one.ids('a/b'));
    const failOver = await snapshot(redis.url);
    await put(ledger, { id: 'new', filter: 'a/#' });
    await put(ledger, { id: 'elsewhere', filter: 'a/b', namespace: 'team-b' });
    await end(ledger, 's10');
    const wanted = ['new', ...all.slice(1)];
    assert.deepEqual(await one.ids('a/b'), wanted);
    await failOver();
    assert.deepEqual(await eventually(() => one.ids('a/b')), wanted);
    assert.deepEqual(await eventually(() => other.ids('a/b')), wanted);
    assert.deepEqual(await eventually(() => other.ids('a/b', { namespace: 'team-b' })), ['elsewhere']);
    const caught = one.index.repairs.caught + other.index.repairs.caught;
    assert.ok(caught >= 1, 'whichever of them was first has caught up');
    assert.equal(one.index.repairs.rebuilt, 1);
  });

  it('gets what a failover lost of a change that only another instance had seen', async () => {
    const one = await opened();
    await eventually(() => one.ids('a/b'));
    const failOver = await snapshot(redis.url);
    await put(ledger, { id: 'new', filter: 'a/#' });
    await one.ids('a/b');
    await failOver();
    await put(ledger, { id: 'newer', filter: 'a/#' });
    const fresh = await opened();
    assert.deepEqual(await eventually(() => fresh.ids('a/b')), ['new', 'newer', ...all]);
  });

  it('is made anew where nobody knows any more what has ended', async () => {
    const one = await opened();
    await eventually(() => one.ids('a/b'));
    await one.close();
    await end(ledger, 's10');
    const fresh = await opened(forgetful(ledger), () => Date.now() + later);
    assert.deepEqual(await eventually(() => fresh.ids('a/b')), all.slice(1));
    assert.equal(fresh.index.repairs.rebuilt, 1);
    assert.equal(await fresh.index.count(team), all.length - 1);
  });

  it('is made anew when an old copy of it comes back', async () => {
    let ahead = 0;
    const one = await opened(forgetful(ledger), () => Date.now() + ahead);
    await eventually(() => one.ids('a/b'));
    const old = await snapshot(redis.url);
    await end(ledger, 's10');
    await put(ledger, { id: 's11', filter: 'elsewhere' });
    ahead = later - 10 * 60_000;
    await one.ids('a/b');
    ahead = later;
    await put(ledger, { id: 's12', filter: 'elsewhere' });
    await one.ids('a/b');
    await old();
    assert.deepEqual(await eventually(() => one.ids('a/b')), all.slice(3));
    assert.equal(one.index.repairs.rebuilt, 2);
  });

  it('knows each change that the log holds, however late it comes to an instance', async () => {
    const gate = { open: Promise.resolve(), failing: false };
    const late = readAs(ledger, async (options) => {
      const reading = await ledger.read(options);
      await gate.open;
      if (gate.failing) throw new PushfleetError('unavailable', 'The log does not answer.');
      return reading;
    });
    const [one, other] = [await opened(), await opened(late)];
    await eventually(() => one.ids('a/b'));
    await eventually(() => other.ids('a/b'));
    for (const filter of ['x/+', 'x/y', '+/y', '#']) {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate.open = promise;
      await put(ledger, { id: 'late', filter });
      let answered = false;
      const asked = other.ids('x/y').finally(() => {
        answered = true;
      });
      assert.deepEqual(await one.ids('x/y'), ['late']);
      assert.equal(answered, false, 'it does not answer without the change');
      resolve();
      assert.deepEqual(await asked, ['late']);
    }
    gate.failing = true;
    await assert.rejects(other.ids('x/y'), { code: 'unavailable' });
  });

  it('goes on without one that died while it rebuilt, and keeps out what that one still writes', async () => {
    const stuck = Promise.withResolvers<void>();
    let reached = false;
    const dying = readAs(ledger, async (options) => {
      const { head, pages } = await ledger.read(options);
      return { head, pages: slowly(pages) };
    });
    async function* slowly(pages: LedgerReading['pages']): LedgerReading['pages'] {
      for await (const page of pages) {
        yield page.slice(0, 10);
        reached = true;
        await stuck.promise;
        yield page.slice(10);
      }
    }
    const dead = await opened(dying);
    await until(() => reached, 'half a rebuild');
    const one = await opened();
    await assert.rejects(one.ids('a/b'), { code: 'unavailable' });
    await one.store.command('DEL', lockKey); // as it expires when its holder is dead
    assert.deepEqual(await eventually(() => one.ids('a/b')), all);
    await end(ledger, 's10');
    assert.deepEqual(await one.ids('a/b'), all.slice(1));
    stuck.resolve();
    assert.deepEqual(await eventually(() => dead.ids('a/b')), all.slice(1));
    assert.equal(dead.index.repairs.rebuilt, 0);
  });

  it('takes nothing for its own that is of another log', async () => {
    const one = await opened();
    await eventually(() => one.ids('a/b'));
    const another = createMemoryBackbone().ledger('subscriptions');
    for (let n = 0; n < 100; n++) await put(another, { id: `t${n}`, filter: 'c', namespace: 'team-b' });
    const fresh = await opened(another);
    assert.deepEqual(await eventually(() => fresh.ids('a/b')), []);
    await put(another, { id: 'mine', filter: 'a/b' });
    assert.deepEqual(await eventually(() => fresh.ids('a/b')), ['mine']);
    assert.equal(await fresh.index.count(team), 1);
  });

  it('says that it cannot answer while Redis is away, and has what was changed meanwhile after it', async () => {
    const one = await opened();
    await eventually(() => one.ids('a/b'));
    await redis.kill('SIGKILL');
    await put(ledger, { id: 'new', filter: 'a/+' });
    await assert.rejects(one.ids('a/b'), { code: 'unavailable' });
    await redis.restart();
    assert.deepEqual(await eventually(() => one.ids('a/b')), ['new', ...all]);
  });
});
