import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '@pushfleet/contract';
import { matches, type Topic, type TopicFilter } from '@pushfleet/core';
import { EventSource } from 'eventsource';
import { Fleet, type FleetOptions, token } from './fleet.ts';

const topics = ['a', 'a/b', 'a/b/c', 'd', 'd//e', 'f.g/h i'];
const views = [['#'], ['a/#'], ['+/b', 'a/+'], ['d//e', 'f.g/+'], ['a', 'a/#', '#']];

const count = 60;

/** What clients with different filters receive of the same publications, the second half of it by resuming. */
async function play(options: FleetOptions): Promise<Record<string, number[]>[]> {
  const fleet = await Fleet.start(options);
  try {
    const all = await token({ publish: ['#'], subscribe: ['#'] });
    const clients = views.map((view) => open(fleet, view, all));
    await until(
      () => clients.every(({ source }) => source.readyState === EventSource.OPEN),
      'all to be open',
    );
    for (let n = 0; n < count / 2; n++) await publish(fleet, n, all);
    const edges = fleet.edges.length;
    for (let i = 0; i < edges; i++) await fleet.end(fleet.edges, 'SIGKILL');
    for (let n = count / 2; n < count; n++) await publish(fleet, n, all);
    for (let i = 0; i < edges; i++) await fleet.startEdge();
    const done = () => clients.every(({ view, data }) => data.length >= owed(view));
    await until(done, 'every client to have what it is owed');
    for (const { source } of clients) source.close();
    return clients.map(({ data }) => byTopic(data));
  } finally {
    await fleet.stop();
  }
}

const owed = (view: readonly string[]): number =>
  Array.from({ length: count }, (_, n) => topicOf(n)).filter((topic) =>
    view.some((filter) => matches(filter as TopicFilter, topic as Topic)),
  ).length;

const topicOf = (n: number): string => topics[n % topics.length] as string;

interface Numbered {
  readonly n: number;
  readonly topic: string;
}

interface Client {
  readonly view: readonly string[];
  readonly source: EventSource;
  readonly data: Numbered[];
}

function open(fleet: Fleet, view: readonly string[], authorization: string): Client {
  const url = new URL(`http://${fleet.sse.address}/sse`);
  for (const filter of view) url.searchParams.append('topic', filter);
  const data: Numbered[] = [];
  const headers = { Authorization: `Bearer ${authorization}` };
  const source = new EventSource(url, {
    fetch: (input, init) => fetch(input, { ...init, headers: { ...init?.headers, ...headers } }),
  });
  source.addEventListener('message', (event) => data.push(JSON.parse(event.data)));
  return { view, source, data };
}

async function publish(fleet: Fleet, n: number, authorization: string): Promise<void> {
  const topic = topicOf(n);
  const url = `http://${fleet.http.address}/v1/topics?topic=${encodeURIComponent(topic)}`;
  const body = JSON.stringify({ n, topic });
  const answer = await fetch(url, {
    method: 'POST',
    body,
    headers: { Authorization: `Bearer ${authorization}` },
  });
  assert.equal(answer.status, 201, await answer.text());
}

function byTopic(data: readonly Numbered[]): Record<string, number[]> {
  return Object.fromEntries(
    topics.map((topic) => [topic, data.filter((item) => item.topic === topic).map(({ n }) => n)]),
  );
}

test('two edges and three shards give every client the same as one edge and one shard', async () => {
  const small = await play({ edges: 1, shards: 1 });
  const large = await play({ edges: 2, shards: 3 });
  assert.deepEqual(large, small);
});
