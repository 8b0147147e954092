import { setTimeout as sleep } from 'node:timers/promises';
import { makePayload, now } from '../load/payload.ts';
import type { Swarm } from '../load/swarm.ts';
import type { Running } from '../targets/target.ts';

/**
 * How far the publisher may be ahead of the slowest client, and how much it hands over at once. Closing the
 * loop at the clients keeps every target within the bounds at which it would begin to drop or to cut.
 */
const window = 512;
const batch = 64;

const message = (topics: number, sequence: number, bytes?: number) => ({
  topic: sequence % topics,
  payload: makePayload(sequence, bytes),
});

/** Publishes `rate` messages a second in turn over the topics; returns how many each topic got. */
export async function drivePaced(
  target: Running,
  o: { topics: number; rate: number; seconds: number; tickMs: number; payloadBytes?: number },
): Promise<number> {
  const total = Math.max(1, Math.round((o.rate * o.seconds) / o.topics)) * o.topics;
  // Never faster than a tick's share, even after a delay: catching up would put several messages in one write.
  const tick = Math.max(o.tickMs * 1000, 1e6 / o.rate);
  const share = Math.max(1, Math.round((o.rate * tick) / 1e6));
  let failure: Error | undefined;
  const acknowledged: Promise<void>[] = [];
  let due = now();
  for (let sent = 0; sent < total; sent += share) {
    const size = Math.min(share, total - sent);
    const messages = Array.from({ length: size }, (_, i) => message(o.topics, sent + i, o.payloadBytes));
    const noted = target.publish(messages).catch((error: Error) => {
      failure ??= error;
    });
    acknowledged.push(noted);
    due = Math.max(due + tick, now());
    await sleep(Math.max(0, due - now()) / 1000);
    if (failure !== undefined) throw failure;
  }
  await Promise.all(acknowledged);
  if (failure !== undefined) throw failure;
  return total / o.topics;
}

/** Publishes to one topic as fast as the slowest client receives; returns how many. */
export async function driveSaturated(target: Running, swarm: Swarm, seconds: number): Promise<number> {
  const end = now() + seconds * 1e6;
  let sent = 0;
  while (now() < end) {
    await swarm.reached(sent + batch - window, 30_000);
    await target.publish(Array.from({ length: batch }, (_, i) => message(1, sent + i)));
    sent += batch;
  }
  return sent;
}

/**
 * Publishes until every client has received something, and waits until nothing is on its way any more: from
 * here on, every message reaches every client.
 */
export async function settle(target: Running, swarm: Swarm, topics: number): Promise<void> {
  const probes = Array.from({ length: topics }, (_, topic) => ({ topic, payload: makePayload(0) }));
  for (let attempt = 0; swarm.slowest === 0; attempt++) {
    if (attempt === 100)
      throw new Error('some clients receive nothing: their subscription never took effect');
    for (let at = 0; at < topics; at += 100) await target.publish(probes.slice(at, at + 100));
    await sleep(200);
  }
  for (let before = -1; ; ) {
    const { total } = await swarm.count();
    if (total === before) break;
    before = total;
    await sleep(200);
  }
  await swarm.mark();
}
