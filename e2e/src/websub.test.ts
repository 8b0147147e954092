import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { until } from '@pushfleet/contract';
import { Fleet, token } from './fleet.ts';
import { NotifiedReceiver } from './notified-receiver.ts';
import { openSse, publish } from './stream.ts';
import { behaviours, Receivers } from './webhook-receivers.ts';
import { HookManager, patienceMs, webhookEnv } from './webhooks.ts';

const topic = 'news/today';
const directory = mkdtempSync(join(tmpdir(), 'pushfleet-websub-'));
let fleet: Fleet;
let everything: string;

before(async () => {
  const policies = join(directory, 'policies.json');
  writeFileSync(
    policies,
    JSON.stringify({ topics: [{ namespace: 'default', filter: 'news/#', public: true }] }),
  );
  const env = {
    ...webhookEnv,
    PUSHFLEET_POLICIES_FILE: policies,
    PUSHFLEET_WEBSUB_VERIFY_RETRY: '1s,1s,1s,1s,1s,1s,1s,1s,1s,1s',
    PUSHFLEET_WEBSUB_RETRY: '1s',
  };
  fleet = await Fleet.start({ workers: 1, hubs: 2, env });
  everything = await token({ publish: ['#'], subscribe: ['#'], manage: true });
});
after(async () => {
  await fleet?.stop();
  rmSync(directory, { recursive: true });
});

interface Content {
  readonly id: string;
  readonly text: string;
}

/** A callback that confirms whatever it is asked, and takes what it is given as `take` says. */
async function openCallback(take: (content: Content) => number | Promise<number>) {
  const taken: Content[] = [];
  let confirmed = 0;
  const server = createServer(async (request, response) => {
    const challenge = new URL(request.url ?? '', 'http://here').searchParams.get('hub.challenge');
    if (challenge !== null) {
      response.end(challenge);
      confirmed++;
      return;
    }
    const text = Buffer.concat(await request.toArray()).toString();
    const content = { id: String(request.headers['ce-id']), text };
    const status = await take(content);
    if (status < 300) taken.push(content);
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    taken,
    confirmed: () => confirmed,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function subscribe(callback: string): Promise<void> {
  const { headers } = await fetch(`http://${fleet.http.address}/v1/topics/${topic}`, { method: 'HEAD' });
  const [, hub = '', self = ''] =
    /<([^>]+)>; rel="hub", <([^>]+)>; rel="self"/.exec(headers.get('link') ?? '') ?? [];
  const form = { 'hub.mode': 'subscribe', 'hub.topic': self, 'hub.callback': callback };
  const { status } = await fetch(hub, { method: 'POST', body: new URLSearchParams(form) });
  assert.equal(status, 202);
}

/** By SUBSCRIBE, in the words of GENA; resolves once the receiver has confirmed. */
async function subscribeNotified(hooks: HookManager, receiver: NotifiedReceiver): Promise<void> {
  const { status, headers } = await fetch(`http://${fleet.http.address}/v1/topics/${topic}`, {
    method: 'SUBSCRIBE',
    headers: { authorization: `Bearer ${everything}`, callback: `<${receiver.url}>`, nt: 'upnp:event' },
  });
  assert.equal(status, 200);
  const id = headers.get('sid')?.slice('uuid:'.length);
  const active = async () => (await hooks.call('GET', `/${id}`)).body.state === 'active';
  await until(active, 'the confirmation', patienceMs);
}

test('one publication reaches a stream, a webhook, a WebSub subscriber and a notified receiver, with one id', async () => {
  const receivers = await Receivers.open();
  const callback = await openCallback(() => 204);
  const notified = await NotifiedReceiver.open('echoes');
  const stream = await openSse(
    fleet.edges[0]?.addresses.http as string,
    'news/#',
    everything,
    '&format=cloudevents',
  );
  try {
    const hooks = new HookManager(fleet, everything);
    const url = receivers.add('hook', behaviours.well);
    await hooks.create({ id: 'hook', filter: 'news/#', url, handshake: 'none' });
    await subscribeNotified(hooks, notified);
    await subscribe(callback.url);
    // It hears of its subscription a moment before the subscription stands.
    for (let i = 0; callback.taken.length === 0; i++) {
      await publish(fleet.http.address, topic, everything, `hello ${i}`);
      await until(() => callback.taken.length > 0, 'the content', 1_000).catch(() => {});
    }
    const [content] = callback.taken as [Content];
    await until(() => stream.text().includes(`"id":"${content.id}"`), 'the event', patienceMs);
    const hooked = () => receivers.of('hook').find(({ headers }) => headers['ce-id'] === content.id);
    await until(() => hooked() !== undefined, 'the webhook', patienceMs);
    assert.equal(hooked()?.body, content.text);
    const told = () => notified.taken.find(({ id }) => id === content.id);
    await until(() => told() !== undefined, 'the notification', patienceMs);
    assert.equal(told()?.body, content.text);
    assert.equal(told()?.delivery, hooked()?.headers['webhook-id']);
  } finally {
    stream.close();
    notified.close();
    receivers.close();
    callback.close();
  }
});

test('kill -9 of a hub in the middle loses nothing that was published', async () => {
  const held = Promise.withResolvers<number>();
  let seen = 0;
  const callback = await openCallback(() => (++seen % 3 === 0 ? held.promise : seen % 3 === 1 ? 503 : 204));
  try {
    await subscribe(callback.url);
    await until(() => callback.confirmed() > 0, 'the question', patienceMs);
    for (let i = 0; seen === 0; i++) {
      await publish(fleet.http.address, topic, everything, `first ${i}`);
      await until(() => seen > 0, 'the subscription', 1_000).catch(() => {});
    }
    const texts = Array.from({ length: 100 }, (_, i) => `text ${i}`);
    for (const [i, text] of texts.entries()) {
      assert.equal(await publish(fleet.http.address, topic, everything, text), 201);
      if (i === 50) await fleet.end(fleet.hubs, 'SIGKILL');
    }
    held.resolve(204);
    const missing = () => texts.filter((text) => !callback.taken.some((content) => content.text === text));
    await until(() => missing().length === 0, 'all of it', 120_000);
    const ids = new Map(callback.taken.map(({ text, id }) => [text, id]));
    assert.ok(
      callback.taken.every(({ text, id }) => ids.get(text) === id),
      'a repetition has the same id',
    );
  } finally {
    callback.close();
  }
});
