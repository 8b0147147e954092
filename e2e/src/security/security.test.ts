import { securitySuite } from './suite.ts';

securitySuite({ crowd: 200, inflatedBytes: 64 * 1_048_576 });
