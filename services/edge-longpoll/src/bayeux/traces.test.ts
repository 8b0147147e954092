import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrate } from '@pushfleet/bus';
import { startCollector, startNats, startService, until } from '@pushfleet/contract';
import { secret } from '@pushfleet/edge/testing';
import { allToken, backwards, HandClient } from './testing.ts';

const streams = {
  ...{ shards: 1, replicas: 1, maxAgeMs: 3_600_000 },
  ...{ maxBytes: 64 * 1_048_576, duplicateWindowMs: 120_000 },
};

/** A span of another process, by the last digit of its id. */
const parent = (digit: number) => `b7ad6b716920333${digit}`;
const traceId = '0af7651916cd43dd8448eb211c80319c';
const traceparent = (digit: number): string => `00-${traceId}-${parent(digit)}-01`;

test('a publish is traced, in the trace that it or its request says or one of its own, and counted', async (context) => {
  const t = backwards(context);
  const [nats, collector] = await Promise.all([startNats(), startCollector()]);
  t.after(() => nats.stop());
  t.after(() => collector.stop());
  await migrate({ servers: nats.url, ...streams });
  const service = await startService('edge-longpoll', {
    PUSHFLEET_NATS_URL: nats.url,
    PUSHFLEET_TOKEN_SECRET: secret,
    PUSHFLEET_TRACES_URL: collector.url,
  });
  t.after(async () => void (await service.kill('SIGKILL')));
  const url = `http://${service.addresses.http}/bayeux`;
  const authorization = `Bearer ${allToken({ pushfleet: { publish: ['may/#'] } })}`;
  const say = async (headers: Record<string, string>, ...messages: readonly object[]) => {
    const answers = await new HandClient(url, { authorization, ...headers }).post(messages);
    return answers.map(({ successful }) => successful);
  };
  const made = { channel: '/may/made', data: 1 };
  const own = { channel: '/may/own', data: 1, ext: { pushfleet: { traceparent: traceparent(1) } } };
  const carried = { channel: '/may/carried', data: 1 };
  const refused = { channel: '/never', data: 1 };
  assert.deepEqual(await say({}, made), [true]);
  const all = await say({ traceparent: traceparent(2) }, own, carried, refused, { channel: '/may/empty' });
  assert.deepEqual(all, [true, true, false, false]);

  const metrics = await (await fetch(`http://${service.addresses.ops}/metrics`)).text();
  for (const [outcome, count] of Object.entries({ ok: 3, refused: 2, failed: 0 })) {
    assert.ok(
      metrics.includes(
        `pushfleet_requests_seconds_count{api="bayeux-publish",outcome="${outcome}"} ${count}\n`,
      ),
      outcome,
    );
  }
  assert.match(metrics, /^pushfleet_edge_pending_bytes 0$/m);

  await until(() => collector.spans.length >= 4, 'four spans at the collector');
  const spans = new Map(collector.spans.map((span) => [span.attributes['messaging.destination.name'], span]));
  assert.deepEqual(
    [...spans].map(([topic, span]) => [
      topic,
      span.name,
      span.attributes['pushfleet.api'],
      span.parentSpanId,
    ]),
    [
      ['may/made', 'publish', 'bayeux', undefined],
      ['may/own', 'publish', 'bayeux', parent(1)],
      ['may/carried', 'publish', 'bayeux', parent(2)],
      ['never', 'publish', 'bayeux', parent(2)],
    ],
  );
  assert.equal(spans.get('may/own')?.traceId, traceId);
  assert.notEqual(spans.get('may/made')?.traceId, traceId);
  assert.equal(spans.get('never')?.attributes['error.type'], 'forbidden');
});
