import { publisherUnderFaults } from './publisher-trial.ts';

publisherUnderFaults({ publications: 100_000, topics: 200, rate: 2_000 });
