import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds } from '../cpu.ts';
import type { Receivers } from '../hooks/receivers.ts';
import type { RunningSender } from '../hooks/sender.ts';
import { makePayload, now } from '../load/payload.ts';
import type { Hanging, Hooks } from '../webhook-plan.ts';

/** What one repetition gave. Times in seconds, latencies in milliseconds. */
export interface HooksResult {
  readonly deliveries: number;
  readonly seconds: number;
  /** CPU time of the process that posts, and of the whole path. */
  readonly frontCpu: number;
  readonly pathCpu: number;
  /** Share of a core of the busier of the publisher's and the receivers' processes. */
  readonly clientCpu: number;
  /** From making a message to its POST, at half of the deliveries a second. */
  readonly halfRate: number;
  readonly p50: number;
  readonly p99: number;
}

export interface HangingResult {
  readonly p50: number;
  readonly p99: number;
}

/** How many deliveries the publisher may be ahead of the receivers, and for how many it hands messages over at once. */
const window = 4_096;
const batch = 64;
const patienceMs = 60_000;

interface Run {
  readonly sender: RunningSender;
  readonly receivers: Receivers;
  readonly topics: number;
  /** How many of each topic's endpoints answer. */
  readonly answering: number;
}

/** As many as are posted, then half as many: what they cost, and how long they take. */
export async function runHooks(
  sender: RunningSender,
  receivers: Receivers,
  hooks: Hooks,
): Promise<HooksResult> {
  const { topics, endpointsPerTopic, warmUpSeconds, seconds } = hooks;
  const run = { sender, receivers, topics, answering: endpointsPerTopic };
  await sender.route(routes(receivers, topics, endpointsPerTopic));
  await settle(run);
  await saturate(run, warmUpSeconds);
  const full = await measure(run, () => saturate(run, seconds));
  const halfRate = full.deliveries / full.seconds / 2;
  await pace(run, halfRate / endpointsPerTopic, warmUpSeconds);
  const half = await measure(run, () => pace(run, halfRate / endpointsPerTopic, seconds));
  return { ...full, halfRate, p50: half.p50, p99: half.p99 };
}

/** How long healthy endpoints wait at a steady rate, while the last of each topic's endpoints never answer, or do. */
export async function runHanging(
  sender: RunningSender,
  receivers: Receivers,
  { topics, endpointsPerTopic, hangingPerTopic, rate, warmUpSeconds, seconds }: Hanging,
  hangs: boolean,
): Promise<HangingResult> {
  const answering = endpointsPerTopic - (hangs ? hangingPerTopic : 0);
  const run = { sender, receivers, topics, answering };
  const all = Array.from({ length: topics * endpointsPerTopic }, (_, endpoint) => endpoint);
  await receivers.hang(all.filter((endpoint) => endpoint % endpointsPerTopic >= answering));
  await sender.route(routes(receivers, topics, endpointsPerTopic));
  await settle(run);
  await pace(run, rate, warmUpSeconds);
  const { p50, p99 } = await measure(run, () => pace(run, rate, seconds));
  return { p50, p99 };
}

const routes = (receivers: Receivers, topics: number, each: number): string[][] =>
  Array.from({ length: topics }, (_, topic) =>
    Array.from({ length: each }, (_, i) => receivers.url(topic * each + i)),
  );

/** Posts to every endpoint, and waits until nothing is on its way any more. */
async function settle({ sender, receivers, topics, answering }: Run): Promise<void> {
  await receivers.mark();
  await sender.publish(messages(topics, 0, topics));
  await receivers.reached(topics * answering, patienceMs);
}

const messages = (topics: number, first: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({
    topic: (first + i) % topics,
    payload: makePayload(first + i),
  }));
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Publishes as fast as the receivers are posted to; returns how many. */
async function saturate({ sender, receivers, topics, answering }: Run, seconds: number): Promise<number> {
  await receivers.mark();
  const end = now() + seconds * 1e6;
  const share = Math.max(1, Math.round(batch / answering));
  let sent = 0;
  while (now() < end) {
    await receivers.reached((sent + share) * answering - window, patienceMs);
    await sender.publish(messages(topics, sent, share));
    sent += share;
  }
  await receivers.reached(sent * answering, patienceMs);
  return sent;
}

/** Publishes so many a second, a few every 2 ms; returns how many. */
async function pace({ sender, receivers, topics, answering }: Run, rate: number, seconds: number) {
  await receivers.mark();
  const total = Math.max(topics, Math.round((rate * seconds) / topics) * topics);
  const begin = now();
  const noted: Promise<void>[] = [];
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((now() - begin) / 1e6) * rate) + 1);
    // Not all at once after a delay: that would measure the queue behind it.
    const share = Math.min(due - sent, batch);
    if (share > 0) noted.push(sender.publish(messages(topics, sent, share)));
    sent += Math.max(share, 0);
    await sleep(2);
  }
  await Promise.all(noted);
  await receivers.reached(total * answering, patienceMs);
  return total;
}

/** @throws Error where an endpoint got one too few or too many */
async function measure(
  { sender, receivers, topics, answering }: Run,
  drive: () => Promise<number>,
): Promise<Omit<HooksResult, 'halfRate'>> {
  const { front, behind } = sender.pids;
  const clients = [process.pid, receivers.pid];
  const before = { front: cpuSeconds(front), behind: cpuSeconds(behind), at: now() };
  const idle = clients.map((pid) => cpuSeconds([pid]));
  const sent = await drive();
  const seconds = (now() - before.at) / 1e6;
  const frontCpu = cpuSeconds(front) - before.front;
  const busiest = Math.max(...clients.map((pid, i) => cpuSeconds([pid]) - (idle[i] ?? 0)));
  const { counts, latencies } = await receivers.count();
  const each = sent / topics;
  const wrong = counts.find((count) => Math.abs(count - each) >= 1);
  const deliveries = sum(counts);
  if (wrong !== undefined || deliveries !== sent * answering)
    throw new Error(`of ${each} messages an endpoint got ${wrong}, all together ${deliveries}: void`);
  return {
    ...{ deliveries, seconds, frontCpu },
    pathCpu: frontCpu + cpuSeconds(behind) - before.behind,
    clientCpu: busiest / seconds,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
  };
}

const percentile = (sorted: readonly number[], part: number): number =>
  (sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN) / 1000;
