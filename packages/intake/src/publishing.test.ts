import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { startCollector } from '@pushfleet/contract';
import { PushfleetError, type Stored } from '@pushfleet/core';
import { createLog, createTraces, type Grant, readConfig, traceFields } from '@pushfleet/runtime';
import type { Submission } from './intake.ts';
import { type Publish, Publishing } from './publishing.ts';

const grant = {} as Grant;
const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';
const trace = { traceparent: `00-${traceId}-${spanId}-01` };

const publish = (topic: string, more: Partial<Publish> = {}): Publish => ({
  submission: { topic, payload: Buffer.from('12345') },
  trace: {},
  ...more,
});

/** Publishing into a log that refuses the topic `no`, traced to a collector. */
async function start(t: TestContext, pendingBytes = 15) {
  const collector = await startCollector();
  t.after(() => collector.stop());
  const traces = createTraces(readConfig(traceFields, { PUSHFLEET_TRACES_URL: collector.url }), {
    ...{ service: 'edge', instance: 'edge-1' },
    log: createLog({ name: 'test', level: 'silent' }),
    metrics: { total: () => {} },
  });
  await traces.start();
  const given: (Submission | PushfleetError)[] = [];
  const ended = { ok: 0, refused: 0, failed: 0 };
  let pending = (): unknown => undefined;
  let stored: Promise<unknown> = Promise.resolve();
  const publishing = new Publishing({
    ...{ api: 'word', pendingBytes, traces },
    intake: {
      async publish(_grant, submissions) {
        given.push(...submissions);
        await stored;
        return submissions.map((one) => {
          if (one instanceof PushfleetError) return one;
          if (one.topic === 'no') return new PushfleetError('forbidden', 'No.');
          return { id: one.topic } as Stored;
        });
      },
    },
    metrics: {
      gauge: (_name, _options, read) => {
        pending = read;
      },
      histogram: (name, _options, { api, outcome } = {}) => ({
        record() {
          assert.deepEqual([name, api], ['pushfleet_requests_seconds', 'word-publish']);
          ended[outcome as keyof typeof ended]++;
        },
      }),
    } as ConstructorParameters<typeof Publishing>[0]['metrics'],
  });
  /** How each of these was answered: its topic, or the code of the refusal. */
  const say = async (...publishes: readonly (Publish | PushfleetError)[]) =>
    (await publishing.publish(grant, publishes)).map((answer) =>
      answer instanceof PushfleetError ? answer.code : answer.id,
    );
  const spans = async () => {
    await traces.close();
    return collector.spans;
  };
  const wait = (until: Promise<unknown>): void => {
    stored = until;
  };
  return { say, given, ended, spans, wait, pending: () => pending() };
}

test('each is answered, counted and traced by itself, in the trace that its client says or one of its own', async (t) => {
  const { say, given, ended, spans } = await start(t);
  const unreadable = new PushfleetError('request_invalid', 'What?');
  const answers = await say(publish('a', { trace }), unreadable, publish('b'), publish('no', { trace }));
  assert.deepEqual(answers, ['a', 'request_invalid', 'b', 'forbidden']);
  assert.deepEqual(ended, { ok: 2, refused: 2, failed: 0 });
  const all = await spans();
  const told = all.map(({ name, kind, parentSpanId, attributes: of }) => [
    ...[name, kind, parentSpanId, of['messaging.destination.name']],
    ...[of['messaging.message.body.size'], of['pushfleet.api'], of['error.type']],
  ]);
  assert.deepEqual(told, [
    ['publish', 'SERVER', spanId, 'a', 5, 'word', undefined],
    ['publish', 'SERVER', undefined, 'b', 5, 'word', undefined],
    ['publish', 'SERVER', spanId, 'no', 5, 'word', 'forbidden'],
  ]);
  assert.deepEqual([all[0]?.traceId, all[1]?.traceId === traceId], [traceId, false]);
  const carried = all.map((one) => `00-${one.traceId}-${one.spanId}-01`);
  assert.deepEqual(
    given.flatMap((one) => ('trace' in one ? one.trace?.parent : [])),
    carried,
  );
});

test('bytes that are unanswered are bounded, and what is beyond is refused together', async (t) => {
  const { say, given, ended, wait, pending } = await start(t, 10);
  const stored = Promise.withResolvers<void>();
  wait(stored.promise);
  const first = say(publish('a'));
  assert.equal(pending(), 5);
  const unreadable = new PushfleetError('request_invalid', 'What?');
  assert.deepEqual(await say(publish('b'), unreadable, publish('c')), [
    ...['unavailable', 'request_invalid', 'unavailable'],
  ]);
  const fits = say(publish('b'));
  stored.resolve();
  assert.deepEqual([...(await first), ...(await fits)], ['a', 'b']);
  assert.deepEqual([given.length, pending(), ended], [2, 0, { ok: 2, refused: 1, failed: 2 }]);
});
