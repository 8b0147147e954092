import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { type Draft, type Namespace, type PushfleetError, Succession, type Topic } from '@pushfleet/core';
import type { Broker } from './broker.ts';
import { Publisher } from './publisher.ts';

type Hear = (message: { data: Buffer }) => void;

/** A broker that takes everything and never answers by itself. */
function silentBroker() {
  const sent: string[] = [];
  /** By whom the answers to what was sent would be heard, in its order. */
  const hearers: Hear[] = [];
  /** Whoever watches the connection. */
  let watcher: (up: boolean) => void = () => {};
  const connection = {
    info: { max_payload: 1_048_576 },
    publish: (_subject: string, payload: Uint8Array) => sent.push(Buffer.from(payload).toString()),
  };
  const open = (hear: Hear) => String(hearers.push(hear));
  const replies = { open, subject: () => 'reply', close: () => {} };
  const watch = (on: typeof watcher) => {
    watcher = on;
  };
  const bulk = { up: true, awayMs: 0, connection, replies, watch };
  const broker = { bulk, layout: { shards: 1 }, duplicateWindowMs: 120_000, now: Date.now };
  /** From now on there is no connection, for so long. */
  const away = (ms = 0): void => {
    Object.assign(bulk, { up: false, awayMs: ms });
  };
  const back = (): void => {
    Object.assign(bulk, { up: true, awayMs: 0 });
    watcher(true);
  };
  return { broker: broker as unknown as Broker, sent, hearers, away, back };
}

const draft = (topic: string, payload: string): Draft => ({
  ...{ id: payload, source: 'test', topic: topic as Topic, contentType: 'text/plain' },
  payload: Buffer.from(payload),
});

/** What one turn of the event loop brings goes out at its end. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

const codes = (answers: readonly object[]) => answers.map((answer) => (answer as PushfleetError).code);

describe('what is refused for now', () => {
  it('takes those with it that follow on its topic, however small', async () => {
    const { broker, sent } = silentBroker();
    const publisher = new Publisher(broker, { openBytes: 2_000 });
    const large = 'x'.repeat(1_900);
    const answered = publisher.publish('n' as Namespace, [
      ...[draft('a', large), draft('a', 'small'), draft('b', 'other')],
    ]);
    await turn();
    publisher.close();
    assert.deepEqual(codes(await answered), ['rate_limited', 'rate_limited', 'unavailable']);
    assert.deepEqual(sent, ['other']);
  });

  it('takes those with it that wait behind it at its deadline', async () => {
    mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const { broker, sent } = silentBroker();
    const publisher = new Publisher(broker);
    const first = publisher.publish('n' as Namespace, [draft('a', '1')]);
    await turn();
    mock.timers.tick(5_000);
    const later = publisher.publish('n' as Namespace, [draft('a', '2'), draft('a', '3')]);
    await turn();
    mock.timers.tick(15_000);
    assert.deepEqual(codes([...(await first), ...(await later)]), Array(3).fill('unavailable'));
    assert.deepEqual(new Set(sent), new Set(['1']), 'nothing behind it was sent');
    mock.timers.reset();
  });

  it('takes those with it that came later and wait behind it while there is no connection', async () => {
    mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const { broker, sent, away } = silentBroker();
    away();
    const publisher = new Publisher(broker);
    const first = publisher.publish('n' as Namespace, [draft('a', '1')]);
    mock.timers.tick(5_000);
    const later = publisher.publish('n' as Namespace, [draft('a', '2')]);
    mock.timers.tick(15_000);
    assert.deepEqual(codes([...(await first), ...(await later)]), Array(2).fill('unavailable'));
    assert.deepEqual(sent, []);
    mock.timers.reset();
  });

  it('takes those with it that the same succession brings later, though there is room for them by then', async () => {
    mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const { broker, sent, away, back } = silentBroker();
    const publisher = new Publisher(broker);
    const [stream, other] = [new Succession(), new Succession()];
    const publish = (topic: string, payload: string, succession: Succession) =>
      publisher.publish('n' as Namespace, [draft(topic, payload)], succession);
    away(6_000);
    const [refused] = await publish('a', '1', stream);
    back();
    const [behind] = await publish('a', '2', stream);
    assert.deepEqual(codes([refused, behind] as object[]), ['unavailable', 'unavailable']);
    void publish('b', '3', stream);
    void publish('a', '4', other);
    await turn();
    assert.deepEqual(sent, ['3', '4']);
    publisher.close();
    mock.timers.reset();
  });
});

describe('what was sent before, as part of a batch that was refused for an id it has stored', () => {
  const batch = (topic: string) => Array.from({ length: 64 }, (_, i) => draft(topic, `${topic}${i}`));
  const duplicateInside = { data: Buffer.from('{"error":{"code":400,"err_code":10201}}') };

  /** Its topic waits for room in flight, with all of the batch given back, when the connection is lost for six seconds. */
  async function scene(inFlight: number) {
    mock.timers.enable({ apis: ['setInterval', 'Date'] });
    const broker = silentBroker();
    const publisher = new Publisher(broker.broker, { inFlight });
    const first = publisher.publish('n' as Namespace, batch('a'));
    await turn();
    const other = publisher.publish('n' as Namespace, batch('b'));
    await turn();
    broker.hearers[0]?.(duplicateInside);
    broker.away(6_000);
    return { ...broker, publisher, first, other };
  }

  it('is answered at its deadline, however long the connection is away', async () => {
    const { first, other } = await scene(64);
    mock.timers.tick(20_100);
    assert.deepEqual(codes([...(await first), ...(await other)]), Array(128).fill('unavailable'));
    mock.timers.reset();
  });

  it('is not sent past its deadline, when the connection comes back before that was noticed', async () => {
    const { first, other, sent, back, publisher } = await scene(64);
    const before = sent.length;
    mock.timers.setTime(30_000); // no timer ran meanwhile, as in a process that was stopped
    back();
    await turn();
    assert.equal(sent.length, before);
    assert.deepEqual(codes([...(await first), ...(await other)]), Array(128).fill('unavailable'));
    publisher.close();
    mock.timers.reset();
  });
});

it('what waits for room in flight past its deadline was never sent, and is told so', async () => {
  mock.timers.enable({ apis: ['setInterval', 'Date'] });
  const { broker, sent } = silentBroker();
  const publisher = new Publisher(broker, { inFlight: 1 });
  const drafts = ['a', 'b', 'c'].map((topic) => draft(topic, topic));
  const answered = publisher.publish('n' as Namespace, drafts);
  await turn();
  mock.timers.tick(20_100);
  const messages = (await answered).map((answer) => (answer as PushfleetError).message);
  assert.deepEqual(
    messages.map((message) => /nothing was stored/.test(message)),
    [false, true, true],
  );
  assert.deepEqual(new Set(sent), new Set(['a']));
  mock.timers.reset();
});
