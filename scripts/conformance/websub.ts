import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fleet, token } from '../../e2e/src/fleet.ts';
import { publish } from '../../e2e/src/stream.ts';
import { webhookEnv } from '../../e2e/src/webhooks.ts';
import { freePort, until } from '../../packages/contract/src/mod.ts';
import { root } from '../servers.ts';
import { bring, workshop } from './languages.ts';
import { type Program, Running } from './program.ts';

const version = '0.4.1';
/** npm's subscriber of PubSubHubbub, and PyPI's publisher. */
const subscriberVersion = '1.0.2';
const publisherVersions = ['django-push==1.1', 'Django==5.2.8', 'requests==2.32.5'];
const topic = 'conformance/websub';

/** A Python with Flask-WebSub. @throws Missing where it cannot be had on this machine */
export const bringFlaskWebSub = (): string =>
  bringPython(`flask-websub-${version}`, [`Flask-WebSub==${version}`]);

/** A Python that has these packages of PyPI. */
function bringPython(name: string, packages: readonly string[]): string {
  const venv = join(workshop, name);
  const python = join(venv, 'bin/python');
  if (existsSync(join(venv, 'ready'))) return python;
  bring('no Python with venv', root, 'python3', '-m', 'venv', venv);
  bring('pip cannot install', root, python, '-m', 'pip', 'install', '-q', ...packages);
  bring('cannot write', root, 'touch', join(venv, 'ready'));
  return python;
}

/** A publisher and a subscriber of PubSubHubbub. */
export interface FeedPrograms {
  readonly announce: Program;
  readonly subscribe: Program;
}

/** @throws Missing where they cannot be had on this machine */
export function bringFeedPrograms(): FeedPrograms {
  const python = bringPython('django-push', publisherVersions);
  const folder = join(workshop, `pubsubhubbub-${subscriberVersion}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  bring(
    'npm cannot install',
    folder,
    'npm',
    'install',
    '--no-audit',
    '--no-fund',
    `pubsubhubbub@${subscriberVersion}`,
  );
  cpSync(join(import.meta.dirname, 'websub_subscriber.mjs'), join(folder, 'subscriber.mjs'));
  return {
    announce: { command: python, args: [join(import.meta.dirname, 'websub_publisher.py')], folder: root },
    subscribe: { command: process.execPath, args: ['subscriber.mjs'], folder },
  };
}

/** A fleet with a hub, and what it says is public. */
async function withHub(policies: object, run: (fleet: Fleet) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'pushfleet-websub-'));
  const file = join(directory, 'policies.json');
  writeFileSync(file, JSON.stringify(policies));
  const fleet = await Fleet.start({
    ...{ hubs: 1, protocols: [] },
    env: { ...webhookEnv, PUSHFLEET_POLICIES_FILE: file },
  });
  try {
    await run(fleet);
  } finally {
    await fleet.stop();
    rmSync(directory, { recursive: true });
  }
}

const open = { namespace: 'default', filter: topic, public: true };

/** @throws Error with what the subscriber said went wrong */
export const tryWebSub = (python: string): Promise<void> =>
  withHub({ topics: [open] }, async (fleet) => {
    const program = { command: python, args: [join(import.meta.dirname, 'websub_client.py')], folder: root };
    const resource = `http://${fleet.http.address}/v1/topics/${topic}`;
    const bearer = await token({ publish: [topic] });
    await playing(program, [resource, String(await freePort())], () =>
      publish(fleet.http.address, topic, bearer, 'signed'),
    );
  });

/** A feed outside of the fleet, announced by one program and followed by another. @throws Error as `tryWebSub` */
export async function tryFeed({ announce, subscribe }: FeedPrograms): Promise<void> {
  let text = 0;
  const pages = createServer((_, response) => void response.end(`page ${++text}`)).listen(0, '127.0.0.1');
  const url = `http://127.0.0.1:${await portOf(pages)}/feed`;
  const feeds = [{ namespace: 'default', topic, url }];
  try {
    await withHub({ topics: [open], feeds }, async (fleet) => {
      const hub = `http://${fleet.hub?.address}/websub`;
      await playing(subscribe, [url, hub, String(await freePort())], async () => {
        const announcing = new Running(announce, [url, hub], {});
        if ((await announcing.ended) !== 0) throw new Error(announcing.errors);
      });
    });
  } finally {
    pages.close();
  }
}

const portOf = async (server: Server): Promise<number> => {
  if (!server.listening) await once(server, 'listening');
  return (server.address() as AddressInfo).port;
};

/** A subscriber from its first request to its end. @param feed has it given something, again and again */
async function playing(
  program: Program,
  args: readonly string[],
  feed: () => Promise<unknown>,
): Promise<void> {
  const client = new Running(program, args, {});
  try {
    let [ended, heard] = [false, false];
    void client.ended.then(() => (ended = true));
    await until(() => client.lines.includes('subscribed') || ended, 'the subscription');
    // It hears of its subscription a moment before the subscription stands.
    await until(async () => {
      if (!heard && !ended) await feed();
      heard = client.lines.includes('done');
      return heard || ended;
    }, 'the end');
    if ((await client.ended) !== 0) throw new Error(client.errors);
  } finally {
    await client.stop();
  }
}
