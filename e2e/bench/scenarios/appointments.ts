import { connectJetStream, migrate, type Queue, queueSlots } from '@pushfleet/bus';
import { type NatsCluster, startNats, until } from '@pushfleet/contract';
import { cpuSeconds, residentBytes } from '../cpu.ts';
import type { Appointments } from '../webhook-plan.ts';

export interface AppointmentsResult {
  /** Of those that wait: how many were stored a second, and CPU time of the broker for each, in microseconds. */
  readonly storedPerSecond: number;
  readonly brokerMicroseconds: number;
  /** Of the broker with them, in bytes: resident memory, and what its streams take on disk. */
  readonly residentBytes: number;
  readonly diskBytes: number;
  /** From the start of a killed broker until it answers for the queue, in seconds, and its memory then. */
  readonly restartSeconds: number;
  readonly restartedBytes: number;
  /** How late those that come due at once were handed out, in seconds. */
  readonly firstLate: number;
  readonly lastLate: number;
}

const call = 1_000;
const hour = 3_600_000;
const subscriptions = 1_000;
/** Long enough to store so many before they come due, in milliseconds. */
const storingMs = (count: number): number => 10_000 + count / 2;
const maxBytes = 4_294_967_296;
const patienceMs = 300_000;

interface World {
  readonly nats: NatsCluster;
  readonly queue: Queue;
}

/** Fills a queue as delivery does, on a broker of its own. */
export async function runAppointments(plan: Appointments): Promise<AppointmentsResult> {
  const nats = await startNats();
  try {
    const streams = { shards: 1, replicas: 1, maxAgeMs: 24 * hour, maxBytes, duplicateWindowMs: 120_000 };
    await migrate({ servers: nats.url, ...streams });
    const backbone = connectJetStream({ servers: nats.url, name: 'bench' });
    try {
      await backbone.start();
      const world = { nats, queue: backbone.queue('webhook') };
      const stored = await storeAll(world, plan);
      const restarted = await restart(world, plan);
      return { ...stored, ...restarted, ...(await comeDue(world, plan)) };
    } finally {
      await backbone.close();
    }
  } finally {
    await nats.stop();
  }
}

const pidOf = ({ nats }: World): number => nats.servers[0]?.pid ?? 0;
const keyOf = (run: string, i: number): string =>
  `tenant/sub_${String(i % subscriptions).padStart(20, '0')}/msg_${run}${String(i).padStart(22, '0')}`;

async function arrange(
  { queue }: World,
  run: string,
  count: number,
  bytes: number,
  at: (i: number) => number,
) {
  const body = new Uint8Array(bytes).fill(120);
  for (let from = 0; from < count; from += call) {
    const some = Array.from({ length: Math.min(call, count - from) }, (_, i) => from + i);
    const slotOf = (i: number) => (i % subscriptions) % queueSlots;
    await queue.later(some.map((i) => ({ slot: slotOf(i), key: keyOf(run, i), at: at(i), body })));
  }
}

async function storeAll(world: World, { pending, bodyBytes }: Appointments) {
  const begun = { at: performance.now(), cpu: cpuSeconds([pidOf(world)]) };
  const first = Date.now() + hour;
  await arrange(world, 'wait', pending, bodyBytes, (i) => first + ((i * 7_919) % (23 * hour)));
  const streams = (await (await fetch(`${world.nats.servers[0]?.monitorUrl}/jsz`)).json()) as {
    storage: number;
  };
  return {
    storedPerSecond: (pending / (performance.now() - begun.at)) * 1_000,
    brokerMicroseconds: ((cpuSeconds([pidOf(world)]) - begun.cpu) * 1e6) / pending,
    residentBytes: residentBytes([pidOf(world)]),
    diskBytes: streams.storage,
  };
}

/** How many of the pending ones the first subscription has. */
const ofFirst = ({ pending }: Appointments): number => Math.ceil(pending / subscriptions);

async function restart(world: World, plan: Appointments) {
  const { nats, queue } = world;
  await nats.servers[0]?.kill('SIGKILL');
  const begun = performance.now();
  await nats.servers[0]?.restart();
  const [prefix] = keyOf('', 0).split('/msg_');
  const whole = async () => (await queue.appointments(0, prefix ?? '')) === ofFirst(plan);
  await until(whole, 'all appointments after the restart', patienceMs);
  return {
    restartSeconds: (performance.now() - begun) / 1_000,
    restartedBytes: residentBytes([pidOf(world)]),
  };
}

async function comeDue(world: World, { due, bodyBytes }: Appointments) {
  const at = Date.now() + storingMs(due);
  let taken = 0;
  let firstLate = Number.NaN;
  const owners = [];
  for (let slot = 0; slot < queueSlots; slot++) {
    const owner = await world.queue.own(slot, 1_000, (one) => {
      if (taken++ === 0) firstLate = (Date.now() - at) / 1_000;
      one.done();
    });
    owners.push(owner);
  }
  await arrange(world, 'due', due, bodyBytes, () => at);
  if (Date.now() > at) throw new Error(`${due} appointments were not stored before they were due: void`);
  await until(() => taken >= due, 'all that come due', patienceMs);
  const lastLate = (Date.now() - at) / 1_000;
  for (const owner of owners) await owner.stop();
  return { firstLate, lastLate };
}
