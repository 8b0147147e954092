import { inBrowser } from './in-browser.ts';
import { browserFaults } from './in-browser-faults.ts';

// The full size and the other faults stand in in-browser.soak.ts.
inBrowser('a client in Chromium', { publications: 2_000, rate: 1_000 }, browserFaults);
