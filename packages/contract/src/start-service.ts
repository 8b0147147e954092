import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runService, serviceReady } from '@pushfleet/cli/servers';
import { endWithUs, temporaryFolder } from './cleanup.ts';
import { root } from './root.ts';

export interface ServiceProcess {
  readonly name: string;
  readonly pid: number;
  /** host:port of each listener, by the name it has in the service's log: `http`, `grpc`, `ops`. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Everything it printed. */
  logs(): string;
  /** Sends the signal and waits for the end, after `patienceMs` (10 s) with SIGKILL; answers with the exit code. */
  kill(signal: NodeJS.Signals, patienceMs?: number): Promise<number | null>;
  /** Sends the signal without waiting. */
  signal(signal: NodeJS.Signals): void;
}

export interface StartServiceOptions {
  /** Wait until /readyz says 200; otherwise only until it listens. On by default. */
  readonly ready?: boolean;
}

/**
 * A service's `main.ts` as a process of its own, on free ports of 127.0.0.1 unless `env` names others.
 *
 * @param name the folder below `services/`
 * @param env on top of this process's own variables
 */
export async function startService(
  name: string,
  env: Readonly<Record<string, string>>,
  o: StartServiceOptions = {},
): Promise<ServiceProcess> {
  const log = join(temporaryFolder(name), 'log');
  const service = await runService({ root, name, env, log });
  const { child } = service;
  endWithUs(child);
  if (o.ready !== false) {
    await serviceReady(name, service).catch(async (error) => {
      await child.stop('SIGKILL');
      throw error;
    });
  }
  return {
    name,
    pid: child.pid,
    get addresses() {
      return service.addresses; // those that come late too, for whoever does not wait
    },
    logs: () => readFileSync(log, 'utf8'),
    kill: async (signal, patienceMs) => (await child.stop(signal, patienceMs)).code,
    signal: child.signal,
  };
}
