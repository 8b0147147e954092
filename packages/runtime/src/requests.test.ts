import assert from 'node:assert/strict';
import { it } from 'node:test';
import { PushfleetError } from '@pushfleet/core';
import { createMetrics } from './metrics.ts';
import { declareRequests } from './requests.ts';
import { scrape, valueIn } from './testing-metrics.ts';

it('counts requests and their time by API and by whose fault it was', async () => {
  const metrics = createMetrics();
  const requests = declareRequests(metrics, 'http');
  declareRequests(metrics, 'grpc').ended(performance.now());
  requests.ended(performance.now() - 100_000);
  requests.ended(performance.now(), new PushfleetError('forbidden', 'Not yours.'));
  requests.ended(performance.now(), new PushfleetError('unavailable', 'Away.'));
  requests.ended(performance.now(), new TypeError('a bug'));
  const text = await scrape(metrics);
  const count = (api: string, outcome: string) =>
    valueIn(text, `pushfleet_requests_seconds_count{api="${api}",outcome="${outcome}"}`);
  assert.deepEqual(
    ['ok', 'refused', 'failed'].map((outcome) => count('http', outcome)),
    [1, 1, 2],
  );
  assert.equal(count('grpc', 'ok'), 1);
  assert.ok((valueIn(text, 'pushfleet_requests_seconds_sum{api="http",outcome="ok"}') ?? 0) >= 100);
  await metrics.close();
});
