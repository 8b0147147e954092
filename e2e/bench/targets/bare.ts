import { nodeServer } from './node-server.ts';

/** The reference loop: node:http and `socket.write` of one shared buffer. */
export const bare = nodeServer({
  name: 'bare Node loop',
  scenarios: ['fanout', 'saturated', 'topics', 'idle', 'latency'],
  about: () => `node:http on Node ${process.versions.node}, \`socket.write\` of one shared chunk per message`,
  file: new URL('./bare-server.ts', import.meta.url),
  path: (topic) => `/${topic}`,
  target: (topic) => `/${topic}`,
});
