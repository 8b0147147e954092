import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Fleet, token } from '../../e2e/src/fleet.ts';
import { publish } from '../../e2e/src/stream.ts';
import { webhookEnv } from '../../e2e/src/webhooks.ts';
import { freePort, until } from '../../packages/contract/src/mod.ts';
import { root } from '../servers.ts';
import { bring, workshop } from './languages.ts';
import { Running } from './program.ts';

const version = '0.4.1';
const topic = 'conformance/websub';

/** A Python with Flask-WebSub. @throws Missing where it cannot be had on this machine */
export function bringFlaskWebSub(): string {
  const venv = join(workshop, `flask-websub-${version}`);
  const python = join(venv, 'bin/python');
  if (existsSync(join(venv, 'ready'))) return python;
  bring('no Python with venv', root, 'python3', '-m', 'venv', venv);
  bring('pip cannot install', root, python, '-m', 'pip', 'install', '-q', `Flask-WebSub==${version}`);
  bring('cannot write', root, 'touch', join(venv, 'ready'));
  return python;
}

/** @throws Error with what the subscriber said went wrong */
export async function tryWebSub(python: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'pushfleet-websub-'));
  const policies = join(directory, 'policies.json');
  writeFileSync(
    policies,
    JSON.stringify({ topics: [{ namespace: 'default', filter: topic, public: true }] }),
  );
  const env = { ...webhookEnv, PUSHFLEET_POLICIES_FILE: policies };
  const fleet = await Fleet.start({ hubs: 1, protocols: [], env });
  const resource = `http://${fleet.http.address}/v1/topics/${topic}`;
  const program = { command: python, args: [join(import.meta.dirname, 'websub_client.py')], folder: root };
  const client = new Running(program, [resource, String(await freePort())], {});
  try {
    const bearer = await token({ publish: [topic] });
    let [ended, heard] = [false, false];
    void client.ended.then(() => (ended = true));
    await until(() => client.lines.includes('subscribed') || ended, 'the subscription', 60_000);
    // It hears of its subscription a moment before the subscription stands.
    await until(async () => {
      if (!heard && !ended) await publish(fleet.http.address, topic, bearer, 'signed');
      heard = client.lines.includes('done');
      return heard || ended;
    }, 'the end');
    if ((await client.ended) !== 0) throw new Error(client.errors);
  } finally {
    await client.stop();
    await fleet.stop();
    rmSync(directory, { recursive: true });
  }
}
