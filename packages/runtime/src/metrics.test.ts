import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import { createMetrics } from './metrics.ts';

it('answers a scrape with counters, histograms and values read at that moment', async (t) => {
  const metrics = createMetrics();
  const server = createServer((request, response) => metrics.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.close();
    await metrics.close();
  });
  metrics.counter('pushfleet_things', { description: 'Things.' }).add(2, { kind: 'a' });
  const seconds = metrics.histogram('pushfleet_wait_seconds', { description: 'Waits.', buckets: [0.1, 1] });
  seconds.record(0.05);
  seconds.record(0.5);
  const options = { description: 'Sizes.', buckets: [1, 2] };
  metrics.histogram('pushfleet_size', options, { kind: 'a' }).record(1);
  metrics.histogram('pushfleet_size', options, { kind: 'b' }).record(3);
  let connections = 3;
  metrics.gauge('pushfleet_connections', { description: 'Connections.' }, () => connections);
  metrics.total('pushfleet_deliveries', { description: 'Deliveries.' }, () => [
    [10, { overflow: 'close' }],
    [20, { overflow: 'latest' }],
  ]);
  connections = 4;
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`;
  const answer = await fetch(url);
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain/);
  const text = await answer.text();
  for (const line of [
    'pushfleet_things_total{kind="a"} 2',
    'pushfleet_wait_seconds_bucket{le="0.1"} 1',
    'pushfleet_wait_seconds_bucket{le="1"} 2',
    'pushfleet_wait_seconds_bucket{le="+Inf"} 2',
    'pushfleet_wait_seconds_count 2',
    'pushfleet_wait_seconds_sum 0.55',
    '# TYPE pushfleet_size histogram',
    'pushfleet_size_bucket{kind="a",le="1"} 1',
    'pushfleet_size_bucket{kind="b",le="2"} 0',
    'pushfleet_size_bucket{kind="b",le="+Inf"} 1',
    'pushfleet_connections 4',
    'pushfleet_deliveries_total{overflow="latest"} 20',
    '# TYPE pushfleet_deliveries_total counter',
  ]) {
    assert.ok(text.includes(`${line}\n`), `${line} in:\n${text}`);
  }
});
