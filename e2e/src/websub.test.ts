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
import { openSse, publish, type Stream } from './stream.ts';
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
    PUSHFLEET_WEBHOOK_RETRY: Array(50).fill('1s').join(),
  };
  fleet = await Fleet.start({ workers: 2, hubs: 2, env });
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
  let given = 0;
  const server = createServer(async (request, response) => {
    const challenge = new URL(request.url ?? '', 'http://here').searchParams.get('hub.challenge');
    if (challenge !== null) {
      response.end(challenge);
      return;
    }
    const text = Buffer.concat(await request.toArray()).toString();
    const content = { id: String(request.headers['ce-id']), text };
    given++;
    const status = await take(content);
    if (status < 300) taken.push(content);
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    taken,
    /** How many deliveries came. */
    given: () => given,
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

/** One of each that follows the topic, in whichever manner. */
class Followers {
  readonly stream: Stream;
  readonly receivers: Receivers;
  readonly notified: NotifiedReceiver;
  readonly websub: Awaited<ReturnType<typeof openCallback>>;

  private constructor(
    stream: Stream,
    receivers: Receivers,
    notified: NotifiedReceiver,
    websub: Followers['websub'],
  ) {
    this.stream = stream;
    this.receivers = receivers;
    this.notified = notified;
    this.websub = websub;
  }

  /** All of them subscribed. @param take answers the WebSub subscriber's deliveries */
  static async open(take: (content: Content) => number | Promise<number>): Promise<Followers> {
    const address = fleet.edges[0]?.addresses.http as string;
    const followers = new Followers(
      await openSse(address, topic, everything, '&format=cloudevents'),
      await Receivers.open(),
      await NotifiedReceiver.open('echoes'),
      await openCallback(take),
    );
    const { receivers, notified, websub } = followers;
    const hooks = new HookManager(fleet, everything);
    await hooks.create({ filter: topic, url: receivers.add('hook', behaviours.well), handshake: 'none' });
    const answer = await fetch(`http://${fleet.http.address}/v1/topics/${topic}`, {
      method: 'SUBSCRIBE',
      headers: { authorization: `Bearer ${everything}`, callback: `<${notified.url}>`, nt: 'upnp:event' },
    });
    const sid = answer.headers.get('sid')?.slice('uuid:'.length);
    const isActive = async () => (await hooks.call('GET', `/${sid}`)).body.state === 'active';
    await until(isActive, 'the confirmation of the notified receiver', patienceMs);
    await subscribe(websub.url);
    // It hears of its subscription a moment before the subscription stands.
    for (let i = 0; websub.given() === 0; i++) {
      await publish(fleet.http.address, topic, everything, `first ${i}`);
      await until(() => websub.given() > 0, 'the subscription', 1_000).catch(() => {});
    }
    return followers;
  }

  /** The ids under which each of them was given a text; an empty set: it was not. */
  idsOf(text: string): Readonly<Record<string, ReadonlySet<string>>> {
    const events = [...this.stream.text().matchAll(/^data: ?(.*)$/gm)].map(
      ([, data]) => JSON.parse(data as string) as { id: string; data?: unknown },
    );
    return {
      stream: new Set(events.filter(({ data }) => data === text).map(({ id }) => id)),
      hook: new Set(
        this.receivers
          .of('hook')
          .flatMap(({ body, headers }) => (body === text ? [String(headers['ce-id'])] : [])),
      ),
      notified: new Set(this.notified.taken.flatMap(({ body, id }) => (body === text ? [id] : []))),
      websub: new Set(this.websub.taken.flatMap((content) => (content.text === text ? [content.id] : []))),
    };
  }

  close(): void {
    for (const one of [this.stream, this.receivers, this.notified, this.websub]) one.close();
  }
}

test('a publication reaches a stream, a webhook, a WebSub subscriber and a notified receiver with one id', async () => {
  const followers = await Followers.open(() => 204);
  try {
    const answer = await fetch(`http://${fleet.http.address}/v1/topics/${topic}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${everything}`, 'content-type': 'text/plain' },
      body: 'to all',
    });
    const { id } = (await answer.json()) as { id: string };
    const one = new Set([id]);
    const all = { stream: one, hook: one, notified: one, websub: one };
    await until(
      () => Object.values(followers.idsOf('to all')).every(({ size }) => size > 0),
      'all',
      patienceMs,
    );
    assert.deepEqual(followers.idsOf('to all'), all);
  } finally {
    followers.close();
  }
});

test('kill -9 of a worker of each kind in the middle loses nothing, for none of them', async () => {
  const held = Promise.withResolvers<number>();
  let seen = 0;
  const followers = await Followers.open(() =>
    ++seen % 3 === 0 ? held.promise : seen % 3 === 1 ? 503 : 204,
  );
  try {
    const texts = Array.from({ length: 100 }, (_, i) => `text ${i}`);
    for (const [i, text] of texts.entries()) {
      assert.equal(await publish(fleet.http.address, topic, everything, text), 201);
      if (i === 40) await fleet.end(fleet.workers, 'SIGKILL');
      if (i === 60) await fleet.end(fleet.hubs, 'SIGKILL');
    }
    held.resolve(204);
    const missing = () =>
      texts.filter((text) => Object.values(followers.idsOf(text)).some(({ size }) => size === 0));
    await until(() => missing().length === 0, 'all of it', 120_000);
    for (const text of texts) {
      const ids = Object.values(followers.idsOf(text)).flatMap((set) => [...set]);
      assert.equal(new Set(ids).size, 1, `${text}: a repetition has the same id, and so have all`);
    }
  } finally {
    followers.close();
  }
});
