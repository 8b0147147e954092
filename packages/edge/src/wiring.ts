import { connectJetStream } from '@pushfleet/bus';
import { createHubs, type Hubs } from '@pushfleet/hub';
import {
  answerForHubs,
  type Config,
  createFleet,
  createPolicies,
  createRegistryClient,
  createTokenCheck,
  createTraces,
  Deliveries,
  declareFleetMetrics,
  declareHealing,
  type Fleet,
  logPart,
  type Part,
  type Policies,
  part,
  Quotas,
  type RegistryClient,
  type ServiceContext,
  type TokenCheck,
  type Traces,
} from '@pushfleet/runtime';
import type { fleetFields } from './fields.ts';

/** What every edge stands on. */
export interface Footing {
  readonly backbone: ReturnType<typeof connectJetStream>;
  readonly policies: Policies;
  readonly quotas: Quotas;
  readonly fleet: Fleet;
  readonly traces: Traces;
  readonly deliveries: Deliveries;
  readonly hubs: Hubs;
  readonly registry: RegistryClient;
  readonly tokens: TokenCheck;
  /** In the order in which they start; the edge itself comes behind them. */
  readonly parts: readonly Part[];
}

/** Makes what every edge stands on, out of its configuration. Does no I/O. */
export function wireEdge(
  config: Config<typeof fleetFields>,
  { log, metrics }: Pick<ServiceContext, 'log' | 'metrics'>,
  { name, protocol }: { readonly name: string; readonly protocol: string },
): Footing {
  const policies = createPolicies({ file: config.policiesFile, log, metrics });
  const backbone = connectJetStream({
    servers: config.natsUrl,
    ...(config.natsCreds !== undefined && { creds: config.natsCreds }),
    name,
    log,
    onHealed: declareHealing(metrics),
    retentionMs: (namespace, filter) => policies.retentionMs(namespace, filter),
  });
  const quotas = new Quotas({ policies, elsewhere: (namespace) => fleet.elsewhere(namespace) });
  const fleet = createFleet(backbone.signals, { service: name, protocol, usage: () => quotas.usage() });
  const traces = createTraces(config, { service: name, instance: fleet.instance, log, metrics });
  const deliveries = new Deliveries({ protocol, metrics, traces });
  const hubs = createHubs(backbone, { observer: deliveries });
  answerForHubs(fleet, hubs);
  declareFleetMetrics(metrics, fleet);
  const registry = createRegistryClient(config, { name, log });
  const tokens = createTokenCheck(config, { revocations: registry.revocations });
  const parts = [traces, policies, logPart(backbone), part('hubs', hubs), fleet, registry];
  return { backbone, policies, quotas, fleet, traces, deliveries, hubs, registry, tokens, parts };
}
