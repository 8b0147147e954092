import { connectJetStream } from '@pushfleet/bus';
import type { Lifecycle } from '@pushfleet/core';
import { createHubs } from '@pushfleet/hub';
import { createRegistryClient, createTokenCheck, type Part, runService } from '@pushfleet/runtime';
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
    const reason = () => (backbone.ready ? undefined : 'The log (NATS) is out of reach.');
    return { parts: [part('log', backbone, reason), part('hubs', hubs), registry, edge] };
  },
});

function part(name: string, of: Lifecycle, ready: () => string | undefined = () => undefined): Part {
  return {
    name,
    ready,
    start: () => of.start(),
    drain: (deadline) => of.drain(deadline),
    close: () => of.close(),
  };
}
