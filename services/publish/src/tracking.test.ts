import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type CollectedSpan, startCollector } from '@pushfleet/contract';
import { type Cursor, PushfleetError, parseTopic } from '@pushfleet/core';
import type { Submission } from '@pushfleet/intake';
import {
  createLog,
  createMetrics,
  createTraces,
  type Grant,
  noTraces,
  readConfig,
  traceFields,
} from '@pushfleet/runtime';
import { Tracking } from './tracking.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const from = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
const other = '00-11111111111111111111111111111111-2222222222222222-01';
const grant = {} as Grant;

const submission = (id: number, traceparent?: string): Submission => ({
  topic: `a/${id}`,
  payload: Buffer.from('a secret payload'),
  id: String(id),
  traceparent,
});

const many = (count: number): Submission[] => Array.from({ length: count }, (_, id) => submission(id));

/** Tracking before an intake that stores everything but topic `a/13`, with what it was handed. */
async function track(t: TestContext, on = true) {
  const collector = await startCollector();
  const metrics = createMetrics();
  const log = createLog({ name: 'test', level: 'silent' });
  const config = readConfig(traceFields, {
    PUSHFLEET_TRACES_URL: collector.url,
    PUSHFLEET_TRACES_SAMPLE: '0',
  });
  const traces = on
    ? createTraces(config, { service: 'publish', instance: 'publish-1', log, metrics })
    : noTraces;
  await traces.start();
  t.after(async () => {
    await traces.close();
    await collector.stop();
    await metrics.close();
  });
  const handed: (Submission | PushfleetError)[] = [];
  const tracking = new Tracking({
    metrics,
    traces,
    intake: {
      publish: async (_, submissions) => {
        handed.push(...submissions);
        return submissions.map((one) => {
          if (one instanceof PushfleetError) return one;
          if (one.topic === 'a/13') return new PushfleetError('storage_full', 'The log is full.');
          const cursor = `cursor-of-${one.id}` as Cursor;
          return { id: one.id as string, topic: parseTopic(one.topic), cursor, duplicate: false };
        });
      },
    },
  });
  const spans = async (): Promise<readonly CollectedSpan[]> => {
    await traces.close();
    return collector.spans;
  };
  const carried = () => handed.map((one) => (one instanceof PushfleetError ? undefined : one.trace?.parent));
  return { tracking, spans, carried };
}

const parentOf = (span: CollectedSpan | undefined): string => `00-${span?.traceId}-${span?.spanId}-01`;

describe('a traced request', () => {
  it('is a span with one below it for what it stores, which the draft carries on', async (t) => {
    const { tracking, spans, carried } = await track(t);
    const [answer] = await tracking.request('http', from, (tracked) =>
      tracked.publish(grant, [submission(1)]),
    );
    assert.ok(answer !== undefined && !(answer instanceof PushfleetError));
    const [store, publish, ...more] = await spans();
    assert.equal(more.length, 0);
    assert.deepEqual([publish?.name, publish?.kind, publish?.traceId], ['publish', 'SERVER', traceId]);
    assert.equal(publish?.attributes['messaging.destination.name'], 'a/1');
    assert.equal(publish?.attributes['pushfleet.api'], 'http');
    assert.deepEqual([store?.name, store?.kind, store?.parentSpanId], ['store', 'PRODUCER', publish?.spanId]);
    assert.equal(store?.attributes['messaging.message.id'], '1');
    assert.equal(store?.attributes['pushfleet.cursor'], 'cursor-of-1');
    assert.equal(Number(store?.attributes['messaging.message.body.size']), 16);
    assert.deepEqual(carried(), [parentOf(store)]);
    assert.ok(!JSON.stringify([publish, store]).includes('secret'));
  });

  it('says why it failed, and whose fault it was', async (t) => {
    const { tracking, spans } = await track(t);
    const request = tracking.request('grpc', from, async (tracked) => {
      const [answer] = await tracked.publish(grant, [submission(13)]);
      throw answer;
    });
    await assert.rejects(request, { code: 'storage_full' });
    await assert.rejects(
      tracking.request('grpc', from, async () => {
        throw new PushfleetError('unauthenticated', 'Who are you?');
      }),
    );
    const [store, publish, refused] = await spans();
    for (const span of [store, publish]) {
      assert.equal(span?.failed, true);
      assert.equal(span.attributes['error.type'], 'storage_full');
    }
    assert.equal(refused?.failed, false);
    assert.equal(refused?.attributes['error.type'], 'unauthenticated');
  });

  it('of up to 16 drafts has a span for each of them', async (t) => {
    const { tracking, spans, carried } = await track(t);
    const refused = new PushfleetError('request_invalid', 'It has no topic.');
    await tracking.request('http-batch', from, (tracked) => tracked.publish(grant, [...many(15), refused]));
    const all = await spans();
    const stores = all.filter(({ name }) => name === 'store');
    const [publish] = all.filter(({ name }) => name === 'publish');
    assert.equal(stores.length, 15);
    assert.ok(stores.every(({ parentSpanId }) => parentSpanId === publish?.spanId));
    assert.deepEqual(carried(), [...stores.map(parentOf), undefined]);
    assert.equal(Number(publish?.attributes['messaging.batch.message_count']), 16);
    assert.deepEqual(
      stores.map(({ failed }) => failed),
      stores.map(({ attributes }) => attributes['messaging.destination.name'] === 'a/13'),
    );
  });

  it('of more has one for all of them, and the first 16 go on', async (t) => {
    const { tracking, spans, carried } = await track(t);
    await tracking.request('grpc-batch', from, (tracked) => tracked.publish(grant, many(17)));
    const all = await spans();
    assert.deepEqual(all.map(({ name }) => name).sort(), ['publish', 'store']);
    const store = all.find(({ name }) => name === 'store');
    assert.deepEqual(carried(), [...Array.from({ length: 16 }, () => parentOf(store)), undefined]);
  });
});

describe('a draft that names its own span', () => {
  it('is stored in the trace of that one', async (t) => {
    const { tracking, spans, carried } = await track(t);
    await tracking.request('grpc-batch', from, (tracked) =>
      tracked.publish(grant, [
        submission(1, other),
        submission(2, from.traceparent),
        submission(3, 'nonsense'),
      ]),
    );
    const all = await spans();
    const stores = all.filter(({ name }) => name === 'store');
    const [publish] = all.filter(({ name }) => name === 'publish');
    assert.deepEqual(
      stores.map(({ traceId, parentSpanId }) => [traceId, parentSpanId]),
      [
        [other.slice(3, 35), other.slice(36, 52)],
        [traceId, publish?.spanId],
        [traceId, publish?.spanId],
      ],
    );
    assert.deepEqual(carried(), stores.map(parentOf));
  });
});

describe('a request that is not traced', () => {
  for (const [why, on, headers] of [
    ['its publisher does not trace it', true, { traceparent: from.traceparent.replace(/01$/, '00') }],
    ['nothing is traced', false, from],
  ] as const) {
    it(`leaves what it stores as it is: ${why}`, async (t) => {
      const { tracking, spans, carried } = await track(t, on);
      await tracking.request('http', headers, (tracked) => tracked.publish(grant, [submission(1)]));
      assert.deepEqual(carried(), [undefined]);
      assert.deepEqual(await spans(), []);
    });
  }
});
