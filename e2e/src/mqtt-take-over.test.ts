import { takeOverRaces } from './mqtt-races.ts';

// The full number stands in mqtt-take-over.soak.ts.
takeOverRaces(50);
