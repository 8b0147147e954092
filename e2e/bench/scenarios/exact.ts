import { makePayload } from '../load/payload.ts';
import { Swarm } from '../load/swarm.ts';
import type { Running } from '../targets/target.ts';
import { settle } from './drive.ts';

const topics = 4;
const clients = 40;
const messages = 500;
const burst = 50;

/**
 * A small run before anything is timed: every client gets every message of its topic, whole and in order.
 *
 * @throws Error naming the first client that did not: figures of a target that loses would mean nothing
 */
export async function checkExact(target: Running): Promise<void> {
  const swarm = new Swarm();
  try {
    const topicOf = (client: number) => client % topics;
    await swarm.open(target, clients, topicOf, { keep: true });
    await settle(target, swarm, topics);
    const sent: string[][] = Array.from({ length: topics }, () => []);
    for (let at = 0; at < messages; at += burst) {
      const batch = Array.from({ length: burst * topics }, (_, i) => {
        const payload = makePayload(at * topics + i);
        sent[i % topics]?.push(payload);
        return { topic: i % topics, payload };
      });
      await target.publish(batch);
    }
    await swarm.reached(messages, 30_000);
    const counted = await swarm.count();
    if (counted.max !== messages)
      throw new Error(`a client got ${counted.max} of ${messages} messages: doubled`);
    for (const [client, received] of (await swarm.transcripts()).entries()) {
      compare(client, sent[topicOf(client)] ?? [], received.slice(-messages));
    }
  } finally {
    await swarm.close();
  }
}

function compare(client: number, expected: readonly string[], received: readonly string[]): void {
  const wrong = expected.findIndex((payload, i) => received[i] !== payload);
  if (wrong < 0) return;
  throw new Error(`client ${client}, message ${wrong}: got ${received[wrong]} instead of ${expected[wrong]}`);
}
