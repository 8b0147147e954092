import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createMemoryBackbone } from '@pushfleet/bus';
import { forSeeds } from '@pushfleet/contract/simulation';
import { defaultNamespace, PushfleetError, parseTopic, type Stored } from '@pushfleet/core';
import { createPatience } from '@pushfleet/delivery';
import type { Submission } from '@pushfleet/intake';
import type { OutboundAnswer, OutboundRequest } from '@pushfleet/outbound';
import { createLog, type Feed } from '@pushfleet/runtime';
import { failureOf } from './failure.ts';
import { Refresh, type RefreshOptions } from './refresh.ts';

const url = 'https://blog.example/feed';
const declared: Feed = { namespace: defaultNamespace, topic: parseTopic('news/blog'), url };
const log = createLog({ name: 'test', level: 'silent' });

const content = (text: string, headers: Record<string, string> = {}): OutboundAnswer => ({
  ...{ status: 200, truncated: false, body: Buffer.from(text) },
  headers: { 'content-type': 'text/plain', ...headers },
});
const unchanged: OutboundAnswer = { status: 304, truncated: false, body: Buffer.alloc(0), headers: {} };

/** A feed, a ledger and a log, and instances that look after it. */
function blog(t: TestContext) {
  const ledger = createMemoryBackbone().ledger('feeds');
  const asked: OutboundRequest[] = [];
  const closing = new AbortController();
  t.after(() => closing.abort());
  const state = {
    feed: declared as Feed | undefined,
    answer: content('a'),
    /** What was stored, by topic, text and id: each id once. */
    stored: [] as { topic: string; text: string; id: string }[],
    refusal: undefined as PushfleetError | undefined,
  };
  const publish = async (submission: Submission): Promise<Stored | PushfleetError> => {
    const { topic, id = '', payload } = submission;
    if (state.refusal !== undefined) return state.refusal;
    const one = { topic, id, text: Buffer.from(payload).toString() };
    if (state.stored.every((other) => other.id !== id)) state.stored.push(one);
    return {} as Stored;
  };
  const instance = (more: Partial<RefreshOptions> = {}): Refresh =>
    new Refresh({
      ledger,
      policies: { feedAt: () => state.feed },
      caller: {
        call: async (request) => {
          asked.push(request);
          return state.answer;
        },
      },
      intake: { publish: async (_, all) => [await publish(all[0] as Submission)] },
      ...{ timeoutMs: 1_000, bytes: 100, patiently: createPatience(closing.signal, log) },
      ...more,
    });
  return { state, ledger, asked, publish, instance, texts: () => state.stored.map(({ text }) => text) };
}

describe('a feed that is fetched', () => {
  test('is published once for each change, also back to what it was', async (t) => {
    const { state, instance, texts } = blog(t);
    const one = instance();
    for (const text of ['a', 'a', 'b', 'a', 'a', 'b']) {
      state.answer = content(text);
      await one.run(url);
    }
    assert.deepEqual(texts(), ['a', 'b', 'a', 'b']);
    assert.equal(new Set(state.stored.map(({ id }) => id)).size, 4);
  });

  test('is asked for on condition only of what was published for certain', async (t) => {
    const { state, asked, instance } = blog(t);
    const one = instance();
    state.answer = content('a', { etag: '"1"' });
    state.refusal = new PushfleetError('quota_publish_rate', 'too many');
    await assert.rejects(one.run(url), { code: 'quota_publish_rate' });
    state.answer = unchanged;
    await assert.rejects(one.run(url), /304/);
    state.answer = content('a', { etag: '"1"' });
    state.refusal = undefined;
    assert.equal(await one.run(url), 'published');
    state.answer = unchanged;
    assert.equal(await one.run(url), 'unchanged');
    const conditions = asked.map(({ headers }) => headers['if-none-match']);
    assert.deepEqual(conditions, [undefined, undefined, undefined, '"1"']);
  });

  for (const code of [
    'quota_publish_rate',
    'quota_stored_bytes',
    'storage_full',
    'rate_limited',
    'unavailable',
    'internal',
  ] as const) {
    test(`and refused by the log (${code}) is published later, once`, async (t) => {
      const { state, instance, texts } = blog(t);
      const one = instance();
      state.refusal = new PushfleetError(code, 'not now');
      const failure = await one.run(url).then(assert.fail, failureOf);
      assert.equal(failure.final, false);
      state.refusal = undefined;
      assert.equal(await one.run(url), 'published');
      assert.equal(await one.run(url), 'unchanged');
      assert.deepEqual(texts(), ['a']);
    });
  }

  test('and cannot be published, whatever is tried, is given up until its next change', async (t) => {
    const { state, instance } = blog(t);
    state.refusal = new PushfleetError('attribute_invalid', 'a content type of 300 bytes');
    assert.equal((await instance().run(url).then(assert.fail, failureOf)).final, true);
  });

  test('is published to its new topic when it is declared for another, and for nothing when for none', async (t) => {
    const { state, instance } = blog(t);
    const one = instance();
    state.answer = content('a', { etag: '"1"' });
    await one.run(url);
    state.feed = { ...declared, topic: parseTopic('news/moved') };
    assert.equal(await one.run(url), 'published');
    state.feed = undefined;
    await assert.rejects(one.run(url), /No policy/);
    assert.deepEqual(
      state.stored.map(({ topic }) => topic),
      ['news/blog', 'news/moved'],
    );
  });

  test('is published anew where what was known of it has expired', async (t) => {
    const { ledger, instance, texts } = blog(t);
    await instance().run(url);
    for await (const page of (await ledger.read()).pages)
      for (const { key } of page) await ledger.delete(key);
    assert.equal(await instance().run(url), 'published');
    assert.deepEqual(texts(), ['a', 'a']);
  });

  for (const [what, feed] of [
    ['no more', undefined],
    ['for another topic', { ...declared, topic: parseTopic('secret') }],
  ] as const) {
    test(`and declared ${what} while it was on its way is not published as it was declared before`, async (t) => {
      const { state, instance } = blog(t);
      const call = async () => {
        state.feed = feed;
        return content('a');
      };
      await assert.rejects(instance({ caller: { call } }).run(url), /declare/);
      assert.deepEqual(state.stored, []);
    });
  }
});

describe('a ledger that is away', () => {
  const away = new PushfleetError('unavailable', 'away');

  test('before a publication keeps it back', async (t) => {
    const { ledger, instance, texts } = blog(t);
    const put = () => Promise.reject(away);
    const failing = Object.assign(Object.create(ledger), { put, get: ledger.get.bind(ledger) });
    await assert.rejects(instance({ ledger: failing }).run(url), away);
    assert.deepEqual(texts(), []);
  });

  test('behind a publication is waited for, and an answer of it that was lost is no change by others', async (t) => {
    const { ledger, instance, texts } = blog(t);
    let puts = 0;
    const put: typeof ledger.put = async (...of) => {
      const revision = await ledger.put(...of);
      if (++puts === 2) throw away;
      return revision;
    };
    const failing = Object.assign(Object.create(ledger), { put, get: ledger.get.bind(ledger) });
    assert.equal(await instance({ ledger: failing }).run(url), 'published');
    assert.equal(await instance().run(url), 'unchanged');
    assert.deepEqual(texts(), ['a']);
  });

  test('and an instance that dies between the two: the next publishes it under the same id', async (t) => {
    const { state, ledger, publish, instance, texts } = blog(t);
    const dies = async (submission: Submission) => {
      await publish(submission);
      throw new Error('killed');
    };
    const intake = {
      publish: async (_: unknown, all: readonly unknown[]) => [await dies(all[0] as Submission)],
    };
    await assert.rejects(instance({ ledger, intake }).run(url), /killed/);
    assert.equal(await instance().run(url), 'published');
    assert.deepEqual(texts(), ['a']);
    state.answer = content('b');
    await instance().run(url);
    assert.deepEqual(texts(), ['a', 'b']);
  });
});

describe('two instances that fetch a feed at once, since one was held up when its slot passed on', () => {
  test('in its fetch: what it brings is older, and is not published', async (t) => {
    const { state, instance, texts } = blog(t);
    const held = Promise.withResolvers<OutboundAnswer>();
    const late = instance({ caller: { call: () => held.promise } }).run(url);
    state.answer = content('newer');
    await instance().run(url);
    held.resolve(content('older'));
    await assert.rejects(late, { code: 'conflict' });
    assert.deepEqual(texts(), ['newer']);
  });

  test('in its publication: what there is comes once more behind it', async (t) => {
    const { state, publish, instance, texts } = blog(t);
    const [begun, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const slow = async (submission: Submission) => {
      begun.resolve();
      await held.promise;
      return publish(submission);
    };
    state.answer = content('older');
    const intake = {
      publish: async (_: unknown, all: readonly unknown[]) => [await slow(all[0] as Submission)],
    };
    const late = instance({ intake }).run(url);
    await begun.promise;
    state.answer = content('newer');
    await instance().run(url);
    held.resolve();
    const failure = await late.then(assert.fail, failureOf);
    assert.equal(failure.final, false, 'it is fetched again');
    assert.deepEqual(texts(), ['newer', 'older']);
    await instance().run(url);
    assert.deepEqual(texts(), ['newer', 'older', 'newer']);
    assert.equal(await instance().run(url), 'unchanged');
  });

  test('however they are held up, what was published last is what there is', (t) =>
    forSeeds(200, async (random) => {
      const { state, instance, publish, texts } = blog(t);
      const pause = async (): Promise<void> => {
        for (let i = random.below(6); i > 0; i--) await turn();
      };
      const call = async (): Promise<OutboundAnswer> => {
        const { answer } = state;
        await pause();
        return answer;
      };
      const intake: RefreshOptions['intake'] = {
        publish: async (_, all) => {
          await pause();
          return [await publish(all[0] as Submission)];
        },
      };
      // As the fetcher does, whose failures are due again.
      const refresh = async (): Promise<void> => {
        try {
          await instance({ caller: { call }, intake }).run(url);
        } catch (error) {
          assert.equal(failureOf(error).final, false);
          await refresh();
        }
      };
      const runs: Promise<void>[] = [];
      for (let i = 0; i < 4; i++) {
        state.answer = content(String(random.below(3)));
        runs.push(refresh());
        await pause();
      }
      await Promise.all(runs);
      assert.equal(texts().at(-1), Buffer.from(state.answer.body).toString());
    }));
});
