import { inBrowser } from './in-browser.ts';
import { browserFaults, slowBrowserFaults } from './in-browser-faults.ts';

const faults = { ...browserFaults, ...slowBrowserFaults };
inBrowser('a client in Chromium, full size', { publications: 10_000, rate: 1_000 }, faults);
