import { publisherUnderFaults } from './publisher-trial.ts';

// The full size stands in publisher.soak.ts.
publisherUnderFaults({ publications: 4_000, topics: 40, rate: 1_000 });
