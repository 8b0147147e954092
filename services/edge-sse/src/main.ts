import { connectJetStream } from '@pushfleet/bus';
import { createHubs } from '@pushfleet/hub';
import {
  answerForHubs,
  createFleet,
  createPolicies,
  createRegistryClient,
  createTokenCheck,
  createTraces,
  Deliveries,
  declareFleetMetrics,
  declareHealing,
  logPart,
  part,
  Quotas,
  runService,
} from '@pushfleet/runtime';
import { fields } from './config.ts';
import { Edge } from './edge.ts';

const name = 'edge-sse';

await runService({
  name,
  fields,
  wire(config, { log, metrics }) {
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
    const usage = () => quotas.usage();
    const fleet = createFleet(backbone.signals, { service: name, protocol: 'sse', usage });
    const traces = createTraces(config, { service: name, instance: fleet.instance, log, metrics });
    const deliveries = new Deliveries({ protocol: 'sse', metrics, traces });
    const hubs = createHubs(backbone, { observer: deliveries });
    answerForHubs(fleet, hubs);
    declareFleetMetrics(metrics, fleet);
    const registry = createRegistryClient(config, { name, log });
    const tokens = createTokenCheck(config, { revocations: registry.revocations });
    const edge = new Edge({ config, hubs, quotas, tokens, registry, deliveries, log, metrics });
    return {
      parts: [traces, policies, logPart(backbone), part('hubs', hubs), fleet, registry, edge],
    };
  },
});
