import { presenceUnderFaults } from './presence-faults.ts';

// The full size stands in presence-faults.soak.ts.
presenceUnderFaults('presence, 100 members', {
  natsServers: 1,
  members: 100,
  returning: 30,
  elsewhere: 30,
  survived: ['Redis restarted and emptied'],
});
