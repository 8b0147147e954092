import { type Browser, chromium } from 'playwright-core';

/** Chromium as the system has it, without what it does on the network by itself; `more` arguments after its own. */
export function startChromium(...more: readonly string[]): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.PUSHFLEET_CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...more,
    ],
  });
}
