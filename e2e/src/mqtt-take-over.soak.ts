import { takeOverRaces } from './mqtt-races.ts';

takeOverRaces(1_000);
