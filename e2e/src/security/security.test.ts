import { securitySuite } from './suite.ts';

securitySuite({ crowd: 500 });
