import type { Signals } from '@pushfleet/core';
import {
  type Config,
  createSessionCalls,
  type Log,
  type Metrics,
  type Part,
  type registryFields,
} from '@pushfleet/runtime';
import type { sessionFields } from '../fields.ts';
import { Desk } from './desk.ts';
import type { SessionDesk } from './owned.ts';

export interface SessionsOptions {
  /** The service, as the registry's operators know it. */
  readonly name: string;
  /** The protocol whose sessions these are: `mqtt`. */
  readonly protocol: string;
  /** This instance, under the name by which the fleet hears of it. */
  readonly instance: string;
  readonly signals: Pick<Signals, 'answer' | 'onReturn'>;
  readonly log: Log;
  readonly metrics?: Pick<Metrics, 'gauge' | 'total' | 'histogram'>;
}

/** Sessions that outlive the process. */
export interface Sessions extends Part, SessionDesk {}

/** How long closing waits for the registry, in milliseconds. */
const closeMs = 2_000;

/**
 * Sessions by the registry; undefined without PUSHFLEET_REGISTRY_URL. Start it before the edge, while the signals are
 * heard, and close it behind: connections that end meanwhile have sessions that are released.
 *
 * @throws ConfigError as `internalClient`
 */
export function createSessions(
  config: Config<typeof registryFields & typeof sessionFields>,
  options: SessionsOptions,
): Sessions | undefined {
  const calls = createSessionCalls(config, options);
  if (calls === undefined) return undefined;
  const desk = new Desk({ ...options, calls, patienceMs: config.sessionPatienceMs });
  return {
    name: 'sessions',
    acquire: (claim, keeper) => desk.acquire(claim, keeper),
    start: async () => desk.start(),
    // Connections that end while the edge drains have sessions that are given back.
    drain: async () => {},
    close: async () => {
      await desk.close(AbortSignal.timeout(closeMs));
      calls.close();
    },
  };
}
