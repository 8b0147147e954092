import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { type Collector, startCollector, until } from '@pushfleet/contract';
import { PushfleetError } from '@pushfleet/core';
import { ConfigError, readConfig } from './config.ts';
import { createLog } from './log.ts';
import type { Reading } from './metrics.ts';
import { traceFields } from './shared-fields.ts';

import { createTraces, type Traces } from './traces.ts';

// Collectors that are away or silent are given up soon.
process.env.OTEL_EXPORTER_OTLP_TIMEOUT = '300';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';
const sampled = { traceparent: `00-${traceId}-${spanId}-01` };
const unsampled = { traceparent: `00-${traceId}-${spanId}-00` };

interface Started {
  readonly traces: Traces;
  /** The value of a metric's series. */
  count(name: string, outcome: string): number;
  readonly logged: readonly string[];
}

/** Traces of a service called `test`, configured as an operator would. */
async function start(t: TestContext, env: NodeJS.ProcessEnv): Promise<Started> {
  const totals = new Map<string, () => Reading>();
  const logged: string[] = [];
  const destination = { write: (line: string) => void logged.push(line) };
  const traces = createTraces(readConfig(traceFields, env), {
    service: 'test',
    instance: 'test-1',
    log: createLog({ name: 'test', destination }),
    metrics: { total: (name, _, read) => void totals.set(name, read) },
  });
  await traces.start();
  t.after(() => traces.close());
  const count = (name: string, outcome: string): number => {
    const series = totals.get(name)?.() as Iterable<readonly [number, { outcome: string }]>;
    return [...series].find(([, attributes]) => attributes.outcome === outcome)?.[0] as number;
  };
  return { traces, count, logged };
}

async function collector(t: TestContext): Promise<Collector> {
  const started = await startCollector();
  t.after(() => started.stop());
  return started;
}

describe('traces', () => {
  it('are off without a collector', async (t) => {
    const { traces } = await start(t, {});
    assert.equal(traces.on, false);
    assert.equal(traces.request('publish', sampled), undefined);
    assert.equal(traces.resume('deliver', { parent: sampled.traceparent }), undefined);
  });

  for (const protocol of ['http/protobuf', 'grpc'] as const) {
    it(`reach a collector by ${protocol}, with what the resource and the spans say`, async (t) => {
      const { url, grpcUrl, spans } = await collector(t);
      const { traces, count } = await start(t, {
        PUSHFLEET_TRACES_URL: protocol === 'grpc' ? grpcUrl.replace('dns:', 'http://') : url,
        PUSHFLEET_TRACES_PROTOCOL: protocol,
      });
      const request = traces.request(
        'publish',
        { ...sampled, tracestate: 'a=1', baggage: 'b=2' },
        {
          kind: 'server',
          attributes: { 'messaging.destination.name': 'a/b' },
        },
      );
      const store = request?.child('store', { kind: 'producer' });
      store?.set({ 'messaging.message.id': 'one' });
      assert.deepEqual(store?.context, {
        parent: store?.context.parent.replace(/-[\da-f]{16}-/, `-${store.context.parent.slice(36, 52)}-`),
        state: 'a=1',
        baggage: 'b=2',
      });
      store?.end(new PushfleetError('unavailable', 'The log is away.'));
      request?.end(new PushfleetError('forbidden', 'Not yours.'));
      await traces.close();

      const [stored, published] = spans;
      assert.deepEqual([stored?.name, stored?.kind, stored?.failed], ['store', 'PRODUCER', true]);
      assert.deepEqual([published?.name, published?.kind, published?.failed], ['publish', 'SERVER', false]);
      assert.equal(stored?.parentSpanId, published?.spanId);
      assert.deepEqual([published?.traceId, published?.parentSpanId], [traceId, spanId]);
      assert.equal(store?.context.parent, `00-${traceId}-${stored?.spanId}-01`);
      assert.equal(published?.traceState, 'a=1');
      assert.deepEqual(published?.attributes, {
        'messaging.destination.name': 'a/b',
        'error.type': 'forbidden',
      });
      assert.deepEqual(stored?.attributes, { 'messaging.message.id': 'one', 'error.type': 'unavailable' });
      const { resource } = published;
      assert.equal(resource['service.name'], 'pushfleet-test');
      assert.equal(resource['service.instance.id'], 'test-1');
      assert.match(String(resource['service.version']), /^\d+\.\d+\.\d+/);
      assert.equal(count('pushfleet_traces_spans', 'exported'), 2);
    });
  }

  it('go on from a publication where it is sampled', async (t) => {
    const { url, spans } = await collector(t);
    const { traces } = await start(t, { PUSHFLEET_TRACES_URL: url });
    assert.equal(traces.resume('deliver', { parent: unsampled.traceparent }), undefined);
    assert.equal(traces.resume('deliver', { parent: 'nonsense' }), undefined);
    traces.resume('deliver', { parent: sampled.traceparent }, { kind: 'consumer' })?.end();
    await traces.close();
    assert.deepEqual(
      spans.map((span) => [span.name, span.kind, span.traceId, span.parentSpanId]),
      [['deliver', 'CONSUMER', traceId, spanId]],
    );
  });
});

describe('whether a request is traced', () => {
  const decisions = async (t: TestContext, env: NodeJS.ProcessEnv) => {
    const { traces } = await start(t, { PUSHFLEET_TRACES_URL: 'http://127.0.0.1:9', ...env });
    return [sampled, unsampled, {}].map((from) => traces.request('publish', from) !== undefined);
  };

  it('is what its publisher decided, and a matter of the fraction where nobody did', async (t) => {
    assert.deepEqual(await decisions(t, { PUSHFLEET_TRACES_SAMPLE: '1' }), [true, false, true]);
    assert.deepEqual(await decisions(t, { PUSHFLEET_TRACES_SAMPLE: '0' }), [true, false, false]);
  });

  it('is a matter of the fraction alone where publishers are not trusted', async (t) => {
    const env = { PUSHFLEET_TRACES_TRUST_PUBLISHERS: 'false' };
    assert.deepEqual(await decisions(t, { ...env, PUSHFLEET_TRACES_SAMPLE: '1' }), [true, true, true]);
    assert.deepEqual(await decisions(t, { ...env, PUSHFLEET_TRACES_SAMPLE: '0' }), [false, false, false]);
  });

  it('is no for more than the rate, whoever asks', async (t) => {
    const { traces, count } = await start(t, {
      PUSHFLEET_TRACES_URL: 'http://127.0.0.1:9',
      PUSHFLEET_TRACES_RATE: '3',
    });
    const traced = Array.from({ length: 100 }, () => traces.request('publish', sampled)).filter(
      (span) => span !== undefined,
    );
    assert.equal(count('pushfleet_traces_requests', 'traced'), traced.length);
    assert.equal(count('pushfleet_traces_requests', 'rate_limited'), 100 - traced.length);
    assert.ok(traced.length >= 3 && traced.length < 50, String(traced.length));
  });

  it('is a fraction from 0 to 1', () => {
    for (const text of ['-0.1', '1.1', 'often', '0.1.2', '1e9'])
      assert.throws(() => readConfig(traceFields, { PUSHFLEET_TRACES_SAMPLE: text }), ConfigError);
    assert.equal(readConfig(traceFields, { PUSHFLEET_TRACES_SAMPLE: '0.25' }).tracesSample, 0.25);
  });
});

describe('a collector that is', () => {
  it('away costs the spans, is said once, and holds nothing up', async (t) => {
    const { traces, count, logged } = await start(t, {
      PUSHFLEET_TRACES_URL: 'http://name:a-password@127.0.0.1:9',
      PUSHFLEET_TRACES_RATE: '1000',
    });
    for (let i = 0; i < 20; i++) traces.request('publish', {})?.end();
    await traces.close();
    await until(() => logged.length > 0, 'the warning');
    assert.match(logged.join(''), /does not take spans/);
    assert.ok(!logged.join('').includes('a-password'));
    assert.equal(count('pushfleet_traces_spans', 'exported'), 0);
  });

  it('slow gets no more than the queue holds', async (t) => {
    const server = createServer(() => {}); // never answers
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    t.after(() => server.closeAllConnections());
    const { traces, count } = await start(t, {
      PUSHFLEET_TRACES_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      PUSHFLEET_TRACES_QUEUE: '5',
      PUSHFLEET_TRACES_RATE: '1000',
    });
    for (let i = 0; i < 5; i++) traces.request('publish', {})?.end();
    assert.equal(count('pushfleet_traces_spans', 'dropped'), 0);
    traces.request('publish', {})?.end();
    assert.equal(count('pushfleet_traces_spans', 'dropped'), 1);
  });
});
