import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, get, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../cpu.ts';
import type { PublishPath } from '../publish/spec.ts';
import { startChild, stopChild } from './child.ts';
import { answering, freePort } from './ports.ts';
import { writePushpinConfig } from './pushpin-config.ts';
import type { Pushpin } from './pushpin-package.ts';
import type { Outgoing, Running, Target } from './target.ts';

const host = '127.0.0.1';

/** The peer: pushpin, a proxy that holds the clients and is told by HTTP what to send them. */
export function pushpin(found: Pushpin): Target {
  return {
    name: 'pushpin',
    scenarios: ['publish', 'latency'],
    about: () => `${found.version}; ${summary}`,
    start: () => start(found),
  };
}

const summary =
  'condure, zurl, pushpin-proxy and pushpin-handler; HTTP streaming, nothing kept, no `message_rate`, ' +
  'published by POST of items, each on a connection of its own, since pushpin closes it';

async function start(found: Pushpin): Promise<Running> {
  const directory = mkdtempSync(join(tmpdir(), 'pushfleet-bench-pushpin-'));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const origin = await startOrigin();
  const ports = {
    http: await freePort(host),
    publish: await freePort(host),
    origin: (origin.address() as AddressInfo).port,
  };
  const file = writePushpinConfig(directory, found.libdir, ports);
  const runner = startChild(found.bin, ['--config', file], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...found.env },
  });
  await passing(ports.http);
  await answering('pushpin', host, ports.publish);
  const front = childrenOf(runner.pid as number);
  return {
    host,
    port: ports.http,
    request: (_client, topic) => `GET /t${topic} HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    publish: (messages) => post(ports.publish, messages),
    intake: { paths: paths(ports.publish), front, behind: [] },
    pids: { front, behind: [] },
    async stop() {
      await stopChild(runner);
      origin.close();
      remove();
      process.off('exit', remove);
    },
  };
}

/** The origin behind pushpin: it is asked once a client, and answers which channel to hold it on. */
async function startOrigin(): Promise<Server> {
  const origin = createServer((asked, response) => {
    const channel = (asked.url ?? '').slice(1);
    const hold = { 'Grip-Hold': 'stream', 'Grip-Channel': channel };
    response.writeHead(200, { 'Content-Type': 'text/event-stream', ...hold }).end();
  });
  await new Promise<void>((resolve) => origin.listen(0, host, resolve));
  return origin;
}

/** Waits until a client gets through to the origin: pushpin's parts find each other some time after they listen. */
async function passing(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const status = await new Promise<number | undefined>((resolve) => {
      const asked = get({ host, port, path: '/ready', agent: false }, (answer) => {
        answer.destroy();
        resolve(answer.statusCode);
      });
      asked.on('error', () => resolve(undefined));
    });
    if (status === 200) return;
    await sleep(50);
  }
  throw new Error(`pushpin answers no client on port ${port} after 5 seconds`);
}

const item = (topic: number | string, payload: string) =>
  `{"channel":"t${topic}","formats":{"http-stream":{"content":"data: ${payload}\\n\\n"}}}`;

function post(port: number, messages: readonly Outgoing[]): Promise<void> {
  const body = `{"items":[${messages.map(({ topic, payload }) => item(topic, payload)).join(',')}]}`;
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, method: 'POST', path: '/publish/', agent: false }, (answer) => {
      answer.resume().on('error', reject);
      if (answer.statusCode === 200) answer.on('end', resolve);
      else reject(new Error(`a publish was answered ${answer.statusCode}`));
    });
    sent.on('error', reject).end(body);
  });
}

function paths(port: number): readonly PublishPath[] {
  const spec = { how: 'http', host, port, path: '/publish/', closes: true } as const;
  const headers = 'Content-Type: application/json\r\n';
  const ofTopic = item('{topic}', '{payload}');
  const around = { begin: '{"items":[', end: ']}' };
  return [
    {
      name: 'HTTP, one each',
      spec: { ...spec, headers, item: ofTopic, batch: { size: 1, ...around }, connections: 64 },
    },
    {
      name: 'HTTP, batches of 200',
      spec: { ...spec, headers, item: ofTopic, batch: { size: 200, ...around }, connections: 8 },
    },
  ];
}
