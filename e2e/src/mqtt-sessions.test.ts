import { sessionsUnderFaults } from './mqtt-sessions-trial.ts';

sessionsUnderFaults({
  ...{ pods: 2, publications: 1_000, publishers: 4, subscribers: 8, rate: 250 },
  faults: [
    'kill -9 of an edge',
    "kill -9 of a stream leader's server",
    'kill -9 of an edge',
    'Redis restarted',
    'kill -9 of the registry',
    'Redis restarted and emptied',
  ],
});
