import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { type Draft, type Namespace, type PushfleetError, Succession, type Topic } from '@pushfleet/core';
import type { Broker } from './broker.ts';
import { Publisher } from './publisher.ts';

/** A broker that takes everything and never answers. */
function silentBroker(): { broker: Broker; sent: string[] } {
  const sent: string[] = [];
  const connection = {
    info: { max_payload: 1_048_576 },
    publish: (_subject: string, payload: Uint8Array) => sent.push(Buffer.from(payload).toString()),
  };
  const replies = { open: () => 'token', subject: () => 'reply', close: () => {} };
  const bulk = { up: true, awayMs: 0, connection, replies, watch: () => {} };
  const broker = { bulk, layout: { shards: 1 }, duplicateWindowMs: 120_000, now: Date.now };
  return { broker: broker as unknown as Broker, sent };
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
    const { broker, sent } = silentBroker();
    (broker.bulk as { up: boolean }).up = false;
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
    const { broker, sent } = silentBroker();
    const publisher = new Publisher(broker);
    const [stream, other] = [new Succession(), new Succession()];
    const publish = (topic: string, payload: string, succession: Succession) =>
      publisher.publish('n' as Namespace, [draft(topic, payload)], succession);
    (broker.bulk as { awayMs: number }).awayMs = 6_000;
    const [refused] = await publish('a', '1', stream);
    (broker.bulk as { awayMs: number }).awayMs = 0;
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
