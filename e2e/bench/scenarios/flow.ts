import { cpuSeconds } from '../cpu.ts';
import { now } from '../load/payload.ts';
import { Swarm } from '../load/swarm.ts';
import type { Flow } from '../plan.ts';
import type { Running } from '../targets/target.ts';
import { drivePaced, driveSaturated, settle } from './drive.ts';

/** What one repetition gave. Times in seconds, latencies in milliseconds. */
export interface FlowResult {
  readonly deliveries: number;
  readonly seconds: number;
  /** CPU time of the processes that face the clients, and of the whole path. */
  readonly frontCpu: number;
  readonly pathCpu: number;
  readonly p50: number;
  readonly p99: number;
  /** Events per read of a client's socket: above 1, the server put several into one write, or the client was late. */
  readonly perRead: number;
  /** Share of a core of the busiest of the publisher's and the clients' processes. */
  readonly clientCpu: number;
}

/** Connects the clients, warms up, measures, and checks that nobody missed or doubled anything. */
export async function runFlow(target: Running, flow: Flow): Promise<FlowResult> {
  const swarm = new Swarm();
  try {
    const { topics, clientsPerTopic, sampleEvery } = flow;
    const sampling = sampleEvery === undefined ? {} : { sampleEvery };
    await swarm.open(target, topics * clientsPerTopic, (client) => client % topics, sampling);
    await settle(target, swarm, flow.topics);
    await drive(target, swarm, flow, flow.warmUpSeconds);
    await swarm.mark();
    return await measure(target, swarm, flow);
  } finally {
    await swarm.close();
  }
}

async function drive(target: Running, swarm: Swarm, flow: Flow, seconds: number): Promise<number> {
  const { topics, rate } = flow;
  const tickMs = flow.pace === 'fine' ? 2 : 10;
  const each =
    rate === undefined
      ? await driveSaturated(target, swarm, seconds)
      : await drivePaced(target, { topics, rate, seconds, tickMs });
  await swarm.reached(each, 60_000);
  return each;
}

async function measure(target: Running, swarm: Swarm, flow: Flow): Promise<FlowResult> {
  const { front, behind } = target.pids;
  const begin = { front: cpuSeconds(front), behind: cpuSeconds(behind), at: now() };
  const generators = [process.pid, ...swarm.pids].map((pid) => ({ pid, before: cpuSeconds([pid]) }));
  const each = await drive(target, swarm, flow, flow.seconds);
  const seconds = (now() - begin.at) / 1e6;
  const frontCpu = cpuSeconds(front) - begin.front;
  const busiest = Math.max(...generators.map(({ pid, before }) => cpuSeconds([pid]) - before));
  const counted = await swarm.count();
  if (counted.min !== each || counted.max !== each) {
    throw new Error(`of ${each} messages a client got between ${counted.min} and ${counted.max}: void`);
  }
  const latencies = counted.latencies.toSorted((a, b) => a - b);
  return {
    deliveries: counted.total,
    seconds,
    frontCpu,
    pathCpu: frontCpu + cpuSeconds(behind) - begin.behind,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    perRead: counted.total / counted.reads,
    clientCpu: busiest / seconds,
  };
}

/** Of microseconds in ascending order, in milliseconds. */
export function percentile(sorted: readonly number[], part: number): number {
  return (sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN) / 1000;
}
