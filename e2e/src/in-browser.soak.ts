import { inBrowser } from './in-browser.ts';
import { browserFaults, moreBrowserFaults } from './in-browser-faults.ts';

const faults = { ...browserFaults, ...moreBrowserFaults };
inBrowser('a client in Chromium, full size', { publications: 10_000, rate: 1_000 }, faults);
