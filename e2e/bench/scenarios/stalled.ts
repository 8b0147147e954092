import { makePayload } from '../load/payload.ts';
import { Swarm } from '../load/swarm.ts';
import type { Stalled } from '../plan.ts';
import type { Running } from '../targets/target.ts';
import { drivePaced, settle } from './drive.ts';
import { percentile } from './flow.ts';

/** What one repetition gave: how long those waited who read, in milliseconds. */
export interface StalledResult {
  readonly p50: number;
  readonly p99: number;
}

// Of those that are measured; none of them is ever one that stops.
const sampleEvery = 10;

/**
 * How long clients wait at a steady rate while some of them do not read any more, or while all do. Those that read
 * get every message once.
 */
export async function runStalled(target: Running, stalled: Stalled, stalls: boolean): Promise<StalledResult> {
  const { clients, stallEvery, warmUpSeconds, seconds } = stalled;
  const swarm = new Swarm();
  try {
    await swarm.open(target, clients, () => 0, { sampleEvery });
    await settle(target, swarm, 1);
    if (stalls) await swarm.stall(clients, (client) => client % stallEvery === 1);
    await fill(target, swarm, stalled);
    await drive(target, swarm, stalled, warmUpSeconds);
    await swarm.mark();
    const sent = await drive(target, swarm, stalled, seconds);
    const { min, max, latencies } = await swarm.count();
    if (min !== sent || max !== sent)
      throw new Error(`of ${sent} messages a client that reads got between ${min} and ${max}: void`);
    const sorted = latencies.toSorted((a, b) => a - b);
    return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
  } finally {
    await swarm.close();
  }
}

/** From here on a server has to hold back itself what those do not read that stopped. */
async function fill(target: Running, swarm: Swarm, { filling }: Stalled): Promise<void> {
  for (let sent = 1; sent <= filling.messages; sent++) {
    await target.publish([{ topic: 0, payload: makePayload(sent, filling.payloadBytes) }]);
    await swarm.reached(sent, 60_000);
  }
  await swarm.mark();
}

async function drive(
  target: Running,
  swarm: Swarm,
  { rate, payloadBytes }: Stalled,
  seconds: number,
): Promise<number> {
  const sent = await drivePaced(target, { topics: 1, rate, seconds, tickMs: 10, payloadBytes });
  await swarm.reached(sent, 60_000);
  return sent;
}
