import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startChild, stopChild } from '../targets/child.ts';
import type { Broker, RunningBroker } from './broker.ts';

const host = '127.0.0.1';
const manifest = new URL('./package.json', import.meta.resolve('aedes'));
const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };

/** aedes in a Node process of its own. It knows no MQTT 5. */
export const aedes: Broker = {
  name: 'aedes',
  versions: [4],
  about: () => `aedes ${version} on Node ${process.versions.node}, in memory, behind \`net.createServer\``,
  start,
};

async function start(): Promise<RunningBroker> {
  const file = fileURLToPath(new URL('./aedes-server.ts', import.meta.url));
  // As our edges are started: without it V8 keeps a young generation of 128 MiB after many connections.
  const flags = ['--max-semi-space-size=16'];
  const child = startChild(process.execPath, [...flags, file], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit').then(() => Promise.reject(new Error('aedes ended before it listened')));
  const [port] = (await Promise.race([once(child, 'message'), ended])) as [number];
  ended.catch(() => {}); // of a later end the clients tell
  return {
    ...{ host, port, password: () => undefined, pids: { front: [child.pid as number], behind: [] } },
    stop: () => stopChild(child),
  };
}
