import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Poster } from '../load/poster.ts';
import { startChild, stopChild } from './child.ts';
import type { Target } from './target.ts';

const file = fileURLToPath(new URL('./bare-server.ts', import.meta.url));

/** The reference loop: node:http and `socket.write` of one shared buffer. */
export const bare: Target = {
  name: 'bare Node loop',
  scenarios: ['fanout', 'saturated', 'topics', 'idle', 'latency'],
  about: () => `node:http on Node ${process.versions.node}, \`socket.write\` of one shared chunk per message`,
  async start() {
    const child = startChild(process.execPath, [file], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const [port] = (await once(child, 'message')) as [number];
    const host = '127.0.0.1';
    const poster = new Poster(host, port);
    return {
      host,
      port,
      request: (_client, topic) => `GET /${topic} HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      publish: async (messages) => {
        await poster.post(messages.map(({ topic, payload }) => ({ path: `/${topic}`, body: payload })));
      },
      pids: { front: [child.pid as number], behind: [] },
      async stop() {
        poster.close();
        await stopChild(child);
      },
    };
  },
};
