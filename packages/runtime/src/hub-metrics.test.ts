import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import { declareHealing, declareHubMetrics } from './hub-metrics.ts';
import { createMetrics } from './metrics.ts';
import { scrape, valueIn } from './testing-metrics.ts';

it('shows what the hubs hold at each scrape, and asks them once for it', async (t) => {
  const metrics = createMetrics();
  let asked = 0;
  declareHubMetrics(metrics, {
    stats: () => ({
      namespaces: 1,
      feeds: 2,
      filters: 3,
      followed: 4,
      ring: { count: 5, bytes: 6 },
      outbox: { count: 7, bytes: 8 },
      replays: { reading: 9, waiting: ++asked },
    }),
  });
  const server = createServer((request, response) => metrics.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.close();
    await metrics.close();
  });
  const scrape = async (): Promise<string[]> => {
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`);
    return (await answer.text()).split('\n').filter((line) => line.startsWith('pushfleet_hub_'));
  };
  const expected = (waiting: number): string[] => [
    'pushfleet_hub_namespaces 1',
    'pushfleet_hub_feeds 2',
    'pushfleet_hub_filters 3',
    'pushfleet_hub_followed_filters 4',
    'pushfleet_hub_ring_publications 5',
    'pushfleet_hub_ring_bytes 6',
    'pushfleet_hub_outbox_publications 7',
    'pushfleet_hub_outbox_bytes 8',
    'pushfleet_hub_replays{state="reading"} 9',
    `pushfleet_hub_replays{state="waiting"} ${waiting}`,
  ];
  assert.deepEqual(await scrape(), expected(1));
  assert.deepEqual(await scrape(), expected(2));
});

it('counts what was lost on the way and found again, by what gave it away', async () => {
  const metrics = createMetrics();
  const onHealed = declareHealing(metrics);
  for (const found of [2, 3]) onHealed({ reason: 'audit', found });
  onHealed({ reason: 'connection_lost', found: 1 });
  const text = await scrape(metrics);
  assert.equal(valueIn(text, 'pushfleet_healed_publications_total{reason="audit"}'), 5);
  assert.equal(valueIn(text, 'pushfleet_healed_publications_total{reason="connection_lost"}'), 1);
  await metrics.close();
});
