import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { childrenOf } from '../cpu.ts';
import { Poster } from '../load/poster.ts';
import { chapters } from '../plan.ts';
import type { PublishPath } from '../publish/spec.ts';
import { startChild, stopChild } from './child.ts';
import { nchanConfig, type Subscriber } from './nchan-config.ts';
import type { Nchan } from './nchan-package.ts';
import { answering, freePort } from './ports.ts';
import type { Running, Target } from './target.ts';
import { upgrade } from './upgrade.ts';

const host = '127.0.0.1';

const headers = { eventsource: 'Accept: text/event-stream\r\n', websocket: upgrade };
const scenarios = {
  eventsource: [...chapters.deliveries, ...chapters.publishing],
  websocket: chapters.websocket,
};

/** The peer: nginx with nchan, one worker. */
export function nchan(found: Nchan, subscriber: Subscriber): Target {
  return {
    name: 'nchan',
    scenarios: scenarios[subscriber],
    about: () =>
      `${found.version}; one worker; messages in shared memory (1 GB), 1,000 a channel kept for 5 minutes, ` +
      `\`nchan_subscriber ${subscriber}\`, published by pipelined POST on one keep-alive connection`,
    start: () => start(found, subscriber),
  };
}

async function start(found: Nchan, subscriber: Subscriber): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), 'pushfleet-bench-nchan-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const port = await freePort(host);
  const file = join(directory, 'nginx.conf');
  const root = process.getuid?.() === 0;
  writeFileSync(file, nchanConfig({ port, module: found.module, directory, root, subscriber }));
  const master = startChild(found.nginx, ['-p', directory, '-c', file, '-e', join(directory, 'error.log')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await answering('nginx', host, port);
  const poster = new Poster(host, port);
  const workers = childrenOf(master.pid as number);
  return {
    host,
    port,
    request: (_client, topic) => `GET /sub/t${topic} HTTP/1.1\r\nHost: ${host}\r\n${headers[subscriber]}\r\n`,
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
