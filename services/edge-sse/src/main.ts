import { connectJetStream } from '@pushfleet/bus';
import { createHubs } from '@pushfleet/hub';
import { createRegistryClient, createTokenCheck, logPart, part, runService } from '@pushfleet/runtime';
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
    });
    const hubs = createHubs(backbone);
    const registry = createRegistryClient(config, { name, log });
    const tokens = createTokenCheck(config, { revocations: registry.revocations });
    const edge = new Edge({ config, hubs, tokens, registry, log, metrics });
    return { parts: [logPart(backbone), part('hubs', hubs), registry, edge] };
  },
});
