import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds } from '../cpu.ts';
import { makePayload, now } from '../load/payload.ts';
import { Swarm } from '../load/swarm.ts';
import type { Storm } from '../plan.ts';
import type { Running } from '../targets/target.ts';
import { settle } from './drive.ts';

/** What one repetition gave. Times in seconds. */
export interface StormResult {
  /** From the moment the clients set off until the last of them has everything it missed. */
  readonly seconds: number;
  /** Events all clients together had missed, and how many publications those are. */
  readonly missed: number;
  readonly publications: number;
  /** Messages the broker sent while they were caught up; absent where there is no broker. */
  readonly brokerMessages: number | undefined;
  readonly frontCpu: number;
  readonly pathCpu: number;
  /** Share of a core of the busiest of the clients' processes. */
  readonly clientCpu: number;
}

/** Clients go away in so many groups, one after the other, so that those of one topic stopped at different places. */
const groups = 4;

/** Connects the clients, lets them go away and miss messages, restarts the edge, and takes the time of their return. */
export async function runStorm(target: Running, storm: Storm): Promise<StormResult> {
  const swarm = new Swarm();
  try {
    await swarm.open(target, storm.clients, (client) => client % storm.topics, { resume: true });
    await settle(target, swarm, storm.topics);
    const missed = await scatter(target, swarm, storm);
    await target.restart?.();
    return await comeAgain(target, swarm, missed, storm);
  } finally {
    await swarm.close();
  }
}

const groupOf = (client: number, { topics }: Storm) => Math.floor(client / topics) % groups;

/** Cuts group after group with messages in between; returns how many each client has missed at the end. */
async function scatter(target: Running, swarm: Swarm, storm: Storm): Promise<number[]> {
  const { clients, topics } = storm;
  const each = storm.messages / groups;
  let received = 0;
  for (let group = 0; group < groups; group++) {
    await swarm.cut(clients, (client) => groupOf(client, storm) === group);
    for (let round = 0; round < each; round++) {
      await target.publish(
        Array.from({ length: topics }, (_, topic) => ({ topic, payload: makePayload(round) })),
      );
    }
    const here = Array.from({ length: clients }, (_, i) => groupOf(i, storm)).filter((of) => of > group);
    received += here.length * each;
    await receivedInAll(swarm, received);
  }
  return Array.from({ length: clients }, (_, client) => (groups - groupOf(client, storm)) * each);
}

/** Waits until the clients have counted so many events together. */
async function receivedInAll(swarm: Swarm, events: number): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if ((await swarm.count()).total === events) return;
    await sleep(100);
  }
  throw new Error(`after 30 s the clients have ${(await swarm.count()).total} events and not ${events}`);
}

async function comeAgain(
  target: Running,
  swarm: Swarm,
  missed: readonly number[],
  { topics, messages }: Storm,
): Promise<StormResult> {
  const { front, behind } = target.pids;
  const everyPid = [front, behind, ...swarm.pids.map((pid) => [pid])];
  const cpuBefore = everyPid.map(cpuSeconds);
  const brokerBefore = await target.brokerMessages?.();
  const begin = now();
  const at = await swarm.comeAgain(target.port, missed);
  const cpu = everyPid.map((pids, index) => cpuSeconds(pids) - (cpuBefore[index] as number));
  const brokerAfter = await target.brokerMessages?.();
  const sum = missed.reduce((total, count) => total + count, 0);
  await sleep(500); // what comes doubled comes late
  const { total } = await swarm.count();
  if (total !== sum) throw new Error(`the clients had missed ${sum} events and were given ${total}: void`);
  const [frontCpu = 0, behindCpu = 0, ...clients] = cpu;
  const seconds = (at - begin) / 1e6;
  return {
    ...{ seconds, missed: sum, publications: topics * messages, frontCpu },
    pathCpu: frontCpu + behindCpu,
    clientCpu: Math.max(...clients) / seconds,
    brokerMessages: brokerAfter === undefined ? undefined : brokerAfter - (brokerBefore ?? 0),
  };
}
