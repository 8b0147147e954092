import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { startCollector } from '@pushfleet/contract';
import { type Item, type Publication, parseTopic } from '@pushfleet/core';
import { readConfig } from './config.ts';
import { Deliveries } from './deliveries.ts';
import { createLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { traceFields } from './shared-fields.ts';
import { scrape, valueIn } from './testing-metrics.ts';
import { createTraces, noTraces } from './traces.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const parent = `00-${traceId}-b7ad6b7169203331-01`;

function publication(id: string, more: Partial<Publication> = {}): Publication {
  const topic = parseTopic('a/b');
  const payload = Buffer.from('a secret payload');
  const place = { time: Date.now(), shard: 0, sequence: 1 };
  return { id, source: 's', topic, contentType: 'text/plain', payload, ...place, ...more };
}

const item = (value: Publication): Item<{ publication: Publication }> => ({
  kind: 'publication',
  value: { publication: value },
});

/** Deliveries whose spans go to a collector. */
async function traced(t: TestContext) {
  const collector = await startCollector();
  const metrics = createMetrics();
  const traces = createTraces(readConfig(traceFields, { PUSHFLEET_TRACES_URL: collector.url }), {
    ...{ service: 'test', instance: 'test-1', metrics, log: createLog({ name: 'test', level: 'silent' }) },
  });
  await traces.start();
  t.after(async () => {
    await traces.close();
    await collector.stop();
    await metrics.close();
  });
  const deliveries = new Deliveries({ protocol: 'test', metrics, traces });
  const spans = async () => {
    await traces.close();
    return collector.spans;
  };
  return { deliveries, metrics, spans };
}

describe('deliveries', () => {
  it('of a traced publication are a span, and each of the first writes one below it', async (t) => {
    const { deliveries, spans } = await traced(t);
    const one = publication('one', { trace: { parent } });
    const other = publication('other');
    deliveries.published(one, 12);
    deliveries.published(other, 12);
    for (let i = 0; i < 12; i++) deliveries.writing([item(other), item(one)])?.();
    assert.equal(deliveries.writing([item(other)]), undefined);
    await turn();
    assert.equal(deliveries.writing([item(one)]), undefined);

    const all = await spans();
    const [deliver] = all.filter(({ name }) => name === 'deliver');
    const writes = all.filter(({ name }) => name === 'write');
    assert.equal(all.length, 1 + writes.length);
    assert.equal(writes.length, 8);
    assert.deepEqual(
      [deliver?.traceId, deliver?.parentSpanId, deliver?.kind],
      [traceId, parent.slice(36, 52), 'CONSUMER'],
    );
    assert.ok(writes.every(({ parentSpanId }) => parentSpanId === deliver?.spanId));
    const { attributes } = deliver as NonNullable<typeof deliver>;
    assert.equal(attributes['messaging.destination.name'], 'a/b');
    assert.equal(attributes['messaging.message.id'], 'one');
    assert.equal(attributes['pushfleet.protocol'], 'test');
    assert.equal(Number(attributes['pushfleet.feeds']), 12);
    assert.equal(Number(attributes['pushfleet.writes']), 12);
    assert.ok(!JSON.stringify(all).includes('a secret payload'));
  });

  it('lag behind the log by the time of the first write, once for each publication', async () => {
    const metrics = createMetrics();
    const deliveries = new Deliveries({ protocol: 'test', metrics, traces: noTraces });
    const hour = 3_600_000;
    const late = publication('late', { time: Date.now() - hour });
    // A clock of the log that is ahead makes no lag below 0.
    const early = publication('early', { time: Date.now() + hour });
    for (const one of [late, early]) deliveries.published(one, 3);
    for (let i = 0; i < 3; i++) deliveries.writing([item(late), item(early)]);
    await turn();
    // Nobody could be written to.
    deliveries.published(late, 1);
    await turn();
    const text = await scrape(metrics);
    const of = (suffix: string) => valueIn(text, `pushfleet_fanout_lag_seconds_${suffix}`);
    assert.equal(of('count{protocol="test"}'), 2);
    assert.equal(of('bucket{protocol="test",le="0.001"}'), 1);
    assert.equal(of('bucket{protocol="test",le="30"}'), 1);
    assert.ok((of('sum{protocol="test"}') ?? 0) >= hour / 1_000);
    await metrics.close();
  });

  it('count gaps and what was read from the log', async () => {
    const metrics = createMetrics();
    const deliveries = new Deliveries({ protocol: 'test', metrics, traces: noTraces });
    deliveries.gap();
    for (const count of [3, 4]) deliveries.replayed({ count, bytes: 100 * count, ms: 20 });
    const text = await scrape(metrics);
    assert.equal(valueIn(text, 'pushfleet_gaps_total'), 1);
    assert.equal(valueIn(text, 'pushfleet_replayed_publications_total'), 7);
    assert.equal(valueIn(text, 'pushfleet_replayed_bytes_total'), 700);
    assert.equal(valueIn(text, 'pushfleet_replay_seconds_bucket{le="0.01"}'), 0);
    assert.equal(valueIn(text, 'pushfleet_replay_seconds_bucket{le="0.02"}'), 2);
    await metrics.close();
  });
});
