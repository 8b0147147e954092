import { presenceUnderFaults } from './presence-faults.ts';

// The full size stands in presence-faults.soak.ts.
presenceUnderFaults('presence, 100 members', { members: 100, returning: 30, elsewhere: 30 });
