import { hostname } from 'node:os';
import { connectJetStream } from '@pushfleet/bus';
import { createHubs } from '@pushfleet/hub';
import {
  answerForHubs,
  createFleet,
  createRegistryClient,
  createTokenCheck,
  createTraces,
  Deliveries,
  declareHealing,
  logPart,
  part,
  runService,
} from '@pushfleet/runtime';
import { fields } from './config.ts';
import { Edge } from './edge.ts';

const name = 'edge-sse';

await runService({
  name,
  fields,
  wire(config, { log, metrics }) {
    const backbone = connectJetStream({
      servers: config.natsUrl,
      ...(config.natsCreds !== undefined && { creds: config.natsCreds }),
      name,
      log,
      onHealed: declareHealing(metrics),
    });
    const traces = createTraces(config, { service: name, instance: hostname(), log, metrics });
    const deliveries = new Deliveries({ protocol: 'sse', metrics, traces });
    const hubs = createHubs(backbone, { observer: deliveries });
    const fleet = createFleet(backbone.signals, { service: name, protocol: 'sse' });
    answerForHubs(fleet, hubs);
    const registry = createRegistryClient(config, { name, log });
    const tokens = createTokenCheck(config, { revocations: registry.revocations });
    const edge = new Edge({ config, hubs, tokens, registry, deliveries, log, metrics });
    return { parts: [traces, logPart(backbone), part('hubs', hubs), fleet, registry, edge] };
  },
});
