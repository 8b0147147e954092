import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, residentBytes } from '../cpu.ts';
import { now } from '../load/payload.ts';
import type { MqttConnect, MqttIdle } from '../mqtt-plan.ts';
import type { RunningBroker } from './broker.ts';
import { Crowd } from './crowd.ts';

export interface MqttConnectResult {
  readonly visits: number;
  readonly seconds: number;
  /** CPU time of the broker's process. */
  readonly frontCpu: number;
  /** Share of a core of the busiest of the clients' processes. */
  readonly clientCpu: number;
}

/** Clients come, are accepted and leave. */
export async function runMqttConnect(broker: RunningBroker, o: MqttConnect): Promise<MqttConnectResult> {
  const crowd = new Crowd();
  try {
    const { version, atOnce } = o;
    await crowd.visit(broker, { version, atOnce, visits: o.warmUpVisits });
    const generators = crowd.pids.map((pid) => ({ pid, before: cpuSeconds([pid]) }));
    const begin = { cpu: cpuSeconds(broker.pids.front), at: now() };
    await crowd.visit(broker, { version, atOnce, visits: o.visits });
    const seconds = (now() - begin.at) / 1e6;
    const busiest = Math.max(...generators.map(({ pid, before }) => cpuSeconds([pid]) - before));
    const frontCpu = cpuSeconds(broker.pids.front) - begin.cpu;
    return { visits: o.visits, seconds, frontCpu, clientCpu: busiest / seconds };
  } finally {
    await crowd.close();
  }
}

export interface MqttIdleResult {
  /** Resident memory that the connections added, in bytes each. */
  readonly perConnection: number;
  readonly totalBytes: number;
}

const warmUpClients = 200;

/** Needs a broker that was started for this run: memory freed by an earlier one would be used again, unseen. */
export async function runMqttIdle(broker: RunningBroker, o: MqttIdle): Promise<MqttIdleResult> {
  const warmUp = await subscribed(broker, o, warmUpClients);
  await warmUp.close();
  await sleep(o.settleSeconds * 250);
  const before = residentBytes(broker.pids.front);
  const crowd = await subscribed(broker, o, o.clients);
  try {
    await sleep(o.settleSeconds * 1000);
    const totalBytes = residentBytes(broker.pids.front);
    await crowd.count(); // fails where one of them was lost
    return { perConnection: (totalBytes - before) / o.clients, totalBytes };
  } finally {
    await crowd.close();
  }
}

async function subscribed(broker: RunningBroker, o: MqttIdle, clients: number): Promise<Crowd> {
  const crowd = new Crowd();
  try {
    const filterOf = (client: number): string => `bench/${client % o.topics}`;
    await crowd.open(broker, { version: o.version, qos: 1, clients, filterOf, sampleEvery: 1 });
    return crowd;
  } catch (error) {
    await crowd.close();
    throw error;
  }
}
