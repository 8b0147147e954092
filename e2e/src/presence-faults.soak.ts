import { presenceUnderFaults } from './presence-faults.ts';

presenceUnderFaults('presence, full size', { members: 500, returning: 100, elsewhere: 200 });
