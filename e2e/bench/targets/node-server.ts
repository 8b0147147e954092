import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Poster } from '../load/poster.ts';
import { startChild, stopChild } from './child.ts';
import type { Running, Target } from './target.ts';

/** A server in one Node process of its own, published to by pipelined POSTs. */
export interface NodeServer extends Pick<Target, 'name' | 'scenarios' | 'about'> {
  /** Calls `listen`. */
  readonly file: URL;
  /** The path that is posted to. */
  path(topic: number): string;
  /** What a client asks for, and the header lines it asks with. */
  target(topic: number): string;
  readonly headers?: string;
  readonly turns?: Running['turns'];
}

const host = '127.0.0.1';

export const nodeServer = (server: NodeServer): Target => ({
  name: server.name,
  scenarios: server.scenarios,
  about: server.about,
  start: () => start(server),
});

async function start({ name, file, path, target, headers = '', turns }: NodeServer): Promise<Running> {
  const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
  const child = startChild(process.execPath, [fileURLToPath(file)], { stdio: [...stdio] });
  const ended = once(child, 'exit').then(() => Promise.reject(new Error(`${name} ended before it listened`)));
  const [port] = (await Promise.race([once(child, 'message'), ended])) as [number];
  ended.catch(() => {}); // of a later end the clients tell
  const poster = new Poster(host, port);
  return {
    host,
    port,
    request: (_client, topic) => `GET ${target(topic)} HTTP/1.1\r\nHost: ${host}\r\n${headers}\r\n`,
    ...(turns !== undefined && { turns }),
    publish: async (messages) => {
      await poster.post(messages.map(({ topic, payload }) => ({ path: path(topic), body: payload })));
    },
    pids: { front: [child.pid as number], behind: [] },
    async stop() {
      poster.close();
      await stopChild(child);
    },
  };
}
