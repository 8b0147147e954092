import { edgeFields, fleetFields } from '@pushfleet/edge';
import type { Config } from '@pushfleet/runtime';

export const title = 'edge-sse';

const own = edgeFields({ env: 'EDGE_SSE', noun: 'streams', port: 8081, opsPort: 9181 });

export const fields = { ...fleetFields, ...own };

/** What the edge itself needs of the configuration. */
export type EdgeConfig = Config<typeof own> & Pick<Config<typeof fleetFields>, 'drainMs' | 'requestMs'>;
