import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Cursor,
  formatCursor,
  type Item,
  PushfleetError,
  parseTopic,
  type TopicFilter,
} from '@pushfleet/core';
import type { Deadline } from '@pushfleet/edge';
import type { Delivery, FeedOptions } from '@pushfleet/hub';
import type { Grant } from '@pushfleet/runtime';
import { Poll, type PollBounds } from './poll.ts';
import type { PollAsk } from './request.ts';

const at = (position: number): Cursor =>
  formatCursor({ generation: 'g', time: position, positions: [position] });

function item(sequence: number, retained = false, bytes = 10): Item<Delivery> {
  const value: Delivery = {
    publication: {
      id: String(sequence),
      source: 's',
      topic: parseTopic('t'),
      contentType: 'text/plain',
      payload: Buffer.alloc(bytes, 'x'),
      time: sequence,
      shard: 0,
      sequence,
    },
    cursor: at(retained ? 0 : sequence),
    filters: ['t' as TopicFilter],
    retained,
    encoded: (encoder) => encoder(value),
  };
  return { kind: 'publication', value };
}

/** A hub with one feed that is filled by hand. */
class FakeHub {
  items: Item<Delivery>[] = [];
  cursor = at(0);
  live = false;
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
      take: (count: number) => this.items.splice(0, count),
      get cursor() {
        return hub.cursor;
      },
      get live() {
        return hub.live;
      },
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

  /** The replay, if any, has come to its end. */
  goLive(): void {
    this.live = true;
    this.options?.onLive?.();
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

function open(ask: Partial<PollAsk> = {}, o: { deadline?: Deadline; limits?: Partial<PollBounds> } = {}) {
  const hub = new FakeHub();
  const wheel = new FakeWheel();
  const answers: unknown[] = [];
  const poll = new Poll({
    ask: {
      filters: ['t' as TopicFilter],
      after: at(1),
      retained: false,
      waitMs: 20_000,
      count: 10,
      applied: undefined,
      ticket: undefined,
      ...ask,
    },
    answer: {
      batch: (cursor, items) =>
        answers.push([
          cursor,
          ...items.map((one) => (one.kind === 'gap' ? 'gap' : one.value.publication.sequence)),
        ]),
      nothing: (cursor) => answers.push(cursor),
      refuse: (error) => answers.push(error.code),
      cut: () => answers.push('cut'),
    },
    hub,
    wheel,
    grant: {} as Grant,
    connection: 'c',
    deadline: o.deadline ?? { at: wheel.now + 3_600_000, code: 'token_expired' },
    now: () => wheel.now,
    limits: {
      ...{ outboxCount: 100, outboxBytes: 1_000_000, batchBytes: 100_000 },
      ...{ retainedCount: 3, retainedBytes: 10_000 },
      ...o.limits,
    },
  });
  const begun = poll.begin().catch(() => {});
  const fence = async (live = true): Promise<void> => {
    hub.live = live;
    hub.adding.resolve();
    await begun;
  };
  const settled = (): void => {
    assert.equal(hub.closed, true, 'the feed is closed');
    assert.equal(wheel.armed.size, 0, 'no timer is left');
  };
  return { hub, wheel, answers, poll, fence, settled };
}

test('a first request is answered at once with a cursor, and waits for nothing', async () => {
  const { hub, answers, fence, settled } = open({ after: undefined });
  assert.deepEqual(answers, []);
  hub.cursor = at(7);
  await fence();
  assert.deepEqual(answers, [[at(7)]]);
  settled();
});

test('a poll waits for the next publication, and is answered once', async () => {
  const { hub, answers, fence, settled } = open();
  await fence();
  hub.give(item(2), item(3));
  hub.give(item(4));
  assert.deepEqual(answers, [[at(3), 2, 3]]);
  settled();
});

test('the cursor of an answer is the place behind its last item, though the feed is further', async () => {
  const { hub, answers, fence } = open({ count: 2 });
  await fence();
  hub.cursor = at(9);
  hub.give(item(2), item(3), item(4));
  assert.deepEqual(answers, [[at(3), 2, 3]]);
});

test('a gap is an item, told in its place', async () => {
  const { hub, answers, fence } = open();
  await fence();
  hub.give({ kind: 'gap', from: at(1), to: at(5) });
  assert.deepEqual(answers, [[at(5), 'gap']]);
});

test('when its time is over, nothing is told but how far the log was', async () => {
  const { hub, wheel, answers, fence, settled } = open();
  await fence();
  hub.cursor = at(8);
  wheel.pass(19_999);
  assert.deepEqual(answers, []);
  wheel.pass(1);
  assert.deepEqual(answers, [at(8)]);
  settled();
});

test('wait=0 waits for what is being read of the past, and for nothing else', async () => {
  const replaying = open({ waitMs: 0 });
  await replaying.fence(false);
  replaying.wheel.pass(1_000);
  assert.deepEqual(replaying.answers, []);
  replaying.hub.give(item(2));
  assert.deepEqual(replaying.answers, [[at(2), 2]]);
  const nothing = open({ waitMs: 0 });
  nothing.hub.cursor = at(5);
  await nothing.fence(false);
  nothing.hub.goLive();
  assert.deepEqual(nothing.answers, [at(5)]);
  nothing.settled();
});

test('a replay that outlasts the wait is waited for: else the next poll would begin it again', async () => {
  const { hub, wheel, answers, fence, settled } = open({ waitMs: 1_000 });
  await fence(false);
  wheel.pass(1_000);
  assert.deepEqual(answers, []);
  hub.cursor = at(6);
  hub.goLive();
  assert.deepEqual(answers, [at(6)]);
  settled();
});

test('a log that does not answer is not waited for for ever, and the place stays', async () => {
  const resumed = open({ waitMs: 1_000 });
  resumed.hub.cursor = at(0);
  resumed.wheel.pass(10_000);
  assert.deepEqual(resumed.answers, [at(1)]);
  resumed.settled();
  const first = open({ after: undefined });
  first.wheel.pass(10_000);
  assert.deepEqual(first.answers, ['timeout']);
  first.settled();
});

test('retained publications come in one answer, as many as may', async () => {
  const { hub, answers, fence } = open({ after: undefined, retained: true });
  await fence(false);
  hub.give(item(1, true), item(2, true));
  hub.give(item(3, true));
  assert.deepEqual(answers, []);
  hub.goLive();
  assert.deepEqual(answers, [[at(0), 1, 2, 3]]);
});

test('one retained publication more, by count or by bytes, is refused', async () => {
  const count = open({ after: undefined, retained: true });
  await count.fence(false);
  count.hub.give(item(1, true), item(2, true), item(3, true), item(4, true));
  assert.deepEqual(count.answers, ['request_invalid']);
  count.settled();
  const bytes = open({ after: undefined, retained: true });
  await bytes.fence(false);
  bytes.hub.give(item(1, true, 5_000), item(2, true, 5_000));
  assert.deepEqual(bytes.answers, ['request_invalid']);
});

test('what is live already may follow the retained, and as much of it as fits', async () => {
  const { hub, answers, fence } = open({ after: undefined, retained: true });
  await fence(false);
  hub.give(item(1, true), item(2, true), item(3, true));
  hub.give(item(11), item(12));
  assert.deepEqual(answers, [[at(11), 1, 2, 3, 11]]);
});

test('a drain answers whoever has a place, and refuses who has none yet', async () => {
  const waiting = open();
  waiting.hub.cursor = at(4);
  await waiting.fence();
  waiting.poll.end('draining');
  assert.deepEqual(waiting.answers, [at(4)]);
  waiting.settled();
  const early = open();
  early.poll.end('draining');
  assert.deepEqual(early.answers, [at(1)]);
  const first = open({ after: undefined });
  first.poll.end('draining');
  assert.deepEqual(first.answers, ['draining']);
  const half = open({ after: undefined, retained: true });
  await half.fence(false);
  half.hub.give(item(1, true));
  half.poll.end('draining');
  assert.deepEqual(half.answers, ['draining']);
});

for (const code of ['token_revoked', 'token_expired'] as const) {
  test(`${code} ends the wait, and says so`, async () => {
    const { answers, poll, fence, settled } = open();
    await fence();
    poll.end(code);
    poll.end('draining');
    assert.deepEqual(answers, [code]);
    settled();
  });
}

test('the end of the token comes to the moment; age is no error', async () => {
  const expiring = open({}, { deadline: { at: 1_002_000, code: 'token_expired' } });
  await expiring.fence();
  expiring.wheel.pass(2_000);
  assert.deepEqual(expiring.answers, ['token_expired']);
  const aging = open({}, { deadline: { at: 1_002_000, code: 'connection_age' } });
  await aging.fence();
  aging.wheel.pass(2_000);
  assert.deepEqual(aging.answers, [at(0)]);
});

test('what the hub says ends it, too', async () => {
  const failed = open();
  await failed.fence();
  failed.hub.options?.onClose({ kind: 'failed', error: new PushfleetError('unavailable', 'Away.') });
  assert.deepEqual(failed.answers, ['unavailable']);
  failed.settled();
  const draining = open();
  await draining.fence();
  draining.hub.options?.onClose({ kind: 'draining' });
  assert.deepEqual(draining.answers, [at(0)]);
});

test('a subscription that fails is refused with its error', async () => {
  const { hub, answers, poll, settled } = open();
  hub.adding.reject(new PushfleetError('unavailable', 'Away.'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(answers, ['unavailable']);
  settled();
  poll.gone();
});

test('a client that goes leaves nothing behind, and is told nothing', async () => {
  const { hub, answers, poll, fence, settled } = open();
  poll.gone();
  await fence();
  hub.options?.onReadable();
  hub.goLive();
  assert.deepEqual(answers, []);
  settled();
  const cut = open();
  cut.poll.cut();
  assert.deepEqual(cut.answers, ['cut']);
  cut.settled();
});
