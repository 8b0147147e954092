import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childrenOf } from '../cpu.ts';
import { Poster } from '../load/poster.ts';
import { startChild, stopChild } from './child.ts';
import { nchanConfig } from './nchan-config.ts';
import type { Nchan } from './nchan-package.ts';
import type { Running, Target } from './target.ts';

const host = '127.0.0.1';

/** The peer: nginx with nchan, one worker. */
export function nchan(found: Nchan): Target {
  return {
    name: 'nchan',
    about: () => `${found.version}; one worker; ${summary}`,
    start: () => start(found),
  };
}

const summary =
  'messages in shared memory (256 MB), 2,000 a channel kept for 5 minutes, `nchan_subscriber eventsource`, ' +
  'published by pipelined POST on one keep-alive connection';

async function start(found: Nchan): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), 'pushfleet-bench-nchan-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const port = await freePort();
  const file = join(directory, 'nginx.conf');
  const root = process.getuid?.() === 0;
  writeFileSync(file, nchanConfig({ port, module: found.module, directory, root }));
  const master = startChild(found.nginx, ['-p', directory, '-c', file, '-e', join(directory, 'error.log')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await answering(port);
  const poster = new Poster(host, port);
  return {
    host,
    port,
    request: (_client, topic) =>
      `GET /sub/t${topic} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`,
    publish: async (messages) => {
      await poster.post(messages.map(({ topic, payload }) => ({ path: `/pub/t${topic}`, body: payload })));
    },
    pids: { front: childrenOf(master.pid as number), behind: [] },
    async stop() {
      poster.close();
      await stopChild(master);
      remove();
      process.off('exit', remove);
    },
  };
}

/** nginx cannot choose a port by itself, so one is taken and let go right before it starts. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answering(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect({ host, port });
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nginx does not answer on port ${port} after 5 seconds`);
}
