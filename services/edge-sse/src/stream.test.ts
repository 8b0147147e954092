import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import {
  type Cursor,
  formatCursor,
  type Item,
  type Publication,
  PushfleetError,
  parseTopic,
  type TopicFilter,
} from '@pushfleet/core';
import { type CloseCode, type Deadline, type Framing, Runs, Stream, type StreamAsk } from '@pushfleet/edge';
import type { Delivery, Encoder, FeedOptions, Hub } from '@pushfleet/hub';
import type { Grant } from '@pushfleet/runtime';
import { dialects } from './dialect.ts';

const at = (position: number): Cursor =>
  formatCursor({ generation: 'g', time: position, positions: [position] });

function delivery(sequence: number, payload = `p${sequence}`): Item<Delivery> {
  const publication: Publication = {
    id: String(sequence),
    source: 's',
    topic: parseTopic('t'),
    contentType: 'text/plain',
    payload: Buffer.from(payload),
    time: sequence,
    shard: 0,
    sequence,
  };
  const made = new Map<unknown, unknown>();
  const value: Delivery = {
    publication,
    cursor: at(sequence),
    filters: ['t' as TopicFilter],
    retained: false,
    encoded<T>(encoder: Encoder<T>): T {
      if (!made.has(encoder)) made.set(encoder, encoder(value));
      return made.get(encoder) as T;
    },
  };
  return { kind: 'publication', value };
}

/** A hub with one feed that is filled by hand. */
class FakeHub {
  items: Item<Delivery>[] = [];
  cursor = at(0);
  closed = false;
  options: FeedOptions | undefined;
  added: unknown[] = [];
  readonly adding = Promise.withResolvers<void>();

  open(options: FeedOptions) {
    this.options = options;
    const hub = this;
    return {
      add: (...request: unknown[]) => {
        this.added.push(request);
        return this.adding.promise;
      },
      remove: () => {},
      take: (count: number) => {
        const taken = this.items.splice(0, count);
        for (const item of taken) this.cursor = item.kind === 'publication' ? item.value.cursor : item.to;
        return taken;
      },
      get cursor() {
        return hub.cursor;
      },
      close: () => {
        this.closed = true;
      },
    };
  }

  /** As the hub: tells once, a turn of the event loop later, and closes the feed of whoever throws. */
  give(...items: Item<Delivery>[]): void {
    if (this.items.length === 0) setImmediate(() => this.#tell());
    this.items.push(...items);
  }

  #tell(): void {
    try {
      if (!this.closed) this.options?.onReadable();
    } catch (error) {
      this.options?.onClose({ kind: 'failed', error: PushfleetError.from(error) });
    }
  }
}

/** Time that stands still until it is told to go on. */
class FakeWheel {
  now = 1_000_000;
  armed = new Set<{ at: number; fire: () => void }>();

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
  writes: string[] = [];
  full = false;
  ended: string | undefined;
  destroyed = false;

  write(bytes: Buffer): boolean {
    this.writes.push(bytes.toString());
    return !this.full;
  }

  end(bytes: Buffer): void {
    this.ended = bytes.toString();
  }

  destroy(): void {
    this.destroyed = true;
  }

  /** What was written since the last call. */
  get news(): string {
    return this.writes.splice(0).join('');
  }
}

function open(o: { ask?: Partial<StreamAsk>; deadline?: Partial<Deadline>; framing?: Framing } = {}) {
  const hub = new FakeHub();
  const wheel = new FakeWheel();
  const wire = new FakeWire();
  const ends: CloseCode[] = [];
  const errors: unknown[] = [];
  const refused: PushfleetError[] = [];
  const shared = {
    runs: new Runs(),
    wheel,
    outbox: { count: 10, bytes: 1_000 },
    now: () => wheel.now,
    deliveries: { writing: () => undefined },
    written: { deliveries: 0, bytes: 0 },
    onEnd: (code: CloseCode) => ends.push(code),
    onError: (error: unknown) => errors.push(error),
  };
  const begin = (hub: FakeHub): Stream => {
    const session = new Stream(shared, {
      wire,
      head: Buffer.from('HEAD\r\n\r\n'),
      dialect: dialects.payload[o.framing ?? 'plain'],
      hub: hub as unknown as Hub,
      grant: {} as Grant,
      connection: 'digest.random',
      deadline: { at: Number.POSITIVE_INFINITY, code: 'token_expired', ...o.deadline },
    });
    const begun = session.begin({
      filters: ['t' as TopicFilter],
      after: undefined,
      retained: false,
      ...o.ask,
    });
    begun.catch((error) => refused.push(error));
    return session;
  };
  return { hub, wheel, wire, session: begin(hub), begin, shared, ends, errors, refused };
}

/** A session whose head and opening are out already. */
async function live(o: Parameters<typeof open>[0] = {}) {
  const parts = open(o);
  parts.hub.adding.resolve();
  await turn();
  parts.wire.writes = [];
  return parts;
}

const preface = 'HEAD\r\n\r\n: pushfleet\nretry: \\d+\n\n';

test('head, comment, retry and opening go out together once the subscription stands', async () => {
  const { hub, wire } = open({ ask: { retained: true } });
  assert.equal(wire.news, '');
  assert.deepEqual(hub.added, [[['t'], { retained: true }]]);
  hub.cursor = at(7);
  hub.adding.resolve();
  await turn();
  assert.equal(wire.writes.length, 1);
  const opening = `id: ${at(7)}\nevent: pushfleet.open\ndata: {"cursor":"${at(7)}"}\n\n`;
  assert.match(wire.news, new RegExp(`^${preface}${opening}$`));
});

test('a resume never moves the client back: its opening names the place it came with, or the last one given', async () => {
  const { hub, wire } = open({ ask: { after: at(5) } });
  assert.deepEqual(hub.added, [[['t'], { retained: false, after: at(5) }]]);
  hub.cursor = at(3);
  hub.adding.resolve();
  await turn();
  assert.match(wire.news, new RegExp(`id: ${at(5)}\nevent: pushfleet.open`));
  const replayed = open({ ask: { after: at(5) } });
  replayed.hub.give(delivery(6));
  await turn();
  replayed.hub.adding.resolve();
  await turn();
  assert.match(replayed.wire.news, new RegExp(`id: ${at(6)}\nevent: pushfleet.open`));
});

test('what is pending goes out in one write behind the head, before the subscription stands too', async () => {
  const { hub, wire, shared } = open();
  hub.give(delivery(1), delivery(2));
  hub.give(delivery(3));
  await turn();
  assert.equal(wire.writes.length, 1);
  const events = [1, 2, 3].map((n) => `id: ${at(n)}\ndata: p${n}\n\n`).join('');
  assert.match(wire.news, new RegExp(`^${preface}${events}$`));
  assert.equal(shared.written.deliveries, 3);
});

test('where the log takes its time, the head does not wait longer than two seconds', () => {
  const { wire, wheel } = open();
  wheel.pass(1_999);
  assert.equal(wire.news, '');
  wheel.pass(1);
  assert.match(wire.news, new RegExp(`^${preface}:\n\n$`));
});

test('a gap is told in its place', async () => {
  const { hub, wire } = await live();
  wire.writes = [];
  hub.give(delivery(1), { kind: 'gap', from: at(1), to: at(4) }, delivery(5));
  await turn();
  assert.equal(
    wire.news,
    `id: ${at(1)}\ndata: p1\n\n` +
      `id: ${at(4)}\nevent: pushfleet.gap\ndata: {"from":"${at(1)}","to":"${at(4)}"}\n\n` +
      `id: ${at(5)}\ndata: p5\n\n`,
  );
});

test('a full wire takes nothing until it has drained', async () => {
  const { hub, wire, session } = await live();
  wire.full = true;
  hub.give(delivery(1));
  await turn();
  wire.writes = [];
  hub.give(delivery(2));
  await turn();
  assert.deepEqual([wire.writes, hub.items.length], [[], 1]);
  wire.full = false;
  session.drained();
  await turn();
  assert.equal(wire.news, `id: ${at(2)}\ndata: p2\n\n`);
});

test('quiet: a comment every 15 to 25 seconds, and the cursor alone once it has moved', async () => {
  const { hub, wire, wheel } = await live();
  wheel.pass(14_999);
  assert.equal(wire.news, '');
  wheel.pass(10_001);
  assert.equal(wire.news, ':\n\n');
  hub.cursor = at(9);
  wheel.pass(25_000);
  assert.match(wire.news, new RegExp(`^id: ${at(9)}\n\n(:\n\n)?$`));
  assert.equal(wheel.armed.size, 1);
});

test('a full wire gets no heartbeat', async () => {
  const { hub, wire, wheel } = await live();
  wire.full = true;
  hub.give(delivery(1));
  await turn();
  wire.writes = [];
  wheel.pass(60_000);
  assert.deepEqual(wire.writes, []);
});

const ends: readonly [CloseCode, boolean][] = [
  ['draining', true],
  ['connection_age', true],
  ['slow_consumer', true],
  ['unavailable', true],
  ['internal', true],
  ['token_expired', false],
  ['token_revoked', false],
];
for (const [code, reconnect] of ends) {
  test(`the end by ${code} is told${reconnect ? ', with when to come back' : ''}`, async () => {
    const { hub, wire, wheel, session, ends } = await live({ framing: 'chunked' });
    session.end(code);
    session.end('draining');
    const retry = reconnect ? 'retry: \\d+\n' : '';
    assert.match(
      wire.ended ?? '',
      new RegExp(
        `^[0-9a-f]+\r\n${retry}event: pushfleet.close\ndata: {"code":"${code}",.*"reconnect":${reconnect}}\n\n\r\n0\r\n\r\n$`,
      ),
    );
    assert.deepEqual([ends, hub.closed, wire.destroyed], [[code], true, false]);
    wheel.pass(5_000);
    assert.equal(wire.destroyed, true, 'a client that does not close is cut');
    assert.equal(wheel.armed.size, 0);
  });
}

test('the feed ends the session', () => {
  for (const [reason, code] of [
    [{ kind: 'draining' }, 'draining'],
    [{ kind: 'slow_consumer' }, 'slow_consumer'],
    [{ kind: 'failed', error: new PushfleetError('unavailable', '') }, 'unavailable'],
  ] as const) {
    const { hub, ends } = open();
    hub.options?.onClose(reason);
    assert.deepEqual(ends, [code]);
  }
});

test('a slow consumer whose wire is full is cut without a word', async () => {
  const { hub, wire, session } = await live();
  wire.full = true;
  hub.give(delivery(1));
  await turn();
  session.end('slow_consumer');
  assert.deepEqual([wire.ended, wire.destroyed], [undefined, true]);
});

test('the deadline ends the session to the moment', () => {
  for (const code of ['token_expired', 'connection_age'] as const) {
    const { wheel, ends } = open({ deadline: { at: 1_000_000 + 61_000, code } });
    wheel.pass(60_999);
    assert.deepEqual(ends, []);
    wheel.pass(1);
    assert.deepEqual(ends, [code]);
  }
});

test('a subscription that fails is refused where nothing went out yet, else asked to come back', async () => {
  const error = new PushfleetError('unavailable', 'The log is away.');
  const early = open();
  early.hub.adding.reject(error);
  await turn();
  assert.deepEqual([early.refused, early.ends, early.wire.news, early.hub.closed], [[error], [], '', true]);
  const late = open();
  late.hub.give(delivery(1));
  await turn();
  late.hub.adding.reject(error);
  await turn();
  assert.deepEqual([late.refused, late.ends], [[], ['unavailable']]);
  assert.match(late.wire.ended ?? '', /^retry: \d+\n/);
});

test('what ends before it opened has a head, too', () => {
  const { session, wire } = open();
  session.end('draining');
  assert.match(wire.ended ?? '', new RegExp(`^${preface}retry: `));
});

test('an error of ours is reported and ends the session only', async () => {
  const { hub, ends, errors } = open();
  const broken = delivery(1);
  if (broken.kind === 'publication') {
    broken.value.encoded = () => {
      throw new TypeError('bad');
    };
  }
  hub.give(broken);
  await turn();
  assert.deepEqual(ends, ['internal']);
  assert.match(String(errors), /TypeError: bad/);
});

test('a client that goes leaves nothing behind', async () => {
  const { hub, wheel, session, wire, ends } = await live();
  hub.give(delivery(1));
  session.gone();
  await turn();
  session.end('draining');
  assert.deepEqual([wire.writes, wire.ended, ends], [[], undefined, []]);
  assert.deepEqual([hub.closed, wheel.armed.size], [true, 0]);
});

test('connections with the same pending run share one buffer', async () => {
  const { hub, begin, wire } = await live();
  const items = [delivery(1), delivery(2)];
  const buffers: Buffer[] = [];
  wire.write = (bytes: Buffer) => buffers.push(bytes) > 0;
  const twin = new FakeHub();
  begin(twin);
  twin.adding.resolve();
  await turn();
  buffers.length = 0;
  hub.give(...items);
  twin.give(...items);
  await turn();
  assert.equal(buffers.length, 2);
  assert.equal(buffers[0], buffers[1]);
});
