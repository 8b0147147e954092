import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { poll } from '../local/poll.ts';
import { isRunning } from '../local/process-identity.ts';
import { type FleetRecord, readRecord } from '../local/state.ts';
import { freePort } from '../servers/mod.ts';
import { pushfleet } from '../testing.ts';

const main = join(import.meta.dirname, 'main.ts');
// A space in the path, as in many a home.
const state = mkdtempSync(join(tmpdir(), 'pushfleet launcher-'));
const mqtt = { mqtt: `127.0.0.1:${await freePort()}`, http: `127.0.0.1:${await freePort()}` };
let launcher: { process: ChildProcess; output(): string; ended: Promise<unknown[]> };

function launch(...args: string[]): typeof launcher {
  const child = spawn(process.execPath, [main, '--state', state, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: {
      ...process.env,
      PUSHFLEET_EDGE_MQTT_LISTEN: mqtt.mqtt,
      PUSHFLEET_EDGE_MQTT_WEBSOCKET_LISTEN: mqtt.http,
    },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += chunk));
  return { process: child, output: () => text, ended: once(child, 'exit') };
}

async function ready(): Promise<FleetRecord> {
  const has = (): boolean => launcher.output().includes('The front:') || launcher.process.exitCode !== null;
  await poll(has, { what: 'the fleet', ms: 60_000 });
  const record = readRecord(state);
  assert.ok(record?.url, launcher.output());
  return record;
}

const roundTrip = async (payload: string): Promise<void> => {
  const tail = pushfleet('tail', 'demo/#', '--count', '1', '--state', state);
  const said = (): boolean => tail.stderr().includes('listening');
  await poll(said, { what: 'tail to listen', ms: 20_000 });
  const published = await pushfleet('publish', 'demo/hello', payload, '--state', state).ended;
  assert.equal(published.code, 0, published.stderr);
  const tailed = await tail.ended;
  assert.equal(tailed.code, 0, tailed.stderr);
  assert.equal(tailed.stdout, `demo/hello  ${payload}\n`);
};

before(async () => {
  launcher = launch('--port', '0');
  await ready();
});

after(async () => {
  if (launcher.process.exitCode === null) launcher.process.kill('SIGTERM');
  await launcher.ended;
  rmSync(state, { recursive: true, force: true });
});

test('what is published is heard, through the front', () => roundTrip('one'));

/** Asks for the page's token as the page does. */
const askPageToken = (url: string): Promise<Response> =>
  fetch(`${url}/page/token`, { method: 'POST', headers: { origin: url } });

test('the front serves a page, which gets a token for the playground', async () => {
  const { url } = readRecord(state) as { url: string };
  const page = await fetch(url);
  assert.equal(page.status, 200);
  assert.match(await page.text(), /<title>Pushfleet<\/title>/);
  const { token } = (await (await askPageToken(url)).json()) as { token: string };
  const publish = (topic: string) =>
    fetch(`${url}/v1/topics/${topic}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'text/plain' },
      body: 'x',
    });
  assert.equal((await publish('playground/a')).status, 201);
  assert.equal((await publish('demo/a')).status, 403);
});

for (const [file, of] of [
  ['secret', 'the secret'],
  ['secrets-keys', 'the sealing key'],
] as const) {
  test(`${of} is for its owner alone, and stands in no log`, () => {
    const path = join(state, file);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const secret = readFileSync(path, 'utf8');
    for (const { name } of readRecord(state)?.processes ?? []) {
      assert.ok(!readFileSync(join(state, 'logs', `${name}.log`), 'utf8').includes(secret), name);
    }
  });
}

test('no service is given a variable that nothing reads', () => {
  for (const { name } of readRecord(state)?.processes ?? []) {
    const log = readFileSync(join(state, 'logs', `${name}.log`), 'utf8');
    assert.ok(!log.includes('nothing in the fleet reads it'), log);
  }
});

test('MQTT is where it was told to be', () => {
  const { processes } = readRecord(state) as FleetRecord;
  const { ops, ...others } = processes.find(({ name }) => name === 'edge-mqtt')?.addresses ?? {};
  assert.deepEqual(others, mqtt);
});

test('status shows every part as ready', async () => {
  const shown = await pushfleet('status', '--json', '--state', state).ended;
  assert.equal(shown.code, 0, shown.stdout);
  const { processes } = JSON.parse(shown.stdout) as { processes: { name: string; state: string }[] };
  assert.deepEqual(processes.map(({ name }) => name).sort(), [
    'delivery-webhook',
    'delivery-websub',
    'edge-longpoll',
    'edge-mqtt',
    'edge-sse',
    'edge-websocket',
    'nats',
    'publish',
    'redis',
    'registry',
  ]);
  assert.ok(processes.every((part) => part.state === 'ready'));
});

test('a receiver on this machine is called, in clear and without a handshake', async () => {
  const seen: string[] = [];
  const receiver = createHttpServer(async (request, response) => {
    seen.push(Buffer.concat(await request.toArray()).toString());
    response.writeHead(204).end();
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const { port } = receiver.address() as { port: number };
  const minted = await pushfleet('token', '--subscribe', 'demo/#', '--state', state).ended;
  const made = await fetch(`${readRecord(state)?.url}/v1/subscriptions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${minted.stdout.trim()}`, 'content-type': 'application/json' },
    body: JSON.stringify({ filter: 'demo/hook', url: `http://localhost:${port}/`, handshake: 'none' }),
  });
  assert.equal(made.status, 201, await made.text());
  assert.equal((await pushfleet('publish', 'demo/hook', 'ping', '--state', state).ended).code, 0);
  await poll(() => seen.length > 0, { what: 'the delivery', ms: 20_000 });
  assert.deepEqual(seen, ['ping']);
  receiver.close();
  receiver.closeAllConnections();
});

test('what the fleet refuses ends with an exit code and a sentence', async () => {
  const bad = await pushfleet('publish', 'a/#', 'x', '--state', state).ended;
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /wildcard/);
  const { token } = JSON.parse(
    (await pushfleet('token', '--publish', 'other', '--json', '--state', state).ended).stdout,
  ) as { token: string };
  const denied = await pushfleet.with({ PUSHFLEET_TOKEN: token })('publish', 'a', 'x', '--state', state)
    .ended;
  assert.equal(denied.code, 4, denied.stderr);
});

test('a subject is revoked, listed and let go again', async () => {
  const minted = await pushfleet('token', '--sub', 'mallory', '--publish', 'demo/#', '--state', state).ended;
  const publish = () =>
    pushfleet.with({ PUSHFLEET_TOKEN: minted.stdout.trim() })('publish', 'demo/x', 'x', '--state', state)
      .ended;
  assert.equal((await publish()).code, 0);
  const made = await pushfleet('revoke', '--sub', 'mallory', '--for', '1h', '--json', '--state', state).ended;
  assert.equal(made.code, 0, made.stderr);
  const { id } = JSON.parse(made.stdout) as { id: string };
  await poll(async () => (await publish()).code === 4, { what: 'the refusal', ms: 20_000 });
  const listed = await pushfleet('revocations', '--state', state).ended;
  assert.match(listed.stdout, new RegExp(`^${id}  until \\S+  subject mallory$`, 'm'));
  const lifted = await pushfleet('revoke', '--lift', id, '--state', state).ended;
  assert.equal(lifted.stdout, `lifted: ${id}\n`);
  await poll(async () => (await publish()).code === 0, { what: 'it to be good again', ms: 20_000 });
  const again = await pushfleet('revoke', '--lift', id, '--state', state).ended;
  assert.equal(again.code, 1);
  assert.match(again.stderr, /no such revocation/);
});

test('what was published is shown, explained and deleted', async () => {
  const command = (...args: string[]) => pushfleet(...args, '--state', state).ended;
  const since = new Date().toISOString();
  const long = ['--content-type', 'application/json'];
  for (const [id, payload] of [
    ['h1', '1'],
    ['h2', '12345678901234567890'],
  ] as const) {
    assert.equal((await command('publish', 'demo/past', payload, '--id', id, ...long)).code, 0);
  }
  const shown = await command('history', 'demo/past', '--since', since);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /^\S+Z {2}demo\/past {2}1\n\S+Z {2}demo\/past {2}12345678901234567890\n$/);
  const place = /^To go on: --after (\S+)$/m.exec(shown.stderr)?.[1];
  assert.ok(place);
  assert.equal((await command('history', 'demo/past', '--after', place)).stdout, '');
  const one = await command('history', 'demo/#', '--since', since, '--limit', '1', '--json');
  const { id, pushfleetcursor } = JSON.parse(one.stdout) as { id: string; pushfleetcursor: string };
  assert.equal(id, 'h1');
  assert.match(one.stderr, /^To go on: --after \S+$/m);
  const told = await command('explain', 'h2', '--topic', 'demo/#');
  assert.equal(told.code, 0, told.stderr);
  assert.match(told.stdout, /^demo\/past\n {2}stored at \S+Z, 20 bytes of application\/json\n/);
  assert.match(told.stdout, /Found among \d+ publications of demo\/#/);
  assert.match((await command('explain', 'nobody')).stdout, /Nothing with the id "nobody" is stored/);
  const first = await command('delete', 'demo/past', '--cursor', pushfleetcursor);
  assert.equal(first.stdout, 'deleted: 1 of demo/past\n', first.stderr);
  assert.equal((await command('delete', 'demo/past', '--cursor', pushfleetcursor)).code, 1);
  assert.equal((await command('delete', 'demo/past', '--yes')).stdout, 'deleted: 1 of demo/past\n');
  assert.equal((await command('history', 'demo/past')).stdout, '');
});

test('a second fleet of the same checkout is refused, and told where the first is', async () => {
  const second = launch('--port', '0');
  assert.deepEqual(await second.ended, [1, null]);
  assert.match(second.output(), new RegExp(`process ${launcher.process.pid}\\b`));
});

test('a launcher that was killed leaves nothing that the next start does not clear away', async () => {
  const before = readRecord(state)?.processes ?? [];
  launcher.process.kill('SIGKILL');
  await launcher.ended;
  launcher = launch('--port', '0');
  await ready();
  assert.match(launcher.output(), /Ending what the last start left behind/);
  assert.deepEqual(before.filter(isRunning), []);
  await roundTrip('two');
});

test('a part that dies is told with its last words, and ends the fleet', async () => {
  const { processes } = readRecord(state) as FleetRecord;
  const edge = processes.find(({ name }) => name === 'edge-sse');
  process.kill(edge?.pid as number, 'SIGKILL');
  assert.deepEqual(await launcher.ended, [1, null]);
  assert.match(launcher.output(), /edge-sse ended by itself \(SIGKILL\).*\/logs.*npm start/s);
  assert.deepEqual(processes.filter(isRunning), []);
});

test('Ctrl-C stops all of it and leaves no record', async () => {
  launcher = launch('--port', '0', '--only', 'publish', '--no-page-token');
  const { processes, url } = await ready();
  assert.equal((await askPageToken(url as string)).status, 404);
  assert.deepEqual(processes.map(({ name }) => name).sort(), ['nats', 'publish']);
  launcher.process.kill('SIGINT');
  launcher.process.kill('SIGINT');
  assert.deepEqual(await launcher.ended, [0, null], launcher.output());
  assert.deepEqual(processes.filter(isRunning), []);
  assert.equal(readRecord(state), undefined);
});

test('a port that is taken and an unknown service end with advice', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  const taken = launch('--port', String(port));
  assert.deepEqual(await taken.ended, [1, null]);
  assert.match(taken.output(), new RegExp(`Port ${port} is taken.*--port`));
  other.close();
  const unknown = launch('--only', 'edge-carrier-pigeon');
  assert.deepEqual(await unknown.ended, [2, null]);
  assert.match(unknown.output(), /edge-carrier-pigeon.*edge-sse/);
});
