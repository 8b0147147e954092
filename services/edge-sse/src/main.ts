import { wireEdge } from '@pushfleet/edge';
import { runService } from '@pushfleet/runtime';
import { fields } from './config.ts';
import { Edge } from './edge.ts';

const name = 'edge-sse';

await runService({
  name,
  fields,
  wire(config, context) {
    const { parts, ...footing } = wireEdge(config, context, { name, protocol: 'sse' });
    return { parts: [...parts, new Edge({ config, ...footing, ...context })] };
  },
});
