import { presenceUnderFaults } from './presence-faults.ts';

presenceUnderFaults('presence, full size', {
  natsServers: 3,
  members: 500,
  returning: 100,
  elsewhere: 200,
  survived: ['Redis restarted and emptied', 'kill -9 of the registry', "kill -9 of a stream leader's server"],
});
