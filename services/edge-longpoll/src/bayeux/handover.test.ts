import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MemoryBackbone, Stores } from '@pushfleet/bus';
import { until } from '@pushfleet/contract';
import { formatCursor } from '@pushfleet/core';
import type { Scope } from '@pushfleet/edge/testing';
import { decodeRecord, keyOf, type SessionRecord } from './record.ts';
import { allToken, dataOf, HandClient, type Received, startBayeux, type TestServer } from './testing.ts';

const short = { PUSHFLEET_EDGE_LONGPOLL_BAYEUX_TIMEOUT_SECONDS: '1' };
const tens = { ...short, PUSHFLEET_EDGE_LONGPOLL_BATCH_COUNT: '10' };

async function recordOf(server: TestServer, clientId: string): Promise<SessionRecord | undefined> {
  const { ledger } = server.backbone as unknown as Pick<Stores, 'ledger'>;
  const found = await ledger.call(server.backbone, 'sessions').get(keyOf(clientId));
  return found && decodeRecord(found.value);
}

/** Two instances of one fleet, a client at each of them with one session, which is the first one's. */
async function two(t: Scope, ext: object = {}, o: { env?: typeof short; strangers?: boolean } = {}) {
  const { env = short, strangers = false } = o;
  const first = await startBayeux(t, { env });
  const second = await startBayeux(t, { env, beside: first });
  const here = new HandClient(first.url, {});
  await here.handshake({ ext: { pushfleet: { token: allToken() }, ...ext } });
  await here.subscribe('/a');
  const there = new HandClient(second.url, {});
  there.clientId = here.clientId;
  // The ids go on where the other's are.
  for (let n = 0; n < 100; n++) there.nextId();
  if (strangers) return { first, second, here, there };
  const knows = () => first.fleet.instances().length === 2 && second.fleet.instances().length === 2;
  await until(knows, 'they know each other');
  return { first, second, here, there };
}

describe('a session that comes to another instance', () => {
  test('goes on where it was, and is gone from the one before', async (t) => {
    const { first, second, here, there } = await two(t);
    await first.publish('a', '1');
    assert.deepEqual(dataOf(await here.connect()), ['1']);
    await first.publish('a', '2');
    // This connect proves that the answer of the first instance arrived.
    const received = await there.connect();
    assert.deepEqual(dataOf(received), ['2']);
    assert.deepEqual([first.edge.size, second.edge.size], [0, 1]);
    assert.equal((await recordOf(second, here.clientId))?.by, second.fleet.instance);
  });

  test('is given again what may not have arrived', async (t) => {
    const { first, here, there } = await two(t);
    await first.publish('a', '1');
    assert.deepEqual(dataOf(await here.connect()), ['1']);
    assert.deepEqual(dataOf(await there.connect({ advice: { timeout: 0 } })), []);
    assert.deepEqual(dataOf(await there.connect()), ['1']);
  });

  test('is let go of by an instance that could not be asked for it', async (t) => {
    const { first, second, here, there } = await two(t);
    const { fleet } = second;
    const ask = fleet.ask.bind(fleet);
    // As where the answer comes too late.
    const deaf: typeof ask = (name, ...rest) =>
      name === 'bayeux' ? Promise.resolve([]) : ask(name, ...rest);
    Object.assign(fleet, { ask: deaf });
    await here.connect({ advice: { timeout: 0 } });
    await there.connect({ advice: { timeout: 0 } });
    await until(() => first.edge.size === 0, 'the first instance hears of it');
    await second.publish('a', '1');
    assert.deepEqual(dataOf(await there.connect()), ['1']);
  });

  test('acknowledges there what it received here', async (t) => {
    const { first, here, there } = await two(t, { ack: true });
    await first.publish('a', '1');
    const received = await here.connect({ ext: { ack: 0 } });
    await first.publish('a', '2');
    const ack = received.at(-1)?.ext?.ack ?? 0;
    const more = await there.connect({ ext: { ack } });
    assert.deepEqual(dataOf(more), ['2']);
    assert.ok((more.at(-1)?.ext?.ack ?? 0) > ack);
  });

  test('answers the connect that waits at the one before', async (t) => {
    const { first, here, there } = await two(t);
    const waiting = here.connect();
    await until(() => first.waiting() === 1, 'a connect waits');
    const [answer] = await there.connect({ advice: { timeout: 0 } });
    assert.equal(answer?.successful, true);
    assert.equal((await waiting)[0]?.successful, true);
    assert.equal(first.edge.size, 0);
  });

  test('is given up by an instance that was not heard of yet', async (t) => {
    const { first, second, here, there } = await two(t, {}, { strangers: true });
    Object.assign(second.fleet, { instances: () => [] });
    const waiting = here.connect();
    await until(() => first.waiting() === 1, 'a connect waits');
    assert.equal((await there.subscribe('/b')).successful, true);
    assert.deepEqual([first.edge.size, second.edge.size], [0, 1]);
    assert.equal((await waiting)[0]?.successful, true);
  });

  test('may be subscribed there, and publishes without being moved', async (t) => {
    const { first, second, here, there } = await two(t);
    const { clientId } = here;
    const [stored] = await there.post([{ channel: '/x', clientId, data: 1 }]);
    assert.equal(stored?.successful, true);
    assert.deepEqual([first.edge.size, second.edge.size], [1, 0]);
    assert.equal((await there.subscribe('/b')).successful, true);
    assert.deepEqual([first.edge.size, second.edge.size], [0, 1]);
    await first.publish('a', '1');
    await first.publish('b', '2');
    const seen: unknown[] = [];
    while (seen.length < 2) seen.push(...dataOf(await there.connect()));
    assert.deepEqual(seen, ['1', '2']);
  });

  test('goes back and forth and loses nothing', async (t) => {
    const { first, here, there } = await two(t);
    const seen: unknown[] = [];
    let sent = 0;
    for (let round = 0; seen.length < 60; round++) {
      if (sent < 60) for (let n = 0; n < 3; n++) await first.publish('a', String(sent++));
      seen.push(...dataOf(await (round % 2 === 0 ? there : here).connect({ id: `r${round}` })));
    }
    assert.deepEqual(
      [...new Set(seen)],
      Array.from({ length: 60 }, (_, n) => String(n)),
    );
  });

  test('is asked for by several requests at once, and taken over once', async (t) => {
    const { first, second, there } = await two(t);
    const answers = await Promise.all(['/b', '/c', '/d'].map((channel) => there.subscribe(channel)));
    assert.ok(answers.every(({ successful }) => successful));
    assert.equal(second.edge.size, 1);
    assert.deepEqual(
      (await recordOf(first, there.clientId))?.subscriptions.map(({ channel }) => channel),
      ['/a', '/b', '/c', '/d'],
    );
  });
});

/** Connects at one after the other, each time with another id, until nothing comes twice: once may be a busy machine. */
async function wander(clients: readonly HandClient[], ack = false): Promise<Received[]> {
  const seen: Received[] = [];
  let [acked, nothing] = [0, 0];
  for (let round = 0; round < 30; round++) {
    const client = clients[round % clients.length] as HandClient;
    const received = await client.connect({ id: `r${round}`, ...(ack && { ext: { ack: acked } }) });
    acked = received.at(-1)?.ext?.ack ?? acked;
    const events = received.filter(({ data }) => data !== undefined);
    nothing = events.length === 0 ? nothing + 1 : 0;
    if (nothing === 2) return seen;
    seen.push(...events);
  }
  assert.fail(`it goes on and on: ${seen.map(({ data }) => data).join()}`);
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, n) => String(from + n));

describe('a session that moves with each connect', () => {
  const sorted = (events: readonly Received[]): unknown[] =>
    dataOf(events).sort((a, b) => Number(a) - Number(b));

  async function beginning(server: TestServer, topic: string, past: readonly string[]): Promise<string> {
    const { generation } = (server.backbone as MemoryBackbone).log;
    for (const id of past) await server.publish(topic, id);
    return formatCursor({ generation, positions: [0], time: Date.now() });
  }

  for (const ack of [false, true]) {
    test(`gets on with what it asked of the past${ack ? ', acknowledging' : ''}`, async (t) => {
      const { first, here, there } = await two(t, { ack }, { env: tens });
      const after = await beginning(first, 'b', numbers(1, 35));
      await here.subscribe('/b', { after });
      assert.deepEqual(dataOf(await wander([there, here], ack)), numbers(1, 35));
    });
  }

  test('gets on with subscriptions that begin at several places', async (t) => {
    const { first, here, there } = await two(t, {}, { env: tens });
    const after = await beginning(first, 'b', numbers(1, 30));
    const { cursor } = await first.publish('c', '31');
    for (const id of numbers(32, 60)) await first.publish('c', id);
    for (const id of numbers(61, 65)) await first.publish('a', id);
    await here.subscribe('/c', { after: cursor });
    await here.subscribe('/b', { after });
    const seen = await wander([here, there]);
    for (const [channel, first, last] of [
      ['/b', 1, 30],
      ['/c', 32, 60],
      ['/a', 61, 65],
    ] as const) {
      const given = new Set(dataOf(seen.filter((event) => event.channel === channel)));
      assert.deepEqual(
        numbers(first, last).filter((id) => !given.has(id)),
        [],
        channel,
      );
    }
  });

  test('is given all of the past although what came before it is proven later', async (t) => {
    const { first, here, there } = await two(t, {}, { env: tens });
    const after = await beginning(first, 'b', numbers(1, 15));
    await first.publish('a', '16');
    assert.deepEqual(dataOf(await here.connect()), ['16']);
    await here.subscribe('/b', { after });
    assert.deepEqual(new Set(sorted(await wander([there, here]))), new Set(numbers(1, 16)));
  });

  test('and is then killed, loses nothing of the past', async (t) => {
    const { first, second, here, there } = await two(t, {}, { env: tens });
    const after = await beginning(first, 'b', numbers(1, 15));
    await first.publish('a', '16');
    assert.deepEqual(dataOf(await here.connect()), ['16']);
    await here.subscribe('/b', { after });
    const seen = dataOf(await here.connect());
    await first.kill();
    seen.push(...dataOf(await wander([there])));
    assert.deepEqual(
      [...new Set(seen)].sort((a, b) => Number(a) - Number(b)),
      numbers(1, 16),
    );
    assert.equal(second.edge.size, 1);
  });

  for (const ext of [{}, { after: true }]) {
    const name = 'after' in ext ? ', and what came behind a cursor' : '';
    test(`is given retained publications once${name}`, async (t) => {
      const { first, here, there } = await two(t, {}, { env: tens });
      for (const id of numbers(1, 3)) await first.publish(`r/${id}`, id, { retain: true });
      const { cursor } = await first.publish('x', 'x');
      if ('after' in ext) for (const id of numbers(4, 25)) await first.publish('r/x', id);
      await here.subscribe('/r/*', { retained: true, ...('after' in ext && { after: cursor }) });
      const seen = await wander([there, here]);
      const retained = seen.filter(({ ext }) => ext?.pushfleet?.retained);
      assert.deepEqual(new Set(dataOf(retained)), new Set(numbers(1, 3)));
      assert.deepEqual(new Set(sorted(seen)), new Set(numbers(1, 'after' in ext ? 25 : 3)));
      if (!('after' in ext)) assert.equal(seen.length, 3);
      assert.equal(
        (await recordOf(first, here.clientId))?.subscriptions.some((one) => one.retained),
        false,
      );
    });
  }
});

test('behind a balancer without stickiness nothing is refused and nothing lost', async (t) => {
  const { first, here, there } = await two(t);
  const clients = [here, there];
  const channels = Array.from({ length: 12 }, (_, n) => `/c/${n}`);
  const seen = new Set<unknown>();
  let over = false;
  const connects = (async () => {
    for (let n = 0; !over; n++) {
      const received = await (clients[n % 2] as HandClient).connect({ id: `c${n}` });
      assert.equal(received.at(-1)?.successful, true, JSON.stringify(received.at(-1)));
      for (const data of dataOf(received)) seen.add(data);
    }
  })();
  for (const [n, channel] of channels.entries()) {
    const answer = await (clients[n % 2] as HandClient).subscribe(channel);
    assert.equal(answer.successful, true, JSON.stringify(answer));
    await first.publish(channel.slice(1), channel);
  }
  await until(() => seen.size === channels.length, 'all arrive');
  over = true;
  await connects;
});

describe('an instance that drains', () => {
  test('hands its sessions on, and asks their clients to come back', async (t) => {
    const { first, second, here, there } = await two(t);
    await first.publish('a', '1');
    assert.deepEqual(dataOf(await here.connect()), ['1']);
    const waiting = here.connect({ advice: { timeout: 5_000 } });
    await until(() => first.waiting() === 1, 'a connect waits');
    await first.edge.drain(AbortSignal.timeout(5_000));
    const [answer] = await waiting;
    assert.deepEqual([answer?.successful, answer?.advice?.reconnect], [true, 'retry']);
    const record = await recordOf(second, here.clientId);
    assert.equal(record?.by, '');
    await second.publish('a', '2');
    assert.deepEqual(dataOf(await there.connect()), ['2']);
  });

  test('takes no new sessions, and none of others', async (t) => {
    const { first, here } = await two(t);
    await first.edge.drain(AbortSignal.timeout(5_000));
    const refused = await new HandClient(first.url).handshake();
    assert.match(refused.error ?? '', /^503:/);
    assert.equal(refused.advice?.reconnect, 'handshake');
    const [answer] = await here.connect();
    assert.match(answer?.error ?? '', /^503:/);
    assert.equal(answer?.advice?.reconnect, 'retry');
  });
});

describe('the record of a session', () => {
  test('is stored before a handshake and a subscription are answered', async (t) => {
    const server = await startBayeux(t);
    const client = new HandClient(server.url);
    await client.handshake();
    const shaken = await recordOf(server, client.clientId);
    assert.deepEqual(shaken?.subscriptions, []);
    assert.equal(shaken?.by, server.fleet.instance);
    await client.subscribe('/a/**');
    const record = await recordOf(server, client.clientId);
    assert.deepEqual(record?.subscriptions, [{ channel: '/a/**', filter: 'a/+/#' }]);
    assert.ok(record?.cursor);
    assert.equal(record.grant.maySubscribe('x' as never), true);
  });

  test('follows what has arrived, at most once a second', async (t) => {
    const server = await startBayeux(t, { env: short });
    const client = new HandClient(server.url);
    await client.handshake();
    await client.subscribe('/a');
    const before = await recordOf(server, client.clientId);
    for (let n = 0; n < 20; n++) {
      await server.publish('a', String(n));
      await client.connect();
    }
    await client.connect({ id: 'last' });
    const written = async () => (await recordOf(server, client.clientId))?.cursor;
    await until(async () => (await written()) !== before?.cursor, 'its place to be written');
  });

  test('is gone after a disconnect', async (t) => {
    const server = await startBayeux(t);
    const client = new HandClient(server.url);
    await client.handshake();
    await client.post([{ channel: '/meta/disconnect', clientId: client.clientId }]);
    assert.equal(await recordOf(server, client.clientId), undefined);
  });

  test('does not tell the client id', () => {
    assert.match(keyOf('secret'), /^[\w-]{32}$/);
    assert.ok(!keyOf('secret').includes('secret'));
  });
});
