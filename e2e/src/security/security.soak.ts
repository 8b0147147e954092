import { securitySuite } from './suite.ts';

securitySuite({ crowd: 1_000, inflatedBytes: 2 ** 30 });
