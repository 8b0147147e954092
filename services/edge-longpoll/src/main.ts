import { wireEdge } from '@pushfleet/edge';
import { runService } from '@pushfleet/runtime';
import { fields } from './config.ts';
import { Edge } from './edge.ts';

const name = 'edge-longpoll';

await runService({
  name,
  fields,
  wire(config, context) {
    const { parts, ...footing } = wireEdge(config, context, { name, protocol: 'longpoll' });
    return { parts: [...parts, new Edge({ config, ...footing, ...context })] };
  },
});
