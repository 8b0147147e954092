import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Poster } from '../load/poster.ts';
import { chapters } from '../plan.ts';
import type { Centrifugo } from './centrifugo-program.ts';
import { startChild, stopChild } from './child.ts';
import { answering, freePort } from './ports.ts';
import type { Running, Target } from './target.ts';
import { upgrade } from './upgrade.ts';

const host = '127.0.0.1';

/** The peer that does the most of what Pushfleet's edge does: channels with a history, many transports. */
export function centrifugo(found: Centrifugo): Target {
  return {
    name: 'centrifugo',
    scenarios: chapters.websocket,
    about: () =>
      `${found.version}; one process, memory engine, 1,000 messages a channel kept for 5 minutes and recovery on, ` +
      'JSON protocol, published by pipelined POST on one keep-alive connection',
    start: () => start(found),
  };
}

/**
 * As its documentation configures a server for a trial, with what it needs to give a client what it missed. Pings
 * stay, what is left out is its end of clients that answer none: those of the benchmark only listen.
 */
const configuration = (port: number) => ({
  http_server: { address: host, port },
  log: { level: 'error' },
  client: { insecure: true, pong_timeout: '-1s' },
  http_api: { insecure: true },
  channel: {
    without_namespace: {
      ...{ history_size: 1_000, history_ttl: '5m', force_recovery: true },
      allow_subscribe_for_client: true,
    },
  },
  usage_stats: { disabled: true },
});

const turns = (topic: number) => [
  { say: '{"id":1,"connect":{}}', until: '"id":1,"connect":' },
  { say: `{"id":2,"subscribe":{"channel":"t${topic}"}}`, until: '"id":2,"subscribe":' },
];

async function start({ program }: Centrifugo): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), 'pushfleet-bench-centrifugo-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const port = await freePort(host);
  const file = join(directory, 'config.json');
  writeFileSync(file, JSON.stringify(configuration(port)));
  const child = startChild(program, ['-c', file], { stdio: ['ignore', 'inherit', 'inherit'] });
  await answering('centrifugo', host, port);
  const poster = new Poster(host, port);
  return {
    host,
    port,
    request: () => `GET /connection/websocket HTTP/1.1\r\nHost: ${host}:${port}\r\n${upgrade}\r\n`,
    turns,
    publish: async (messages) => {
      const bodies = await poster.post(
        messages.map(({ topic, payload }) => ({
          path: '/api/publish',
          headers: 'Content-Type: application/json\r\n',
          body: `{"channel":"t${topic}","data":"${payload}"}`,
        })),
      );
      const refused = bodies.find((body) => body.includes('"error"'));
      if (refused !== undefined) throw new Error(`centrifugo refused a publication: ${refused}`);
    },
    pids: { front: [child.pid as number], behind: [] },
    async stop() {
      poster.close();
      await stopChild(child);
      remove();
      process.off('exit', remove);
    },
  };
}
