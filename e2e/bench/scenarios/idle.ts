import { setTimeout as sleep } from 'node:timers/promises';
import { residentBytes } from '../cpu.ts';
import { Swarm } from '../load/swarm.ts';
import type { Idle } from '../plan.ts';
import type { Running } from '../targets/target.ts';
import { settle } from './drive.ts';

export interface IdleResult {
  /** Resident memory the connections added, in bytes each. */
  readonly perConnection: number;
  readonly totalBytes: number;
}

const warmUpClients = 200;

/** Needs a target that was started for this run: memory freed by an earlier one would be used again, unseen. */
export async function runIdle(target: Running, idle: Idle): Promise<IdleResult> {
  const warmUp = new Swarm();
  try {
    await warmUp.open(target, warmUpClients, (client) => client % idle.topics);
    await settle(target, warmUp, idle.topics);
  } finally {
    await warmUp.close();
  }
  return await measure(target, idle);
}

async function measure(target: Running, idle: Idle): Promise<IdleResult> {
  const swarm = new Swarm();
  try {
    await sleep(idle.settleSeconds * 250);
    const before = residentBytes(target.pids.front);
    await swarm.open(target, idle.clients, (client) => client % idle.topics);
    await sleep(idle.settleSeconds * 1000);
    const totalBytes = residentBytes(target.pids.front);
    await settle(target, swarm, idle.topics); // every one of them is still there and would have received
    return { perConnection: (totalBytes - before) / idle.clients, totalBytes };
  } finally {
    await swarm.close();
  }
}
