import { webhooksUnderFaults } from './webhook-faults.ts';

// The full size stands in webhook-faults.soak.ts.
webhooksUnderFaults({
  ...{ endpoints: 40, deliveries: 1_500, rate: 12, killEveryMs: 4_000 },
  faults: [
    [0.15, 'Redis restarted and emptied'],
    [0.35, "kill -9 of a stream leader's server"],
    [0.7, 'kill -9 of the registry'],
  ],
});
