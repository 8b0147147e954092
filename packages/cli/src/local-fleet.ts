import { PushfleetError } from '@pushfleet/core';
import { isRunning } from './local/process-identity.ts';
import { type FleetRecord, readRecord } from './local/state.ts';

/** @throws PushfleetError `unavailable` where no local fleet runs */
export function runningFleet(state: string): FleetRecord {
  const record = readRecord(state);
  if (record !== undefined && isRunning(record.launcher)) return record;
  throw new PushfleetError(
    'unavailable',
    'No local fleet runs. Start one with "npm start", or name another with the options that --help lists.',
  );
}

/** The URL of the local front. */
export function frontUrl(state: string): string {
  const { url } = runningFleet(state);
  if (url !== undefined) return url;
  throw new PushfleetError('unavailable', 'The local fleet is still starting; try again in a moment.');
}

/** host:port of a listener of a local service. */
export function serviceAddress(state: string, service: string, listener: string): string {
  const found = runningFleet(state).processes.find(({ name }) => name === service)?.addresses[listener];
  if (found !== undefined) return found;
  throw new PushfleetError(
    'unavailable',
    `The local fleet has no ${service} that is ready: "npx pushfleet status" shows what there is.`,
  );
}
