import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds } from '../cpu.ts';
import { now } from '../load/payload.ts';
import type { MqttFlow } from '../mqtt-plan.ts';
import { percentile } from '../scenarios/flow.ts';
import type { RunningBroker } from './broker.ts';
import { Crowd, type CrowdOptions } from './crowd.ts';
import { Publisher } from './publisher.ts';

/** What one repetition gave. Times in seconds, latencies in milliseconds. */
export interface MqttFlowResult {
  readonly deliveries: number;
  readonly seconds: number;
  /** CPU time of the broker's process, and of what stands behind it. */
  readonly frontCpu: number;
  readonly behindCpu: number;
  /** The same by the names of the processes, where the broker has names for them. */
  readonly each?: Readonly<Record<string, number>>;
  readonly p50: number;
  readonly p99: number;
  /** Packets per read of a client's socket: above 1, the broker put several into one write, or the client was late. */
  readonly perRead: number;
  /** Share of a core of the busiest of the publisher's and the clients' processes. */
  readonly clientCpu: number;
}

// How far the publisher may be ahead of the slowest client, and how much it hands over at once: within what each
// broker holds back for a client before it drops.
const window = 512;
const batch = 64;
const tickMs = 10;
/** Clients of which one has its latencies taken. */
const sampleEvery = 50;

const topicOf = (topic: number): string => `bench/${topic}`;

export type FlowShape = Omit<MqttFlow, 'kind' | 'name'> & Pick<CrowdOptions, 'name' | 'lifeSeconds'>;

/** Connects the clients, warms up, measures, and checks that each got every message of its topic once, in order. */
export async function runMqttFlow(broker: RunningBroker, flow: FlowShape): Promise<MqttFlowResult> {
  const crowd = new Crowd();
  const publisher = await Publisher.open(broker, { ...flow, topicOf });
  try {
    const { version, qos, topics, clientsPerTopic } = flow;
    const clients = topics * clientsPerTopic;
    const filterOf = (client: number): string => topicOf(client % topics);
    const { name = 'client', lifeSeconds } = flow;
    await crowd.open(broker, { version, qos, clients, filterOf, sampleEvery, name, lifeSeconds });
    await drive(crowd, publisher, flow, flow.warmUpSeconds);
    await crowd.mark();
    publisher.mark();
    return await measure(broker, crowd, publisher, flow);
  } finally {
    publisher.close();
    await crowd.close();
  }
}

async function measure(
  { pids: { front, behind, each: named = {} } }: RunningBroker,
  crowd: Crowd,
  publisher: Publisher,
  flow: FlowShape,
): Promise<MqttFlowResult> {
  const begin = { front: cpuSeconds(front), behind: cpuSeconds(behind), each: eachOf(named), at: now() };
  const generators = [process.pid, ...crowd.pids].map((pid) => ({ pid, before: cpuSeconds([pid]) }));
  const each = await drive(crowd, publisher, flow, flow.seconds);
  const seconds = (now() - begin.at) / 1e6;
  const frontCpu = cpuSeconds(front) - begin.front;
  const behindCpu = cpuSeconds(behind) - begin.behind;
  const after = eachOf(named);
  const busiest = Math.max(...generators.map(({ pid, before }) => cpuSeconds([pid]) - before));
  const counted = await crowd.count();
  if (counted.min !== each || counted.max !== each) {
    throw new Error(`of ${each} messages a client got between ${counted.min} and ${counted.max}: void`);
  }
  const latencies = counted.latencies.toSorted((a, b) => a - b);
  return {
    ...{ deliveries: counted.total, seconds, frontCpu, behindCpu },
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    perRead: counted.total / counted.reads,
    each: Object.fromEntries(
      Object.keys(after).map((name) => [name, (after[name] as number) - (begin.each[name] as number)]),
    ),
    clientCpu: busiest / seconds,
  };
}

/** @returns how many messages each topic got, once every client has them */
async function drive(crowd: Crowd, publisher: Publisher, flow: FlowShape, seconds: number): Promise<number> {
  const total =
    flow.rate === undefined
      ? await driveSaturated(crowd, publisher, seconds)
      : await drivePaced(publisher, flow.topics, flow.rate, seconds);
  await crowd.reached(total / flow.topics, 60_000);
  return total / flow.topics;
}

async function drivePaced(
  publisher: Publisher,
  topics: number,
  rate: number,
  seconds: number,
): Promise<number> {
  const total = Math.max(1, Math.round((rate * seconds) / topics)) * topics;
  // Never faster than a tick's share, even after a delay: catching up would put several messages in one write.
  const tick = Math.max(tickMs * 1000, 1e6 / rate);
  const share = Math.max(1, Math.round((rate * tick) / 1e6));
  const acknowledged: Promise<void>[] = [];
  let failure: Error | undefined;
  let due = now();
  for (let sent = 0; sent < total && failure === undefined; sent += share) {
    const published = publisher.publish(Math.min(share, total - sent)).catch((error: Error) => {
      failure ??= error;
    });
    acknowledged.push(published);
    due = Math.max(due + tick, now());
    await sleep(Math.max(0, due - now()) / 1000);
  }
  await Promise.all(acknowledged);
  if (failure !== undefined) throw failure;
  return total;
}

/** Publishes to one topic as fast as the slowest client receives. */
async function driveSaturated(crowd: Crowd, publisher: Publisher, seconds: number): Promise<number> {
  const end = now() + seconds * 1e6;
  let sent = 0;
  for (; now() < end; sent += batch) {
    await crowd.reached(sent + batch - window, 30_000);
    await publisher.publish(batch);
  }
  return sent;
}

const eachOf = (named: Readonly<Record<string, readonly number[]>>): Record<string, number> =>
  Object.fromEntries(Object.entries(named).map(([name, pids]) => [name, cpuSeconds(pids)]));
