import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { EventSource } from 'eventsource';
import { Fleet, token } from './fleet.ts';
import { bearer, publishClient } from './grpc.ts';

let fleet: Fleet;
let all: string;
before(async () => {
  // Three servers, whose leaders are elected just now: a live cursor goes back in time then, and a page must not.
  fleet = await Fleet.start({ natsServers: 3, shards: 3, edges: 2, publishers: 2 });
  all = await token({ publish: ['#'], subscribe: ['#'], manage: true });
});
after(() => fleet.stop());

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
type Json = any;

async function ask(path: string, init: RequestInit = {}): Promise<Json> {
  const answer = await fetch(`http://${fleet.http.address}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${all}`, ...init.headers },
  });
  const body = await answer.json();
  assert.ok(answer.ok, JSON.stringify(body));
  return body;
}

const publish = (topic: string, id: string, headers: Record<string, string> = {}): Promise<Json> =>
  ask(`/v1/topics/${topic}`, { method: 'POST', body: id, headers: { 'idempotency-key': id, ...headers } });

const idsOf = (publications: Json[]): string[] => publications.map(({ id }) => id);

/** Generation and positions of a cursor; the time of a receipt is an estimate. */
const placeOf = (cursor: string): (string | undefined)[] => [cursor.split('-')[0], cursor.split('-')[2]];

/** A client of npm's `eventsource`. */
function listen(filters: readonly string[], lastEventId?: string) {
  const url = new URL(`http://${fleet.sse.address}/sse`);
  for (const filter of filters) url.searchParams.append('topic', filter);
  url.searchParams.set('format', 'cloudevents');
  if (lastEventId !== undefined) url.searchParams.set('last_event_id', lastEventId);
  const source = new EventSource(url, {
    fetch: (input, init) =>
      fetch(input, { ...init, headers: { ...init?.headers, Authorization: `Bearer ${all}` } }),
  });
  const ids: string[] = [];
  const gaps: string[] = [];
  source.addEventListener('message', ({ data }) => ids.push(JSON.parse(data).id));
  source.addEventListener('pushfleet.gap', ({ data }) => gaps.push(data));
  return { source, ids, gaps };
}

/** What a stream of gRPC brings: the ids, and `gap` for each gap. */
function subscribe(filters: readonly string[], afterwards = '') {
  const client = publishClient(fleet.grpc.address);
  const call = client.subscribe<Json>({ filters, after: afterwards }, bearer(all));
  const brought: string[] = [];
  const { promise: stands, resolve } = Promise.withResolvers<void>();
  call.on('error', () => {});
  call.on('data', ({ event, delivery }: Json) => {
    resolve();
    if (event !== undefined) brought.push(event === 'gap' ? 'gap' : delivery.publication.id);
  });
  const close = () => {
    call.cancel();
    client.close();
  };
  return { brought, stands, close };
}

test('pages of any size bring everything once, from any instance, and each cursor goes on live', async () => {
  const topics = ['past/a', 'past/b', 'past/c/d', 'past/e', 'past/f'];
  const owed: string[] = [];
  for (let n = 0; n < 40; n++) {
    const topic = topics[n % topics.length] as string;
    owed.push((await publish(topic, `past-${n}`)).id);
  }
  for (const limit of [1, 7, 40, 1_000]) {
    const ids: string[] = [];
    for (let target = `/v1/history?topic=past/%23&limit=${limit}`, more = true; more; ) {
      const page = await ask(target);
      ids.push(...idsOf(page.publications));
      assert.equal(page.gap, undefined);
      more = page.more;
      assert.ok(ids.length <= owed.length, `pages of ${limit} repeat themselves`);
      target = `/v1/history?topic=past/%23&limit=${limit}&after=${page.cursor}`;
    }
    assert.deepEqual(ids.toSorted(), owed.toSorted(), `pages of ${limit}`);
    for (const topic of topics) {
      const inOrder = owed.filter((_, n) => topics[n % topics.length] === topic);
      assert.deepEqual(
        ids.filter((id) => inOrder.includes(id)),
        inOrder,
      );
    }
  }
  const { publications } = await ask('/v1/history?topic=past/%23');
  const { id, pushfleetcursor } = publications[24];
  const rest = idsOf(publications.slice(25));
  assert.ok(!rest.includes(id));
  const live = listen(['past/#'], pushfleetcursor);
  const stream = subscribe(['past/#'], pushfleetcursor);
  await until(() => live.ids.length >= rest.length && stream.brought.length >= rest.length, 'the rest');
  assert.deepEqual(live.ids.toSorted(), rest.toSorted());
  assert.deepEqual(stream.brought.toSorted(), rest.toSorted());
  live.source.close();
  stream.close();
});

test('what is deleted is given to nobody who resumes, and no gap is told', async () => {
  const begin = (await publish('gone/a', 'begin')).cursor;
  const kept = await publish('gone/b', 'kept');
  const single = await publish('gone/b', 'single');
  for (const id of ['1', '2', '3']) await publish('gone/a', id, { 'pushfleet-retain': 'true' });
  // Somebody listens on each edge, so that the memories of both hold it.
  const listeners = [0, 1, 2, 3].map(() => listen(['gone/#'], begin));
  const held = ['kept', 'single', '1', '2', '3'];
  await until(() => listeners.every(({ ids }) => held.every((id) => ids.includes(id))), 'all to be received');
  assert.deepEqual(await ask('/v1/topics/gone/a', { method: 'DELETE' }), { deleted: 4 });
  const one = `/v1/topics/gone/b?cursor=${single.cursor}`;
  assert.deepEqual(await ask(one, { method: 'DELETE' }), { deleted: 1 });
  await publish('gone/a', 'after');

  const late = [0, 1, 2, 3].map(() => listen(['gone/#'], begin));
  const streams = [0, 1].map(() => subscribe(['gone/#'], begin));
  await until(() => late.every(({ ids }) => ids.includes('after')), 'what came after, over SSE');
  await until(() => streams.every(({ brought }) => brought.includes('after')), 'the same over gRPC');
  for (const { ids, gaps } of late) assert.deepEqual([ids.toSorted(), gaps], [['after', 'kept'], []]);
  for (const { brought } of streams) assert.deepEqual(brought.toSorted(), ['after', 'kept']);
  const history = await ask(`/v1/history?topic=gone/%23&after=${begin}`);
  assert.deepEqual([idsOf(history.publications).toSorted(), history.gap], [['after', 'kept'], undefined]);
  assert.equal((await ask('/v1/topics/gone/a')).retained, null);
  const { duplicate } = await publish('gone/a', '2');
  assert.equal(duplicate, true);
  assert.deepEqual(idsOf((await ask('/v1/history?topic=gone/a')).publications), ['after']);
  assert.ok(kept.cursor);
  for (const { source } of [...listeners, ...late]) source.close();
  for (const { close } of streams) close();
});

test('a topic shows who listens, and a publication is explained, over the whole fleet', async () => {
  const listeners = [0, 1, 2].map(() => listen(['seen/+']));
  const stream = subscribe(['seen/a', '#']);
  await stream.stands;
  await until(
    () => listeners.every(({ source }) => source.readyState === EventSource.OPEN),
    'all to be open',
  );
  const stored = await publish('seen/a', 'seen', { 'pushfleet-retain': 'true' });
  await until(() => listeners.every(({ ids }) => ids.length === 1) && stream.brought.length === 1, 'it');
  const { feeds, retained, policy } = await ask('/v1/topics/seen/a');
  assert.deepEqual(feeds, { grpc: 1, sse: 3 });
  assert.deepEqual([retained.id, placeOf(retained.cursor)], ['seen', placeOf(stored.cursor)]);
  assert.equal(policy.history, true);
  const explained = await ask('/v1/explain?id=seen');
  const [{ topic, cursor, receivers, retained: isRetained }] = explained.publications;
  assert.deepEqual([topic, placeOf(cursor), isRetained], ['seen/a', placeOf(stored.cursor), true]);
  const of = (protocol: string) => receivers.filter((one: Json) => one.protocol === protocol);
  const sum = (protocol: string, name: string) =>
    of(protocol).reduce((total: number, one: Json) => total + one[name], 0);
  assert.deepEqual([of('sse').length, of('grpc').length], [2, 2]);
  assert.deepEqual([sum('sse', 'matched'), sum('sse', 'delivered')], [3, 3]);
  assert.deepEqual([sum('grpc', 'matched'), sum('grpc', 'delivered')], [1, 1]);
  const filters = receivers.flatMap((one: Json) => one.filters.map(({ filter }: Json) => filter));
  assert.deepEqual([...new Set(filters)].toSorted(), ['#', 'seen/+', 'seen/a']);
  for (const { source } of listeners) source.close();
  stream.close();
});
