import { after, before, describe, test } from 'node:test';
import { type Fault, faults } from './faults.ts';
import { Fleet, type FleetOptions } from './fleet.ts';
import { type TrialOptions, trial } from './trial.ts';

/** Plays a trial for every fault of the list, one after the other on the same fleet. */
export function underFaults(
  title: string,
  size: Omit<TrialOptions<Fleet>, 'disturb'>,
  fleetOptions: FleetOptions,
  which: readonly Fault[],
): void {
  describe(title, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start(fleetOptions);
    });
    after(() => fleet?.stop());
    for (const fault of which) {
      test(fault, async (t) => {
        await trial(fleet, { ...size, disturb: faults[fault] }).catch((error) => {
          t.diagnostic(fleet.logs().slice(-20_000));
          throw error;
        });
      });
    }
  });
}

/** One server: what may happen to the fleet's own services, and to a broker without replicas. */
export const singleServer: FleetOptions = {
  edges: 2,
  protocols: ['edge-sse', 'edge-websocket', 'edge-longpoll', 'edge-mqtt'],
  publishers: 2,
  env: { PUSHFLEET_DRAIN_SECONDS: '3' },
};
export const singleServerFaults: readonly Fault[] = [
  'kill -9 of an edge',
  'SIGTERM of an edge',
  'kill -9 of a publish service',
  'SIGTERM of a publish service',
  'kill -9 of a nats-server',
  'Redis restarted and emptied',
];

/** Three servers: what may happen to the leaders of a replicated log. */
export const cluster: FleetOptions = { ...singleServer, natsServers: 3, shards: 3 };
export const clusterFaults: readonly Fault[] = [
  'graceful step-down of a stream leader',
  "kill -9 of a stream leader's server",
];
