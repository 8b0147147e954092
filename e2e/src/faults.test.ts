import { after, before, describe, test } from 'node:test';
import { type Fault, faults } from './faults.ts';
import { Fleet, type FleetOptions } from './fleet.ts';
import { trial } from './trial.ts';

// The full sizes stand in faults.soak.ts.
const size = { publications: 1_600, publishers: 4, clients: 40, rate: 800 };

function underFaults(title: string, fleetOptions: FleetOptions, which: readonly Fault[]): void {
  describe(title, () => {
    let fleet: Fleet;
    before(async () => {
      fleet = await Fleet.start(fleetOptions);
    });
    after(() => fleet.stop());
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

const env = { PUSHFLEET_DRAIN_SECONDS: '3' };

underFaults('one nats-server, two edges, two publish services', { edges: 2, publishers: 2, env }, [
  'kill -9 of an edge',
  'SIGTERM of an edge',
  'kill -9 of a publish service',
  'SIGTERM of a publish service',
  'kill -9 of a nats-server',
]);

underFaults('three nats-servers, three shards, two edges', { natsServers: 3, shards: 3, edges: 2, env }, [
  'graceful step-down of a stream leader',
  "kill -9 of a stream leader's server",
]);
