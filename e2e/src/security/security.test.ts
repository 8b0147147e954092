import { securitySuite } from './suite.ts';

securitySuite({ crowd: 500, inflatedBytes: 64 * 1_048_576 });
