import { createPresence, createSessions, wireEdge } from '@pushfleet/edge';
import { createIntake } from '@pushfleet/intake';
import { part, runService } from '@pushfleet/runtime';
import { fields } from './config.ts';
import { Edge } from './edge.ts';

const name = 'edge-mqtt';

await runService({
  name,
  fields,
  wire(config, context) {
    const { parts, ...footing } = wireEdge(config, context, { name, protocol: 'mqtt' });
    const { backbone, policies, quotas, fleet } = footing;
    const { intake, meters } = createIntake({
      ...{ config, backbone, policies, quotas, instance: fleet.instance, log: context.log },
      terms: () => backbone.terms,
    });
    const presence = createPresence(config, { name, policies, ...context });
    const { instance } = fleet;
    const desk = createSessions(config, {
      ...{ name, protocol: 'mqtt', instance, signals: backbone.signals, ...context },
    });
    const edge = new Edge({ config, intake, presence, desk, ...footing, ...context });
    const measured = { ...part('meters', meters), ready: () => meters.ready() };
    return { parts: [...parts, measured, presence, ...(desk === undefined ? [] : [desk]), edge] };
  },
});
