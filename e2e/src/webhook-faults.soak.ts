import { webhooksUnderFaults } from './webhook-faults.ts';

webhooksUnderFaults({
  ...{ endpoints: 200, deliveries: 50_000, rate: 8, killEveryMs: 5_000 },
  faults: [
    [0.1, 'Redis restarted and emptied'],
    [0.2, "kill -9 of a stream leader's server"],
    [0.35, 'kill -9 of the registry'],
    [0.45, "kill -9 of a stream leader's server"],
    [0.6, 'Redis restarted and emptied'],
    [0.7, 'graceful step-down of a stream leader'],
    [0.8, "kill -9 of a stream leader's server"],
  ],
});
