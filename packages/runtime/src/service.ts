import type { Lifecycle } from '@pushfleet/core';
import type { Config, Fields } from './config.ts';
import type { Address, Field } from './field.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { commonFields } from './shared-fields.ts';

/** Something a service consists of. Parts start in order, drain all at once and close in reverse order. */
export interface Part extends Lifecycle {
  readonly name: string;
  /** Why this part cannot serve at this moment, for a person; undefined when it can. */
  ready?(): string | undefined;
}

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
  /** Builds the parts; does no I/O, since parts are started afterwards. */
  wire(config: Config<F>, context: ServiceContext): { readonly parts: readonly Part[] };
}

/**
 * The whole life of a service's process: configuration, parts, operations server, signals. Returns once the
 * parts have started and the process listens. SIGTERM or SIGINT drains within PUSHFLEET_DRAIN_SECONDS and exits
 * 0; a second one closes at once. Exits 78 for a wrong configuration, 1 for whatever else fails.
 */
export async function runService<F extends ServiceFields>(_options: ServiceOptions<F>): Promise<void> {
  throw new Error('not yet');
}
