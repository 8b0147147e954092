import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type Front, openFront } from '@pushfleet/cli/front';
import { until } from '@pushfleet/contract';
import { readRoutes } from '@pushfleet/runtime';
import { token } from './fleet.ts';
import { NotifiedReceiver } from './notified-receiver.ts';
import { behaviours } from './webhook-receivers.ts';
import { HookSite, patienceMs } from './webhooks.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/http-subscriptions.md'), 'utf8');

/** A command of the page, the answer that it shows, and what the receiver then prints. */
interface Step {
  readonly command: string;
  readonly answer: readonly string[];
  readonly printed: string | undefined;
}

const steps: readonly Step[] = [
  ...page.matchAll(/```sh\n(.*?)```\n```http\n(.*?)```\n(?:```text\n(.*?)```)?/gs),
].map(([, command = '', answer = '', printed]) => ({
  command,
  answer: answer.trim().split('\n'),
  printed: printed?.trim(),
}));

let site: HookSite;
let front: Front;
before(async () => {
  site = await HookSite.start({
    PUSHFLEET_WEBHOOK_RETRY: '1s,1s,1s,1s,1s,1s,1s,1s',
    PUSHFLEET_NOTIFY_LEASE_MIN: '1',
  });
  const { http, registry } = site.fleet;
  const addresses: Record<string, string> = {
    publish: http.address,
    registry: registry.addresses.http as string,
  };
  front = await openFront({ routes: readRoutes(), addressOf: (service) => addresses[service] }, 0);
});
after(async () => {
  await front?.close();
  await site?.stop();
});

describe('the page about subscriptions inside HTTP', () => {
  const receiver = spawn(process.execPath, [join(root, 'examples/typescript/notified.ts'), '0']);
  let printed = '';
  receiver.stdout.on('data', (chunk) => (printed += chunk));
  const variables = { TOKEN: '', SID: '', ID: '' };
  let port = '';

  before(async () => {
    await until(() => /listening on \d+\n/.test(printed), 'the receiver');
    port = /listening on (\d+)/.exec(printed)?.[1] as string;
    variables.TOKEN = await token({ sub: 'reader', subscribe: ['orders/#'], publish: ['orders/#'] });
  });
  after(async () => {
    receiver.kill();
    await once(receiver, 'close');
  });

  test('has a command for every row', () => {
    assert.deepEqual([steps.length, page.match(/```sh\n/g)?.length], [16, 16]);
  });

  for (const { command, answer, printed: line } of steps) {
    const [status, ...headers] = answer as [string, ...string[]];
    test(`${command.trim()} → ${status}`, async () => {
      const here = command
        .replaceAll('http://127.0.0.1:8000', front.url)
        .replaceAll('127.0.0.1:9000', `127.0.0.1:${port}`);
      const { stdout } = await run('bash', ['-c', here], { env: { ...process.env, ...variables } });
      const [head = ''] = stdout.split('\r\n\r\n', 1);
      assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} `), stdout);
      for (const header of headers) {
        const pattern = header.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replace('…', '.+');
        assert.match(head, new RegExp(`^${pattern}$`, 'im'));
      }
      variables.SID = /^sid: (.+)$/im.exec(head)?.[1] ?? variables.SID;
      variables.ID = /^subscription-id: (.+)$/im.exec(head)?.[1] ?? variables.ID;
      if (/^SUBSCRIBE/.test(methodOf(here)) && status === '200') await confirmed(head);
      if (line !== undefined) await until(() => printed.includes(line), line, patienceMs);
    });
  }
});

const methodOf = (command: string): string => /-X (\w+)/.exec(command)?.[1] ?? '';

/** Nothing is delivered to who has not confirmed. */
async function confirmed(head: string): Promise<void> {
  const [, id] = /^(?:sid: uuid:|subscription-id: )(.+)$/im.exec(head) ?? [];
  const active = async () => (await site.owner.call('GET', `/${id}`)).body.state === 'active';
  await until(active, 'the confirmation', patienceMs);
}

/** SUBSCRIBE in the words of GENA; its SID. */
async function subscribe(topic: string, callbacks: string, seconds = 600): Promise<string> {
  const answer = await fetch(`${front.url}/v1/topics/${topic}`, {
    method: 'SUBSCRIBE',
    headers: {
      authorization: `Bearer ${site.token}`,
      ...{ callback: callbacks, nt: 'upnp:event', timeout: `Second-${seconds}` },
    },
  });
  assert.equal(answer.status, 200, await answer.text());
  return answer.headers.get('sid') as string;
}

const stateOf = async (sid: string): Promise<unknown> => {
  const { status, body } = await site.owner.call('GET', `/${sid.slice('uuid:'.length)}`);
  return status === 200 ? body.state : status;
};

describe('a call-back', () => {
  test('that knows its SID, as control points do, confirms without knowing of the fleet', async () => {
    const point = await NotifiedReceiver.open('knows');
    const sid = await subscribe('point', `<${point.url}>`);
    point.sids.add(sid);
    await until(async () => (await stateOf(sid)) === 'active', 'the confirmation', patienceMs);
    assert.deepEqual(
      [...new Set(point.first.filter((first) => first.sid === sid).map(({ seq }) => seq))],
      ['0'],
    );
    await site.publish('point', 'a');
    await until(() => point.taken.length === 1, 'the notification', patienceMs);
    assert.deepEqual([point.taken[0]?.seq, point.taken[0]?.body], ['1', 'a']);
    point.close();
  });

  test('that takes anything has not confirmed, and is delivered nothing', async () => {
    const anything = await NotifiedReceiver.open('anything');
    const sid = await subscribe('anything', `<${anything.url}>`);
    await site.publish('anything', 'a');
    await until(async () => (await stateOf(sid)) === 404, 'the end', patienceMs);
    assert.equal(anything.taken.length, 0);
    anything.close();
  });

  test('that says yes behind UNSUBSCRIBE is delivered nothing', async () => {
    const late = await NotifiedReceiver.open('late');
    const sid = await subscribe('late', `<${late.url}?1><${late.url}?2>`);
    await until(() => late.first.length > 0, 'the question', patienceMs);
    const headers = { authorization: `Bearer ${site.token}`, sid };
    const { status } = await fetch(`${front.url}/v1/topics/late`, { method: 'UNSUBSCRIBE', headers });
    assert.equal(status, 200);
    late.answer();
    const witness = await site.subscribe(behaviours.well, { filter: 'late' });
    await site.publish('late', 'after');
    await site.arrived(witness.name, 1);
    assert.deepEqual([await stateOf(sid), late.taken.length], [404, 0]);
    late.close();
  });

  test('that fails now and then gets all in order, counted; with 412 it has ended', async () => {
    const failing = await NotifiedReceiver.open('echoes');
    const sid = await subscribe('failing', `<${failing.url}>`);
    await until(async () => (await stateOf(sid)) === 'active', 'the confirmation', patienceMs);
    failing.statuses.push(500, 200, 503, 429, 200);
    const texts = ['a', 'b', 'c', 'd'];
    for (const text of texts) await site.publish('failing', text);
    await until(() => failing.taken.length === texts.length, 'all of them', patienceMs);
    assert.deepEqual(
      failing.taken.map(({ body, seq }) => `${body} ${seq}`),
      texts.map((text, i) => `${text} ${i + 1}`),
    );
    failing.statuses.push(412);
    await site.publish('failing', 'e');
    await until(async () => (await stateOf(sid)) === 404, 'the end', patienceMs);
    failing.close();
  });

  test('whose lease has ended is called no more', async () => {
    const leaving = await NotifiedReceiver.open('echoes');
    const sid = await subscribe('leaving', `<${leaving.url}>`, 3);
    await until(async () => (await stateOf(sid)) === 404, 'the end of the lease', patienceMs);
    const witness = await site.subscribe(behaviours.well, { filter: 'leaving' });
    await site.publish('leaving', 'after');
    await site.arrived(witness.name, 1);
    assert.equal(leaving.taken.length, 0);
    leaving.close();
  });
});

test('kill -9 of workers mid-way loses no notification, and takes no number twice', async () => {
  const count = 300;
  const notified = await NotifiedReceiver.open('echoes');
  const sid = await subscribe('killed', `<${notified.url}>`);
  await until(async () => (await stateOf(sid)) === 'active', 'the confirmation', patienceMs);
  const texts = Array.from({ length: count }, (_, i) => String(i));
  for (const text of texts) await site.publish('killed', text);
  for (const part of [0.1, 0.4]) {
    await until(() => notified.taken.length >= count * part, 'a part of them', patienceMs);
    await site.fleet.end(site.fleet.workers, 'SIGKILL');
    await site.fleet.startWorker();
  }
  const bodies = () => new Set(notified.taken.map(({ body }) => body));
  await until(() => bodies().size === count, 'all of them', 2 * patienceMs);
  assert.deepEqual([...bodies()], texts, 'in their order');
  const numbers = new Map(notified.taken.map(({ delivery, seq }) => [delivery, seq]));
  assert.deepEqual(
    [...numbers.values()],
    texts.map((text) => String(Number(text) + 1)),
  );
  for (const { delivery, seq } of notified.taken)
    assert.equal(numbers.get(delivery), seq, 'at every attempt');
  notified.close();
});
