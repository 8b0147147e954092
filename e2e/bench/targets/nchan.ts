import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childrenOf } from '../cpu.ts';
import { Poster } from '../load/poster.ts';
import type { PublishPath } from '../publish/spec.ts';
import { startChild, stopChild } from './child.ts';
import { nchanConfig } from './nchan-config.ts';
import type { Nchan } from './nchan-package.ts';
import { answering, freePort } from './ports.ts';
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
  'messages in shared memory (1 GB), 1,000 a channel kept for 5 minutes, `nchan_subscriber eventsource`, ' +
  'published by pipelined POST on one keep-alive connection';

async function start(found: Nchan): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), 'pushfleet-bench-nchan-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const port = await freePort(host);
  const file = join(directory, 'nginx.conf');
  const root = process.getuid?.() === 0;
  writeFileSync(file, nchanConfig({ port, module: found.module, directory, root }));
  const master = startChild(found.nginx, ['-p', directory, '-c', file, '-e', join(directory, 'error.log')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await answering('nginx', host, port);
  const poster = new Poster(host, port);
  const workers = childrenOf(master.pid as number);
  return {
    host,
    port,
    request: (_client, topic) =>
      `GET /sub/t${topic} HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n\r\n`,
    publish: async (messages) => {
      await poster.post(messages.map(({ topic, payload }) => ({ path: `/pub/t${topic}`, body: payload })));
    },
    intake: { paths: paths(port), front: workers, behind: [] },
    pids: { front: workers, behind: [] },
    async stop() {
      poster.close();
      await stopChild(master);
      remove();
      process.off('exit', remove);
    },
  };
}

const paths = (port: number): readonly PublishPath[] => [
  {
    name: 'HTTP, one each',
    spec: {
      ...{ how: 'http', host, port, path: '/pub/t{topic}', item: '{payload}', connections: 64 },
      headers: 'Content-Type: text/plain\r\n',
    },
  },
];
