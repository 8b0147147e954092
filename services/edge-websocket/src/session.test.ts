import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type Item, PushfleetError, type Stored } from '@pushfleet/core';
import { type CloseCode, Runs } from '@pushfleet/edge';
import type { Delivery, FeedOptions, Hub } from '@pushfleet/hub';
import type { Grant } from '@pushfleet/runtime';
import { Encodings } from './encoding.ts';
import { Session, type SessionShared } from './session.ts';
import { FakePresence } from './testing.ts';
import { readSaid, type Said, serverFrames } from './testing-client.ts';
import { at, delivery } from './testing-items.ts';

/** A hub with one feed that is filled by hand. */
class FakeHub {
  items: Item<Delivery>[] = [];
  cursor = at(0);
  closed = false;
  options: FeedOptions | undefined;
  adding: Promise<void> = Promise.resolve();

  open(options: FeedOptions): ReturnType<Hub['open']> {
    this.options = options;
    const hub = this;
    return {
      add: () => this.adding,
      remove: () => {},
      take: (count: number) => this.items.splice(0, count),
      get cursor() {
        return hub.cursor;
      },
      live: true,
      retaining: false,
      close: () => {
        this.closed = true;
      },
    };
  }

  give(...items: Item<Delivery>[]): void {
    this.items.push(...items);
    this.options?.onReadable();
  }
}

/** Time that stands still until it is told to go on. */
class FakeWheel {
  now = 1_000_000;
  readonly armed = new Set<{ at: number; fire: () => void }>();

  after(ms: number, fire: () => void): () => void {
    const entry = { at: this.now + ms, fire };
    this.armed.add(entry);
    return () => this.armed.delete(entry);
  }

  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.armed].sort((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.now = next.at;
      this.armed.delete(next);
      next.fire();
    }
    this.now = end;
  }
}

class FakeWire {
  full = false;
  held = 0;
  destroyed = false;
  ended = false;
  #written = Buffer.alloc(0);

  write(bytes: Buffer): boolean {
    this.#written = Buffer.concat([this.#written, bytes]);
    return !this.full;
  }

  holdReading(): void {
    this.held++;
  }

  end(bytes: Buffer): void {
    this.write(bytes);
    this.ended = true;
  }

  destroy(): void {
    this.destroyed = true;
  }

  /** The frames written since the last call. */
  get frames() {
    const frames = serverFrames(this.#written);
    this.#written = Buffer.alloc(0);
    return frames;
  }

  /** The newest of those messages. */
  last(): Said {
    return this.news.at(-1) as Said;
  }

  /** What was said since the last call: messages, and control frames by a word. */
  get news(): (Said | 'ping' | 'close')[] {
    return this.frames.map(({ opcode, payload }) =>
      opcode === 9 ? 'ping' : opcode === 8 ? 'close' : readSaid(payload, opcode === 2),
    );
  }
}

const hour = 3_600_000;

function open(o: { agedAt?: number; expiresIn?: number; requests?: number } = {}) {
  const hub = new FakeHub();
  const wheel = new FakeWheel();
  const wire = new FakeWire();
  const presence = new FakePresence();
  const ends: CloseCode[] = [];
  const quota = { held: 0 };
  const publishing = { answer: Promise.resolve({ id: 'p', cursor: at(1), duplicate: false } as Stored) };
  const grant = {
    ...{ subject: 'ann', namespace: 'default', expiresAt: wheel.now + (o.expiresIn ?? hour) },
    require: () => {},
  } as unknown as Grant;
  const shared: SessionShared = {
    ...{ runs: new Runs(), presence, wheel },
    now: () => wheel.now,
    deliveries: { writing: () => undefined },
    outbox: { count: 10, bytes: 1_000 },
    written: { deliveries: 0, bytes: 0 },
    limits: { message: 1_000, filters: 3, requests: o.requests ?? 2, publishRate: 5 },
    quotas: {
      subscribe(_, filters) {
        quota.held += filters;
      },
      unsubscribe(_, filters) {
        quota.held -= filters;
      },
    },
    tokens: { check: async () => ({ ...grant, expiresAt: wheel.now + 2 * hour }) },
    publishing: { publish: async () => [await publishing.answer] },
    onEnd: (code) => ends.push(code),
    onError: (error) => assert.fail(error as Error),
  };
  const session = new Session(shared, {
    ...{ wire, hub, grant, connection: 'first', agedAt: o.agedAt ?? Number.POSITIVE_INFINITY },
    encode: new Encodings(1_024).of(undefined),
    nameOf: () => 'second',
  });
  session.begin();
  const say = (message: object): void => session.message(Buffer.from(JSON.stringify(message)), false);
  return { session, hub, wheel, wire, presence, ends, quota, publishing, say };
}

test('welcome comes first and tells who, until when, and the limits', () => {
  const { wire, wheel } = open();
  assert.deepEqual(wire.news, [
    {
      ...{ type: 'welcome', connection: 'first', subject: 'ann', expires: wheel.now + hour, ping: 25_000 },
      limits: { message: 1_000, filters: 3, requests: 2, publishRate: 5 },
    },
  ]);
});

test('a ping every 15 to 25 seconds; whoever answers stays', () => {
  const { session, wire, wheel } = open();
  void wire.news;
  const pings = [wheel.now];
  for (let ms = 0; ms < hour / 2; ms += 100) {
    wheel.pass(100);
    if (wire.news.length === 0) continue;
    pings.push(wheel.now);
    session.heard();
  }
  const gaps = pings.slice(1).map((at, i) => at - (pings[i] as number));
  assert.ok(gaps.every((gap) => gap >= 15_000 && gap <= 25_100));
  assert.ok(new Set(gaps).size > 20, 'each at a time of its own');
  assert.equal(wire.destroyed, false);
});

test('whoever answers nothing for two beats is cut', () => {
  const { wire, wheel, ends, presence } = open();
  void wire.news;
  wheel.pass(2 * 15_000);
  assert.equal(wire.destroyed, false);
  wheel.pass(3 * 25_000 - 2 * 15_000);
  assert.equal(wire.destroyed, true);
  assert.deepEqual(wire.news.filter((word) => word === 'ping').length, 2);
  assert.deepEqual([ends, presence.partings], [['timeout'], [{ connection: 'first', how: 'lost' }]]);
  assert.equal(wheel.armed.size, 0);
});

test('a quiet connection is told that its place moves on', async () => {
  const { wire, wheel, hub, session, say } = open();
  say({ type: 'subscribe', id: 1, filters: ['a'] });
  await turn();
  void wire.news;
  hub.cursor = at(5);
  wheel.pass(25_000);
  assert.deepEqual(wire.news, [{ type: 'cursor', cursor: at(5) }, 'ping']);
  session.heard();
  wheel.pass(25_000);
  assert.deepEqual(wire.news[0], 'ping');
});

test('publications are written together; their cursor is the place', async () => {
  const { wire, hub, say } = open();
  say({ type: 'subscribe', id: 1, filters: ['a'], after: at(3) });
  await turn();
  assert.deepEqual(wire.news.at(-1), { type: 'subscribed', id: 1, cursor: at(3) });
  hub.give(delivery(4), delivery(5));
  assert.deepEqual(
    wire.news.map((said) => (said as { event?: { pushfleetcursor: string } }).event?.pushfleetcursor),
    [at(4), at(5)],
  );
});

test('a second subscribe names the place of all filters, which may lie before the first', async () => {
  const { wire, hub, say } = open();
  say({ type: 'subscribe', id: 1, filters: ['a'] });
  await turn();
  void wire.news;
  hub.cursor = at(2);
  say({ type: 'subscribe', id: 2, filters: ['b'], after: at(9) });
  await turn();
  assert.deepEqual(wire.news, [{ type: 'subscribed', id: 2, cursor: at(2) }]);
});

test('a full wire takes no more requests until it is drained; nothing is lost', () => {
  const { wire, say, hub, session } = open();
  wire.full = true;
  say({ type: 'ping', id: 1 });
  assert.equal(wire.held, 1);
  hub.give(delivery(1));
  assert.equal(hub.items.length, 1);
  wire.full = false;
  session.drained();
  assert.equal(hub.items.length, 0);
});

test('a slow consumer with a full wire is cut, one with room is told', () => {
  const one = open();
  one.wire.full = true;
  one.say({ type: 'ping' });
  one.hub.options?.onClose({ kind: 'slow_consumer' });
  assert.deepEqual([one.wire.destroyed, one.wire.ended], [true, false]);
  const other = open();
  void other.wire.news;
  other.hub.options?.onClose({ kind: 'slow_consumer' });
  const [closing, close] = other.wire.frames;
  const said = readSaid(closing?.payload as Buffer, false);
  assert.deepEqual([said.type, said.code, said.reconnect], ['closing', 'slow_consumer', true]);
  assert.ok((said.retryMs as number) >= 1_000);
  assert.equal(close?.payload.readUInt16BE(0), 1013);
  assert.equal(other.wire.ended, true);
});

test('it ends with its token, and by its age where that comes before', () => {
  const expired = open({ expiresIn: 1_000 });
  expired.wheel.pass(1_000);
  const aged = open({ agedAt: 1_000_500 });
  aged.wheel.pass(500);
  assert.deepEqual([expired.ends, aged.ends], [['token_expired'], ['connection_age']]);
  assert.deepEqual(expired.presence.partings, [{ connection: 'first', how: 'left' }]);
  assert.deepEqual(aged.presence.partings, [{ connection: 'first', how: 'lost' }]);
});

test('a new token moves the deadline on, and the age stays', async () => {
  const { wheel, say, wire, ends, session } = open({ expiresIn: 1_000, agedAt: 1_000_000 + hour });
  say({ type: 'auth', id: 1, token: 'x' });
  await turn();
  assert.deepEqual(wire.news.at(-1), {
    type: 'renewed',
    id: 1,
    expires: wheel.now + 2 * hour,
    connection: 'second',
  });
  for (let i = 0; i < 100; i++) {
    wheel.pass(15_000);
    session.heard();
  }
  assert.deepEqual(ends, []);
  for (let i = 0; i < 200; i++) {
    wheel.pass(15_000);
    session.heard();
  }
  assert.deepEqual(ends, ['connection_age']);
});

test('requests under way are answered before a drain closes; new ones are not taken', async () => {
  const { session, wire, publishing, say } = open();
  const stored = Promise.withResolvers<Stored>();
  publishing.answer = stored.promise;
  say({ type: 'publish', id: 1, topic: 't', text: 'x' });
  void wire.news;
  session.end('draining');
  assert.deepEqual(wire.news, []);
  say({ type: 'publish', id: 2, topic: 't', text: 'x' });
  const [refused] = wire.news as Said[];
  assert.deepEqual([refused?.id, refused?.code], [2, 'draining']);
  stored.resolve({ id: 'p', topic: 't', cursor: at(1), duplicate: false } as unknown as Stored);
  await turn();
  const [published, closing, close] = wire.news as unknown as [Said, Said, 'close'];
  assert.deepEqual([published.type, closing.code, close], ['published', 'draining', 'close']);
});

test('a request that takes too long does not hold up a drain', () => {
  const { session, wire, publishing, say, wheel, ends } = open();
  publishing.answer = new Promise(() => {});
  say({ type: 'publish', id: 1, topic: 't', text: 'x' });
  session.end('draining');
  wheel.pass(5_000);
  assert.deepEqual([wire.ended, ends], [true, ['draining']]);
});

test('requests below and at the limit are taken; one more is refused, and the connection stays', async () => {
  const { wire, publishing, say } = open({ requests: 2 });
  const stored = Promise.withResolvers<Stored>();
  publishing.answer = stored.promise;
  void wire.news;
  for (const id of [1, 2, 3]) say({ type: 'publish', id, topic: 't', text: 'x' });
  const news = wire.news as Said[];
  assert.deepEqual(
    news.map(({ id, code, limit }) => [id, code, limit]),
    [[3, 'rate_limited', 2]],
  );
  stored.resolve({ id: 'p', cursor: at(1), duplicate: false } as Stored);
  await turn();
  assert.deepEqual(
    (wire.news as Said[]).map(({ id, type }) => [id, type]),
    [
      [1, 'published'],
      [2, 'published'],
    ],
  );
  say({ type: 'publish', id: 4, topic: 't', text: 'x' });
  await turn();
  assert.deepEqual(
    (wire.news as Said[]).map(({ id, type }) => [id, type]),
    [[4, 'published']],
  );
});

test('filters are counted while they are held', async () => {
  const { quota, say, session, hub, wire } = open();
  say({ type: 'subscribe', id: 1, filters: ['a', 'b'] });
  say({ type: 'subscribe', id: 2, filters: ['b', 'c'] });
  await turn();
  assert.equal(quota.held, 3);
  say({ type: 'subscribe', id: 3, filters: ['d'] });
  await turn();
  assert.equal(wire.last().code, 'too_many_filters');
  say({ type: 'unsubscribe', id: 4, filters: ['a', 'unknown'] });
  await turn();
  assert.equal(quota.held, 2);
  hub.adding = Promise.reject(new PushfleetError('unavailable', 'The log is away.'));
  say({ type: 'subscribe', id: 5, filters: ['e'] });
  await turn();
  assert.deepEqual([wire.last().code, quota.held], ['unavailable', 2]);
  session.gone(1000);
  session.gone(undefined);
  assert.equal(quota.held, 0);
});

test('members of a client that closes for good leave at once; of one that is lost, after a while', () => {
  for (const [wsCode, how] of [
    [1000, 'left'],
    [1001, 'left'],
    [1012, 'lost'],
    [undefined, 'lost'],
  ] as const) {
    const { session, presence } = open();
    session.gone(wsCode);
    assert.deepEqual(presence.partings, [{ connection: 'first', how }]);
  }
});
