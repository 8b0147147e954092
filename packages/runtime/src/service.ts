import type { Server } from 'node:http';
import { type Config, ConfigError, type Fields, readConfig, unknownVariables } from './config.ts';
import type { Address, Field } from './field.ts';
import { createLog, type Log, listening } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { startOps } from './ops.ts';
import type { Part } from './part.ts';
import type { commonFields } from './shared-fields.ts';
import { Supervisor } from './supervisor.ts';
import { version } from './version.ts';

export interface ServiceContext {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly env: NodeJS.ProcessEnv;
}

/** Every service's fields include the common ones and `opsListen`, the address of /healthz, /readyz and /metrics. */
export type ServiceFields = Fields & typeof commonFields & { readonly opsListen: Field<Address> };

export interface ServiceOptions<F extends ServiceFields> {
  readonly name: string;
  readonly fields: F;
  /** Builds the parts. Does no I/O: the parts are started afterwards. */
  wire(config: Config<F>, context: ServiceContext): { readonly parts: readonly Part[] };
}

/** EX_CONFIG of sysexits.h: a restart does not help. */
const badConfiguration = 78;

/**
 * The whole life of a service's process: configuration, parts, operations server, signals. Returns once the
 * parts have started. SIGTERM or SIGINT drains within PUSHFLEET_DRAIN_SECONDS and exits 0; a second one closes
 * at once. Exits 78 for a wrong configuration, 1 for whatever else fails.
 */
export async function runService<F extends ServiceFields>(options: ServiceOptions<F>): Promise<void> {
  try {
    await run(options);
  } catch (error) {
    // For a person at a terminal, so no JSON.
    process.stderr.write(`${options.name}: ${messageOf(error)}\n`);
    process.exit(error instanceof ConfigError ? badConfiguration : 1);
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const origin = error.cause instanceof Error ? error.cause : error;
  // A bug is for whoever wrote it, and they need to know where.
  const bug = origin instanceof TypeError || origin instanceof ReferenceError;
  return bug ? `${error.message}\n${origin.stack}` : error.message;
}

async function run<F extends ServiceFields>(options: ServiceOptions<F>): Promise<void> {
  const { name, fields } = options;
  const { env } = process;
  const config: Config<F> = readConfig(fields, env);
  // What a generic F reads these two into, TypeScript cannot work out.
  const { logLevel, drainMs, opsListen } = config as Config<typeof commonFields> & { opsListen: Address };
  const log = createLog({ name, level: logLevel });
  for (const warning of unknownVariables(env)) log.warn(warning);
  const metrics = createMetrics();
  const { parts } = options.wire(config, { log, metrics, env });
  const supervisor = new Supervisor({ parts, log, drainMs });
  metrics.gauge('pushfleet_ready', { description: '1 while /readyz says 200, else 0.' }, () =>
    Object.keys(supervisor.reasons).length === 0 ? 1 : 0,
  );
  const builtAs = { version, node: process.versions.node };
  metrics.gauge(
    'pushfleet_build_info',
    { description: 'Always 1; its labels say which release this is.' },
    () => [[1, builtAs]],
  );
  dieOfBugs(log);
  const ops = await startOps(opsListen, { reasons: () => supervisor.reasons, metrics });
  listening(log, 'ops', ops);
  stopAtSignals({ supervisor, ops, log });
  await supervisor.start();
  log.info({ version }, 'started');
}

/** A service that met an error nobody expected is in a state nobody knows. */
function dieOfBugs(log: Log): void {
  const die = (message: string) => (error: unknown) => {
    log.fatal({ err: error }, message);
    process.exit(1);
  };
  process.on('uncaughtException', die('an exception was not caught'));
  process.on('unhandledRejection', die('a promise was rejected and nobody handled it'));
}

function stopAtSignals(o: {
  readonly supervisor: Supervisor;
  readonly ops: Server;
  readonly log: Log;
}): void {
  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    o.log.info({ signal }, stopping ? 'closing at once' : 'draining');
    const first = !stopping;
    stopping = true;
    const well = await o.supervisor.stop();
    if (!first) return;
    o.ops.close();
    o.log.info(well ? 'stopped' : 'stopped, not everything went well');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
}
