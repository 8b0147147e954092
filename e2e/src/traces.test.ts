import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Metadata } from '@grpc/grpc-js';
import { context, propagation, ROOT_CONTEXT, type Span, SpanKind, trace } from '@opentelemetry/api';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { type Collector, startCollector, until } from '@pushfleet/contract';
import { connect } from '@pushfleet/publisher';
import { EventSource } from 'eventsource';
import { Fleet, token } from './fleet.ts';
import { bearer, publishClient, type Receipt } from './grpc.ts';
import { shape, treesOf } from './trace-tree.ts';

let collector: Collector;
let fleet: Fleet;
let publisher: NodeSDK;
let all: string;

before(async () => {
  collector = await startCollector();
  // The publisher is instrumented by OpenTelemetry alone: it knows nothing of the fleet's traces.
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = collector.url;
  process.env.OTEL_BSP_SCHEDULE_DELAY = '200';
  publisher = new NodeSDK({ serviceName: 'shop', metricReaders: [], logRecordProcessors: [] });
  publisher.start();
  fleet = await Fleet.start({
    edges: 2,
    env: { PUSHFLEET_TRACES_URL: collector.url, PUSHFLEET_TRACES_SAMPLE: '0' },
  });
  all = await token({ publish: ['#'], subscribe: ['#'] });
});

after(async () => {
  await fleet?.stop();
  await publisher?.shutdown();
  await collector?.stop();
});

/** Two clients of one edge and one of the other, each with two filters that match. */
async function listen(topic: string): Promise<{ received: string[]; close(): void }> {
  const received: string[] = [];
  const addresses = [0, 0, 1].map((edge) => fleet.edges[edge]?.addresses.http);
  const sources = addresses.map((address) => {
    const url = `http://${address}/sse?topic=${encodeURIComponent(topic)}&topic=${encodeURIComponent('#')}`;
    const source = new EventSource(url, {
      fetch: (input, init) =>
        fetch(input, { ...init, headers: { ...init?.headers, Authorization: `Bearer ${all}` } }),
    });
    source.addEventListener('message', ({ data }) => received.push(data));
    return source;
  });
  await until(() => sources.every(({ readyState }) => readyState === EventSource.OPEN), 'all to be open');
  return {
    received,
    close: () => {
      for (const source of sources) source.close();
    },
  };
}

/** Runs with a span of the publisher's own and the headers that its instrumentation sends along. */
async function withSpan<T>(
  name: string,
  run: (headers: Record<string, string>, span: Span) => Promise<T>,
): Promise<Span> {
  const span = trace.getTracer('shop').startSpan(name, { kind: SpanKind.CLIENT }, ROOT_CONTEXT);
  const headers: Record<string, string> = {};
  propagation.inject(trace.setSpan(ROOT_CONTEXT, span), headers);
  await run(headers, span);
  span.end();
  return span;
}

const authorized = (headers: Record<string, string>): Metadata => {
  const metadata = bearer(all);
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
};

const byHttp = (topic: string, headers: Record<string, string>, body: string): Promise<Response> =>
  fetch(`http://${fleet.http.address}/v1/topics/${topic}`, {
    method: 'POST',
    headers: { ...headers, authorization: `Bearer ${all}`, 'content-type': 'text/plain' },
    body,
  });

/** Every way to publish, and the draft it hands over with the headers of its span. */
const ways: Readonly<
  Record<string, (topic: string, headers: Record<string, string>, text: string) => Promise<unknown>>
> = {
  HTTP: async (topic, headers, text) => {
    const response = await byHttp(topic, headers, text);
    assert.equal(response.status, 201, await response.text());
  },
  'gRPC Publish': (topic, headers, text) =>
    new Promise<Receipt>((resolve, reject) => {
      const client = publishClient(fleet.grpc.address);
      const draft = { topic, contentType: 'text/plain', payload: Buffer.from(text) };
      client.publish({ draft }, authorized(headers), (error, receipt) => {
        client.close();
        if (error === null) resolve(receipt);
        else reject(error);
      });
    }),
  'gRPC PublishStream': (topic, headers, text) =>
    new Promise((resolve, reject) => {
      const client = publishClient(fleet.grpc.address);
      const stream = client.publishStream<object>(authorized({}));
      stream.on('error', reject);
      stream.on('data', (answer) => {
        stream.end();
        resolve(answer);
      });
      stream.on('end', () => client.close());
      const { traceparent } = headers;
      stream.write({
        correlation: 1,
        draft: { topic, contentType: 'text/plain', payload: Buffer.from(text), traceparent },
      });
    }),
};

for (const [way, publish] of Object.entries(ways)) {
  test(`${way}: one trace, and in it one tree from the publisher to each socket`, async () => {
    const topic = `traced/${way.replaceAll(' ', '-')}`;
    const listeners = await listen(topic);
    const span = await withSpan(`buy by ${way}`, (headers) =>
      publish(topic, headers, 'a secret of the shop'),
    );
    await until(() => listeners.received.length === 3, 'three clients to receive it');
    const { traceId } = span.spanContext();
    const spansOf = () => collector.spans.filter((one) => one.traceId === traceId);
    await until(() => spansOf().length >= 8, 'eight spans at the collector');
    const trees = treesOf(spansOf());
    assert.deepEqual(trees.map(shape), [
      {
        [`shop: buy by ${way}`]: {
          'pushfleet-publish: publish': {
            'pushfleet-publish: store': {
              'pushfleet-edge-sse: deliver (1 feed)': { 'pushfleet-edge-sse: write': {} },
              'pushfleet-edge-sse: deliver (2 feeds)': {
                'pushfleet-edge-sse: write': {},
                'pushfleet-edge-sse: write (2)': {},
              },
            },
          },
        },
      },
    ]);
    assert.ok(!JSON.stringify(spansOf()).includes('a secret of the shop'));
    assert.ok(!JSON.stringify(spansOf()).includes(all));
    listeners.close();
  });
}

test('@pushfleet/publisher: its own span stands between that of its caller and those of the fleet', async () => {
  const listeners = await listen('traced/package');
  await using publisher = connect({ url: `http://${fleet.grpc.address}`, token: all });
  const span = await withSpan('buy', (_, active) =>
    context.with(trace.setSpan(ROOT_CONTEXT, active), () => publisher.publish('traced/package', 'text')),
  );
  await until(() => listeners.received.length === 3, 'three clients to receive it');
  const { traceId } = span.spanContext();
  const spansOf = () => collector.spans.filter((one) => one.traceId === traceId);
  await until(() => spansOf().length >= 8, 'eight spans at the collector');
  // It publishes in batches, whose request belongs to many traces and so to none of them.
  assert.deepEqual(treesOf(spansOf()).map(shape), [
    {
      'shop: buy': {
        'shop: publish': {
          'pushfleet-publish: store': {
            'pushfleet-edge-sse: deliver (1 feed)': { 'pushfleet-edge-sse: write': {} },
            'pushfleet-edge-sse: deliver (2 feeds)': {
              'pushfleet-edge-sse: write': {},
              'pushfleet-edge-sse: write (2)': {},
            },
          },
        },
      },
    },
  ]);
  listeners.close();
});

test('what its publisher does not trace, nobody does', async () => {
  const before = collector.spans.length;
  const listeners = await listen('untraced');
  const unsampled = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00' };
  await byHttp('untraced', unsampled, 'x');
  await until(() => listeners.received.length === 3, 'three clients to receive it');
  // Whatever had been traced would come before this.
  const marker = await withSpan('marker', (headers) => byHttp('marker', headers, 'y'));
  const { traceId } = marker.spanContext();
  await until(
    () => collector.spans.filter((one) => one.traceId === traceId).length >= 6,
    'the trace that follows',
  );
  const strangers = collector.spans.slice(before).filter((one) => one.traceId !== traceId);
  assert.deepEqual(strangers, []);
  listeners.close();
});

test('the metrics say what was delivered how late, and how long requests took', async () => {
  const scrape = async (address: string | undefined) => (await fetch(`http://${address}/metrics`)).text();
  const edge = await scrape(fleet.edges[0]?.addresses.ops);
  assert.match(edge, /^pushfleet_fanout_lag_seconds_count\{protocol="sse"\} [1-9]/m);
  assert.match(edge, /^pushfleet_requests_seconds_count\{api="sse",outcome="ok"\} [1-9]/m);
  const publish = await scrape(fleet.publishers[0]?.addresses.ops);
  for (const api of ['http', 'grpc', 'grpc-stream'])
    assert.match(
      publish,
      new RegExp(`^pushfleet_requests_seconds_count\\{api="${api}",outcome="ok"\\} [1-9]`, 'm'),
    );
  assert.match(publish, /^pushfleet_traces_spans_total\{outcome="exported"\} [1-9]/m);
  assert.match(publish, /^pushfleet_traces_spans_total\{outcome="dropped"\} 0$/m);
});

test('a service that is told to stop sends its last spans first', async () => {
  const span = await withSpan('last', (headers) => byHttp('last', headers, 'z'));
  await fleet.end(fleet.publishers, 'SIGTERM');
  const { traceId } = span.spanContext();
  const names = collector.spans.filter((one) => one.traceId === traceId).map(({ name }) => name);
  assert.ok(names.includes('publish') && names.includes('store'), names.join());
});
